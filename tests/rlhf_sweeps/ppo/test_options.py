"""The trainer's options of KL, scores and rollouts, each for what it promises; those of the loss: test_trainer."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SMALL, Compose
from helpers import toy
from helpers.parameters import same, weights
from torch import Tensor

from rlhf_sweeps.models import loading as models
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.record import Run
from rlhf_sweeps.training.session import load_session

# --- KL


def test_the_kl_coefficient_adapts_and_is_part_of_the_state() -> None:
    settings = toy.settings(kl_target=12.0, kl_horizon=60)
    trainer = toy.trainer(settings)
    first = trainer.step()
    # The sequence's, not the token's: that one would be far below the target, and its error would count as a fifth.
    error = first["objective/kl"] / 12 - 1
    assert 0.02 < error < 0.18
    assert first["objective/kl_coef"] == pytest.approx(0.1)
    assert trainer.step()["objective/kl_coef"] == pytest.approx(0.1 * (1 + error * 6 / 60), rel=1e-5)
    again = toy.trainer(settings)
    again.state = trainer.state
    assert again.kl_coef == trainer.kl_coef != 0.1


def test_the_penalty_in_the_loss_leaves_the_rewards_alone() -> None:
    rows = [toy.trainer(toy.settings(kl_in=where)).step() for where in ("reward", "loss")]
    assert rows[0]["objective/kl"] == rows[1]["objective/kl"]
    assert rows[0]["objective/rewards_std"] != rows[1]["objective/rewards_std"]
    assert rows[1]["objective/rewards_std"] == pytest.approx(rows[1]["objective/scores_std"])


def test_the_loss_pays_the_coefficient_of_its_update() -> None:
    """Not that of the config, from which it is adapted."""
    norms = []
    for first, now in ((0.1, 0.5), (0.5, 0.5), (0.1, 0.1)):
        trainer = toy.trainer(toy.settings(kl_in="loss", kl_estimator="k3", kl_coef=first))
        trainer.kl_coef = now
        norms.append(trainer.step()["policy/grad_norm"])
    assert norms[0] == norms[1]
    assert abs(norms[2] / norms[1] - 1) > 0.01


def test_epochs_end_at_the_target_kl(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"lr": 0.03, "num_ppo_epochs": 6, "num_minibatches": 2}
    free = toy.trainer(toy.settings(**settings))
    assert free.step()["policy/epochs"] == 6.0
    held = toy.trainer(toy.settings(**settings, target_kl=0.01))
    taken: list[int] = []
    step = held.optimizer.step
    monkeypatch.setattr(held.optimizer, "step", lambda: (taken.append(1), step()))
    row = held.step()
    # The minibatch that is found too far is read, but not stepped on.
    assert 0 < len(taken) < 12
    assert row["policy/epochs"] == (len(taken) + 1) / 2
    assert row["policy/approxkl_avg"] > 0.01 / 12


def test_the_target_is_held_against_the_mean_of_a_token() -> None:
    settings = {"lr": 0.003, "response_length": 8}
    runs = [toy.trainer(toy.settings(**settings, num_ppo_epochs=number)).step() for number in (1, 2, 3, 4)]
    # Each epoch's own mean, out of the means over one, two, three and four of them.
    sums = [0.0, *(number * row["policy/approxkl_avg"] for number, row in enumerate(runs, start=1))]
    first, second, third, fourth = (after - before for before, after in itertools.pairwise(sums))
    assert first < second < third < fourth
    for target, num_epochs in ((third * 1.01, 4.0), (third * 0.99, 3.0), (second * 0.99, 2.0)):
        held = toy.trainer(toy.settings(**settings, num_ppo_epochs=4, target_kl=target))
        assert held.step()["policy/epochs"] == num_epochs


def test_no_step_at_all_is_not_an_error() -> None:
    trainer = toy.trainer(toy.settings(target_kl=1e-30))
    before = weights(trainer.policy.model)
    row = trainer.step()
    assert (row["policy/epochs"], row["policy/grad_norm"]) == (1.0, 0.0)
    assert same(before, trainer.policy.model)


# --- scores


def test_scores_are_scaled_by_all_that_came_before() -> None:
    trainer = toy.trainer(toy.settings(score_scaling="normalize", missing_eos_penalty=None))
    seen: list[Tensor] = []
    score = trainer.score
    trainer.score = lambda indices, batch: seen.append(score(indices, batch)) or seen[-1]  # type: ignore[func-returns-value]
    for _ in range(2):
        row = trainer.step()
    everything = torch.cat(seen)
    expected = ((seen[1] - everything.mean()) / everything.std()).mean().item()
    assert row["objective/scores"] == pytest.approx(expected, rel=1e-5)
    assert row["objective/raw_scores"] == pytest.approx(seen[1].mean().item())
    assert trainer.state["score_statistics"]["count"] == 12


def test_scores_are_clipped_before_the_penalty() -> None:
    row = toy.trainer(toy.settings(score_clip=0.25, missing_eos_penalty=2.0)).step()
    assert row["objective/raw_scores"] > 0.25
    assert row["objective/scores"] == pytest.approx(0.25 - 2.0 * row["objective/truncated_rate"])


# --- rollouts


def test_several_rollouts_of_each_prompt() -> None:
    trainer = toy.trainer(toy.settings())
    seen: list[tuple[Sequence[int], Responses]] = []
    trainer.score = lambda indices, batch: (seen.append((indices, batch)), toy.score_by_length(indices, batch))[1]
    row = trainer.step()
    ((indices, batch),) = seen
    assert len(indices) == 6
    assert indices[0] == indices[1] == indices[2] != indices[3] == indices[4] == indices[5]
    responses = batch.response_lists()
    assert responses[0] != responses[1]
    assert row["epoch"] == 2 / 6


@pytest.mark.parametrize(("num_minibatches", "ratio"), [(1, 1.0), (2, 4 / 6)])
def test_trls_metrics_however_the_batch_is_cut(num_minibatches: int, ratio: float) -> None:
    """Of 2 x 3 slots for microbatches of 2 out of 6, two minibatches of 3 fill 2 x 2, by hand."""
    settings = toy.settings(trl_metrics=True, microbatch_size=2, num_minibatches=num_minibatches, lr=1e-9)
    assert toy.trainer(settings).step()["trl_compat/val/ratio"] == pytest.approx(ratio, rel=1e-4)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("ppo.top_p=0.8",), {"top_p": 0.8}),
        (("ppo.stop_strings=['!','. ']",), {"stop_strings": ("!", ". ")}),
        (("ppo.static_decoding=true",), {"is_static": True, "autocast": None}),
        (("ppo.precision=bfloat16",), {"autocast": torch.bfloat16}),
        (("ppo.temperature=0.5", "ppo.response_length=7"), {"temperature": 0.5, "response_length": 7}),
    ],
)
def test_the_sampler_gets_what_is_configured(
    overrides: tuple[str, ...], expected: dict[str, Any], compose_config: Compose
) -> None:
    config = compose_config(*SMALL, *overrides)
    policy, tokenizer = models.load_policy(config.model, torch.device("cpu")), models.load_tokenizer(config.model)
    sampler = models.make_sampler(policy, tokenizer, config.ppo, BatchSize("", 4))
    assert {name: getattr(sampler, name) for name in expected} == expected


def test_a_stop_string_ends_a_response(compose_config: Compose, tmp_path: Path) -> None:
    session = load_session(compose_config(*SMALL, "ppo.stop_strings=['!']", "ppo.response_length=32"), Run(tmp_path))
    prompts = session.trainer.prompts[:16]
    batch = session.trainer.sampler.sample(session.policy, prompts, torch.Generator().manual_seed(0))
    texts = session.tokenizer.batch_decode(batch.response_lists(), skip_special_tokens=True)
    assert any("!" in text for text in texts)
    assert all("!" not in text[:-1] for text in texts)
    assert batch.ended.all()
