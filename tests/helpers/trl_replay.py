"""What a real TRL has recorded, run through our trainer: ours beside TRL's, and what they may differ by."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import ROOT, Compose
from safetensors.torch import load_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedModel

from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.ppo.language_model import ValueModel
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.ppo.metrics import Tally
from rlhf_sweeps.ppo.optimization import Optimization
from rlhf_sweeps.ppo.packing import enable_packing
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.steps import split_into_microbatches
from rlhf_sweeps.ppo.trainer import PPOTrainer
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.classifier import ClassifierRewardModel

# TRL's argument -> our key.
KEYS = {
    "num_mini_batches": "num_minibatches",
    "gradient_accumulation_steps": "accumulation_steps",
    "per_device_train_batch_size": "microbatch_size",
    "learning_rate": "lr",
    "cliprange": "clip_range",
    "cliprange_value": "value_clip_range",
    "lam": "gae_lambda",
} | {
    key: key
    for key in (
        *("num_ppo_epochs", "response_length", "temperature", "kl_coef", "kl_estimator", "vf_coef", "gamma"),
        *("missing_eos_penalty", "whiten_rewards"),
    )
}


@dataclass(frozen=True)
class Recorded:
    """A sampler that replays the rollouts of TRL."""

    batches: Iterator[Responses]
    batch: BatchSize

    def sample(self, *_: Any) -> Responses:
        return next(self.batches)


@dataclass
class Replay:
    """A case run through our trainer: what was recorded, and what ours made of it."""

    recorded: dict[str, Any]
    tensors: dict[str, Tensor]
    rows: list[dict[str, float]]
    tallies: list[Tally]
    trainer: PPOTrainer


def load_recording(case: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    folder = ROOT / "tests" / "parity"
    recorded = json.loads((folder / f"{case}.json").read_text(encoding="utf-8"))
    return recorded, load_file(folder / f"{case}.safetensors")


def load_weights(model: PreTrainedModel, tensors: dict[str, Tensor], prefix: str) -> PreTrainedModel:
    model.load_state_dict({n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})
    return model.eval()


def config_of(recorded: dict[str, Any], compose_config: Compose) -> Config:
    settings = recorded["settings"]
    overrides = [f"ppo.{KEYS[key]}={'null' if v is None else v}" for key, v in settings.items() if key in KEYS]
    batch_size = settings["per_device_train_batch_size"] * settings["gradient_accumulation_steps"]
    num_episodes = batch_size * len(recorded["updates"])
    return compose_config("ppo=trl", *overrides, f"ppo.batch_size={batch_size}", f"ppo.total_episodes={num_episodes}")


def replay(case: str, compose_config: Compose, is_packed: bool = True, **changes: Any) -> Replay:
    """Run a case's updates; changes: to the PPO settings."""
    recorded, tensors = load_recording(case)
    ppo = replace(config_of(recorded, compose_config).ppo, **changes)
    shape = LlamaConfig(**recorded["model"])
    policy, ref_policy = (
        load_weights(LlamaForCausalLM(shape), tensors, prefix) for prefix in ("policy.", "ref_policy.")
    )
    shape.num_labels = 1
    value, reward = (
        load_weights(LlamaForSequenceClassification(shape), tensors, prefix)
        for prefix in ("value_model.", "reward_model.")
    )
    if is_packed:
        assert all(enable_packing(model.base_model) for model in (policy, ref_policy, value, reward))
    pad_id = recorded["model"]["pad_token_id"]
    vocabulary = {str(number): number for number in range(reward.config.vocab_size)}
    tokenizer: Any = SimpleNamespace(
        get_vocab=lambda: vocabulary, chat_template=None, pad_token_id=pad_id, model_max_length=1000
    )
    reward_model = ClassifierRewardModel(reward, tokenizer, tokenizer, BatchSize("", 5))
    updates = range(1, len(recorded["updates"]) + 1)
    trainer = PPOTrainer(
        ppo,
        models.make_language_model(policy, ppo),
        lambda: models.open_reference(models.freeze(ref_policy), None),
        ValueModel(value.score, value.model),
        Recorded((responses(tensors, update, recorded) for update in updates), BatchSize("", 5)),  # type: ignore[arg-type]
        prompts=[[5]] * recorded["num_prompts"],
        batch_indices=lambda _: list(range(ppo.batch_size)),
        score=lambda _, batch: reward_model.score(Exchanges([], [], batch.sequences)),
        seed=0,
    )
    trainer._orders = lambda _: recorded["updates"][trainer.update - 1]["permutations"]  # type: ignore[method-assign]
    tallies = []
    run = Optimization.run

    def run_and_keep(*arguments: Any) -> Tally:
        tallies.append(run(*arguments))
        return tallies[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Optimization, "run", run_and_keep)
        rows = list(trainer.updates())
    return Replay(recorded, tensors, rows, tallies, trainer)


def responses(tensors: dict[str, Tensor], update: int, recorded: dict[str, Any]) -> Responses:
    ids, mask = tensors[f"{update}.response_ids"], tensors[f"{update}.mask"]
    return Responses(
        tensors[f"{update}.prompt_ids"],
        tensors[f"{update}.prompt_mask"],
        ids,
        mask,
        tensors[f"{update}.logprobs"],
        (ids == recorded["model"]["eos_token_id"]).any(-1),
    )


def bound_of(kind: str) -> float:
    """What numbers of a kind may differ by, relative to the largest of them."""
    return 1e-5 if kind in ("raw_scores", "scores", "ref_logprobs", "rewards", "returns", "lr") else 1e-4


def bound_of_whitened(x: Tensor, difference: float) -> float:
    """What whitened numbers may differ by, relative to the largest, where the numbers x differ by a `difference`.

    With y = (x - mean) / std, a difference e of x moves x - mean by 2 e at most and std by e sqrt(n / (n - 1)), so y by
    (2 + |y| sqrt(n / (n - 1))) e / std. To e comes what float32 rounds in sums of n numbers.
    """
    n = len(x)
    std = x.std().item()
    largest: float = ((x - x.mean()).abs().max() / std).item()
    e: float = difference + math.sqrt(n) * torch.finfo(torch.float32).eps * x.abs().max().item()
    return (2 / largest + math.sqrt(n / (n - 1))) * e / std


def bound_of_advantages(run: Replay, update: int) -> float:
    """Advantages are whitened returns - values, so they inherit what these differ by, as far as that is allowed."""
    rollout, mask = run.tallies[update - 1].rollout, run.tensors[f"{update}.mask"]
    returns, values = (run.tensors[f"{update}.{name}"].double() for name in ("returns", "values"))
    theirs = (returns - values)[mask]
    difference = ((rollout.returns.double() - rollout.values)[mask] - theirs).abs().max().item()
    allowed = sum(bound_of(kind) * x.abs().max().item() for kind, x in (("returns", returns), ("values", values)))
    return bound_of_whitened(theirs, min(difference, allowed))


def differences(run: Replay) -> dict[str, float]:
    """What differs most, per kind of number: relative to the largest of its kind in the update, in bounds."""
    found: dict[str, float] = {}

    def compare(
        kind: str, ours: Sequence[float] | Tensor, theirs: Sequence[float] | Tensor, bound: float | None = None
    ) -> None:
        a, b = torch.as_tensor(ours).double(), torch.as_tensor(theirs).double()
        # As another number of optimizer steps has it.
        same = a.shape == b.shape
        difference = ((a - b).abs().max() / b.abs().max()).item() / (bound or bound_of(kind)) if same else math.inf
        # Not a number is beyond any bound.
        found[kind] = max(found.get(kind, 0.0), math.inf if math.isnan(difference) else difference)

    for update, (tally, row, recorded) in enumerate(
        zip(run.tallies, run.rows, run.recorded["updates"], strict=True), start=1
    ):
        for name in ("raw_scores", "scores", "ref_logprobs", "values", "rewards", "returns"):
            compare(name, getattr(tally.rollout, name), run.tensors[f"{update}.{name}"])
        bound = bound_of_advantages(run, update)
        compare("advantages", tally.rollout.advantages, run.tensors[f"{update}.advantages"], bound)
        entries = [
            (epoch, part)
            for epoch, order in enumerate(recorded["permutations"])
            for minibatch in split_into_microbatches(run.trainer.config, order)
            for part in minibatch
        ]
        for name, theirs, lengths in (
            ("loss/policy_avg", "policy_loss", tally.lengths),
            ("loss/value_avg", "value_loss", tally.state_lengths),
        ):
            ours = [(tally.sums[name][epoch, part].sum() / lengths[part].sum()).item() for epoch, part in entries]
            compare(theirs, ours, [each[theirs] for each in recorded["microbatches"]])
        for model in ("policy", "value"):
            ours = [norms[model].item() for norms in tally.norms]
            compare(f"{model}_grad_norm", ours, [each[f"{model}_grad_norm"] for each in recorded["steps"]])
        for name, number in recorded["metrics"].items():
            if name in row or f"trl_compat/{name}" in row:
                compare(name, [row.get(f"trl_compat/{name}", row.get(name, 0.0))], [number])
        compare("lr", [row["lr"]], [recorded["lr"]])
    for name, parameter in run.trainer.policy.model.named_parameters():
        compare("final policy", parameter.detach(), run.tensors[f"final.policy.{name}"])
    return found


def beyond_tolerance(found: dict[str, float]) -> dict[str, float]:
    return {kind: value for kind, value in found.items() if value > 1}
