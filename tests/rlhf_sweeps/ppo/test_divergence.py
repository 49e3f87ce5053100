"""What is not finite stops a run, whose last good checkpoint is kept; what the metrics of its health mean."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SMALL, Compose
from helpers import toy
from helpers.parameters import same, weights
from transformers import PreTrainedModel

from rlhf_sweeps.ppo.language_model import LanguageModel
from rlhf_sweeps.ppo.trainer import PPOTrainer
from rlhf_sweeps.process.failures import DivergedError
from rlhf_sweeps.record import Run
from rlhf_sweeps.training.train import train


def broken_after(num: int, value: float) -> Callable[[PPOTrainer], None]:
    def spoil(trainer: PPOTrainer) -> None:
        policy: PreTrainedModel = trainer.policy.model
        for _ in range(num):
            trainer.step()
        policy.lm_head.weight.data[3] = value

    return spoil


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_not_finite_stop_the_run(value: float) -> None:
    trainer = toy.trainer(toy.settings())
    broken_after(1, value)(trainer)
    with pytest.raises(DivergedError, match=r"^update 1: .*logits"):
        trainer.check()
    with pytest.raises(DivergedError, match=r"^update 2: .*logits are not finite"):
        trainer.step()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_stop_the_run(value: float) -> None:
    trainer = toy.trainer(toy.settings(), score=lambda indices, _: torch.tensor([value] + [0.0] * (len(indices) - 1)))
    before = weights(trainer.policy.model)
    with pytest.raises(DivergedError, match=r"^update 1: the reward model's scores are not finite"):
        trainer.step()
    assert same(before, trainer.policy.model)


def test_gradients_that_are_not_finite_stop_the_run() -> None:
    trainer = toy.trainer(toy.settings())
    next(trainer.policy.model.parameters()).register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(DivergedError, match=r"^update 1: policy/grad_norm is nan"):
        trainer.step()


def test_a_run_that_diverges_keeps_its_last_good_checkpoint(compose_config: Compose, tmp_path: Path) -> None:
    config = compose_config(*SMALL, "checkpoint.every=1", "eval.every=6")
    step = PPOTrainer.step

    def step_and_break(self: PPOTrainer, patience: float | None) -> dict[str, float]:
        row = step(self, patience)
        if self.update == 4:
            self.policy.model.get_input_embeddings().weight.data.fill_(math.inf)
        return row

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PPOTrainer, "step", step_and_break)
        with pytest.raises(DivergedError, match=r"^update 4: "):
            train(config, tmp_path)
    run = Run(tmp_path)
    summary = run.summary()
    assert summary is not None
    assert (summary["status"], summary["update"], summary["objective"]) == ("diverged", 4, None)
    assert sorted(path.name for path in run.checkpoint.iterdir()) == ["0000002", "0000003"]
    assert train(config, tmp_path)["status"] == "complete"


def test_the_health_metrics_by_definition() -> None:
    trainer = toy.trainer(toy.settings(num_ppo_epochs=2, lr=0.01))
    torch.nn.init.normal_(trainer.value_model.head.weight, std=0.3, generator=torch.Generator().manual_seed(0))
    head = copy.deepcopy(trainer.value_model.head.state_dict())
    kept: list[Any] = []
    run = trainer.optimization.run
    object.__setattr__(trainer, "optimization", copy.copy(trainer.optimization))
    object.__setattr__(trainer.optimization, "run", lambda *args: kept.append(run(*args)) or kept[-1])
    old = copy.deepcopy(trainer.policy.model)
    row = trainer.step()
    rollout = kept[0].rollout
    mask = rollout.response_mask
    assert row["objective/scores_std"] == pytest.approx(rollout.scores.std().item(), rel=1e-5)
    assert row["objective/rewards_std"] == pytest.approx(rollout.rewards.sum(-1).std().item(), rel=1e-5)
    assert row["objective/kl_per_token"] == pytest.approx((rollout.kl.sum() / mask.sum()).item(), rel=1e-5)
    assert row["objective/truncated_rate"] == pytest.approx(1 - rollout.ended.float().mean().item())
    assert rollout.values[mask].std() > 0.1  # of values that are all 0 any formula would make 0
    left = (rollout.returns - rollout.values)[mask].var() / rollout.returns[mask].var()
    assert row["val/explained_variance"] == pytest.approx(1 - left.item(), rel=1e-4, abs=1e-5)
    # The second epoch's ratios, from the policy after one step; the first one's are 1.
    first = toy.trainer(toy.settings(num_ppo_epochs=1, lr=0.01))
    first.value_model.head.load_state_dict(head)
    first.step()
    with torch.no_grad():
        new = LanguageModel(first.policy.model, 0.8, has_plain_head=True).logprobs(rollout)
        before = LanguageModel(old, 0.8, has_plain_head=True).logprobs(rollout)
    ratios = torch.cat([torch.ones_like(new[mask]), (new - before)[mask].exp()])
    assert row["val/ratio_max"] == pytest.approx(ratios.max().item(), rel=1e-4)
    assert row["val/ratio_var"] == pytest.approx(ratios.var().item(), rel=1e-3)
    assert row["val/ratio"] == pytest.approx(ratios.mean().item(), rel=1e-4)
