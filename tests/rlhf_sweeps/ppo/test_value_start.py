"""Where a new value model starts: at what the base policy's responses return, so that it need not climb there first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SMALL, Compose
from helpers import toy

from rlhf_sweeps.ppo.language_model import ValueModel
from rlhf_sweeps.ppo.optimization import Optimization
from rlhf_sweeps.ppo.rollout import Responses, Rollout, mean_return
from rlhf_sweeps.record import Run
from rlhf_sweeps.training.session import load_session
from rlhf_sweeps.training.train import train

# Two responses: one that ended after 2 tokens, one cut after 3; half is discounted a token, 2 is the price of the cut.
SCORES = torch.tensor([10.0, 20.0])
# Returns [5, 10] and [4.5, 9, 18].
MEAN_RETURN = (5 + 10 + 4.5 + 9 + 18) / 5


def answers(lengths: Sequence[int] = (2, 3), ended: Sequence[bool] = (True, False)) -> Responses:
    """Responses of these lengths to one prompt."""
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(-1)
    prompts = torch.tensor([[5, 6]] * len(lengths))
    ids = torch.arange(7, 7 + max(lengths)).expand(mask.shape)
    return Responses(prompts, prompts > 0, ids, mask, torch.zeros(mask.shape), torch.tensor(ended))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, MEAN_RETURN),
        ({"gamma": 1.0}, (2 * 10 + 3 * 18) / 5),
        ({"missing_eos_penalty": None}, (5 + 10 + 5 + 10 + 20) / 5),
        # The state after the first response's end counts, too, and has the score: [2.5, 5, 10].
        ({"score_at": "after_end"}, (2.5 + 5 + 10 + 4.5 + 9 + 18) / 6),
        # What would come after the cut is unknown.
        ({"bootstrap_truncated": True}, (5 + 10) / 2),
    ],
)
def test_the_mean_return_by_hand(changes: dict[str, Any], expected: float) -> None:
    config = toy.settings(**{"gamma": 0.5, "missing_eos_penalty": 2.0, **changes})
    assert mean_return(config, answers(), SCORES) == pytest.approx(expected)


def test_if_all_are_cut_bootstrapping_starts_at_the_bare_score() -> None:
    config = toy.settings(gamma=1.0, missing_eos_penalty=2.0, bootstrap_truncated=True)
    assert mean_return(config, answers(ended=(False, False)), SCORES) == pytest.approx((2 * 10 + 3 * 20) / 5)


def test_whitened_rewards_return_less() -> None:
    """Rewards 0, 10 and 0, 0, 18 over their deviation, the mean kept; returns are their sums from the end."""
    rewards = np.array([0, 10, 0, 0, 18.0])
    whitened = (rewards - rewards.mean()) / rewards.std(ddof=1) + rewards.mean()
    returns = [whitened[:2].sum(), whitened[1], whitened[2:].sum(), whitened[3:].sum(), whitened[4]]
    settings = toy.settings(gamma=1.0, missing_eos_penalty=2.0, whiten_rewards=True)
    assert mean_return(settings, answers(), SCORES) == pytest.approx(np.mean(returns), rel=1e-5)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ({"score_scaling": "scale"}, [10 / 50**0.5, 20 / 50**0.5]),  # their deviation is the root of 50
        ({"score_scaling": "normalize"}, [-5 / 50**0.5, 5 / 50**0.5]),
        ({"score_clip": 12.0}, [10, 12]),
    ],
)
def test_scores_are_scaled_and_clipped_as_in_an_update(scaling: dict[str, Any], expected: list[float]) -> None:
    trainer = toy.trainer(toy.settings(gamma=1.0, missing_eos_penalty=None, **scaling))
    trainer.start_values(answers((1, 1), (True, True)), SCORES)
    assert trainer.value_model.offset == pytest.approx(sum(expected) / 2)
    assert trainer.score_statistics.count == 0


@pytest.mark.parametrize("value_model", ["shared", "policy"])
def test_a_new_head_starts_there_and_goes_on_there(value_model: str) -> None:
    config = toy.settings(gamma=0.5, missing_eos_penalty=2.0, value_model=value_model)
    trainer = toy.trainer(config)
    trainer.start_values(answers(), SCORES)
    values = trainer.value_model(torch.randn(4, 16))
    assert values.tolist() == pytest.approx([MEAN_RETURN] * 4)
    continued = toy.trainer(config)
    continued.state = trainer.state
    assert torch.equal(continued.value_model(torch.randn(4, 16)), values)


def test_a_head_that_knows_something_is_moved_as_a_whole() -> None:
    """Its values differ as before, and their mean over the states is the mean return."""
    trainer = toy.trainer(toy.settings(gamma=0.5, missing_eos_penalty=2.0))
    torch.nn.init.normal_(trainer.value_model.head.weight)
    batch = answers()
    before = trainer._read_values(batch, 2)[:, :-1][batch.response_mask]
    assert before.std() > 0.1
    trainer.start_values(batch, SCORES)
    after = trainer._read_values(batch, 2)[:, :-1][batch.response_mask]
    assert after.mean().item() == pytest.approx(MEAN_RETURN, abs=1e-5)
    assert torch.allclose(after - after.mean(), before - before.mean(), atol=1e-5)


def test_zero_adds_nothing() -> None:
    trainer = toy.trainer(toy.settings(value_start="zero"))
    trainer.start_values(answers(), SCORES)
    assert trainer.value_model.offset == 0.0


def test_values_are_brought_to_another_scale() -> None:
    model = ValueModel(torch.nn.Linear(3, 1))
    features = torch.randn(5, 3)
    before = model(features)
    model.rescale(mean=2.0, deviation=4.0)
    assert torch.allclose(model(features), (before - 2) / 4, atol=1e-6)
    model.rescale(mean=1.0, deviation=0.5)
    assert torch.allclose(model(features), ((before - 2) / 4 - 1) / 0.5, atol=1e-5)


def first_rollout(config: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Rollout:
    """Of a run by this config."""
    seen: list[Rollout] = []
    run = Optimization.run

    def watched(self: Optimization, rollout: Rollout, *arguments: Any) -> Any:
        seen.append(rollout)
        return run(self, rollout, *arguments)

    monkeypatch.setattr(Optimization, "run", watched)
    train(config, folder)
    return seen[0]


@pytest.mark.parametrize("start", ["base_return", "zero"])
def test_a_score_without_signal_gives_no_advantage(
    start: str, compose_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All responses that ended have the score 7: nothing to learn. From 0, position alone would be learnt."""
    config = compose_config(
        *SMALL,
        "reward_model=callable",
        "reward_model.function=helpers.scorers.sevens",
        f"ppo.value_start={start}",
        "ppo.missing_eos_penalty=null",
    )
    rollout = first_rollout(config, tmp_path / "run", monkeypatch)
    mask = rollout.state_mask
    assert rollout.values[mask].tolist() == pytest.approx([7.0 if start == "base_return" else 0.0] * mask.sum().item())
    returns_less_values = (rollout.returns - rollout.values)[mask]
    assert (returns_less_values.abs().max().item() < 1e-4) == (start == "base_return")


def test_values_that_start_as_the_reward_model_are_on_its_scale(
    compose_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value of the last state of a response that ended is what the reward model gives the text so far."""
    values = {}
    for normalize in (False, True):
        overrides = (
            "ppo.value_model=reward_model",
            "ppo.value_start=zero",
            f"reward_model.normalize={normalize}",
            "ppo.response_length=4",
        )
        folder = tmp_path / str(normalize)
        rollout = first_rollout(compose_config(*SMALL, *overrides), folder, monkeypatch)
        values[normalize] = rollout.values[rollout.state_mask]
        scale = (Run(folder).summary() or {})["scale"]
    assert scale["deviation"] > 0
    assert torch.allclose(values[True], (values[False] - scale["mean"]) / scale["deviation"], atol=1e-4)


def test_a_continued_run_does_not_start_its_values_again(compose_config: Compose, tmp_path: Path) -> None:
    """Neither on another scale nor at another mean."""
    overrides = ("ppo.value_model=reward_model", "reward_model.normalize=true", "ppo.response_length=4")
    config = compose_config(*SMALL, *overrides)
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    run.ask_to_stop("interrupted")
    train(config, run.folder)
    session = load_session(config, run)
    session.go_on()
    assert session.trainer.update > 0
    state = {name: value.clone() for name, value in session.trainer.value_model.state_dict().items()}
    offset = session.trainer.value_model.offset
    assert offset != 0.0
    session.ask_base_policy(None)
    assert session.trainer.value_model.offset == offset
    assert all(torch.equal(value, state[name]) for name, value in session.trainer.value_model.state_dict().items())
