"""PPO: rollout -> rewards -> advantages -> epochs of minibatches. A generator of metrics, one dict per update."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf_sweeps.config.schema import PPOConfig
from rlhf_sweeps.ppo import equations
from rlhf_sweeps.ppo.constants import LATER_PATIENCE
from rlhf_sweeps.ppo.language_model import LanguageModel, ValueModel
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.ppo.optimization import Optimization
from rlhf_sweeps.ppo.rollout import Responses, Rollout, assess, mask_states, mean_return
from rlhf_sweeps.ppo.sampling import Sampler
from rlhf_sweeps.ppo.schedules import RunningStatistics, lr_factor
from rlhf_sweeps.ppo.seeds import make_generator
from rlhf_sweeps.ppo.trl_compat import trl_metrics
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.process.failures import DivergedError

Score = Callable[[Sequence[int], Responses], Tensor]
Reference = Callable[[], AbstractContextManager[PreTrainedModel]]


class PPOTrainer:
    """Trains a policy and its value model.

    Args:
        ref_policy: a context manager for the reference policy; with adapters, it turns off those of the policy.
        prompts: token ids of the training prompts.
        batch_indices: update -> indices of its prompts, each `rollouts_per_prompt` times.
        score: (indices of the prompts, responses) -> scores, (batch,).
    """

    def __init__(
        self,
        config: PPOConfig,
        policy: LanguageModel,
        ref_policy: Reference,
        value_model: ValueModel,
        sampler: Sampler,
        prompts: Sequence[Sequence[int]],
        batch_indices: Callable[[int], list[int]],
        score: Score,
        seed: int,
    ) -> None:
        self.config = config
        self.policy = policy
        self.ref_policy = ref_policy
        self.value_model = value_model
        self.sampler = sampler
        self.prompts = prompts
        self.batch_indices = batch_indices
        self.score = score
        self.seed = seed
        self.update = 0
        self.kl_coef = config.kl_coef
        self.score_statistics = RunningStatistics()
        self.microbatch = BatchSize("ppo.microbatch_size", config.microbatch_size)
        groups = [
            {"params": [p for p in model.parameters() if p.requires_grad], "lr": lr, "highest_lr": lr}
            for model, lr in ((policy.model, config.lr), (value_model, config.highest_value_lr))
        ]
        self.optimizer = torch.optim.AdamW(groups, eps=config.adam_eps, weight_decay=0.0, fused=True)
        self.optimization = Optimization(config, policy, value_model, self.optimizer, self.microbatch)

    @property
    def models(self) -> dict[str, nn.Module]:
        """The trained models by name."""
        return {"policy": self.policy.model, "value": self.value_model}

    @property
    def state(self) -> dict[str, Any]:
        """The state that a continued run needs in addition to weights and optimizer, as plain values."""
        return {
            "kl_coef": self.kl_coef,
            "score_statistics": asdict(self.score_statistics),
            "value_offset": self.value_model.offset,
        }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.kl_coef = state["kl_coef"]
        self.score_statistics = RunningStatistics(**state["score_statistics"])
        self.value_model.offset = state["value_offset"]

    def start_values(self, batch: Responses, scores: Tensor) -> None:
        """Set the value model's offset so that its mean value equals the mean return of these responses.

        This is done with ppo.value_start=base_return only. While values are far from the returns, advantages depend
        more on a token's position than on its quality, and clipped values need many updates to come near.

        Args:
            scores: (batch,), from `score`.
        """
        config = self.config
        if config.value_start != "base_return":
            return
        statistics = RunningStatistics()
        statistics.add(scores)
        scaled = statistics.scale(scores, config.score_scaling, config.score_clip).to(batch.logprobs.device)
        self.value_model.offset += mean_return(config, batch, scaled) - self._mean_value(batch)

    def _mean_value(self, batch: Responses) -> float:
        if not self.value_model.head.weight.any():  # a new head returns the offset for any features
            return self.value_model.offset
        values = self.sampler.batch.run(lambda size: self._read_values(batch, size))[:, :-1]
        return equations.masked_mean(values, mask_states(self.config, batch.response_mask)).item()

    def updates(self) -> Iterator[dict[str, float]]:
        """Train all remaining updates; yields the metrics of each."""
        patience = None
        while self.update < self.config.num_updates:
            yield self.step(patience)
            # Each update has its line when it is done, so that only the first one, and very long ones, need more.
            patience = LATER_PATIENCE

    def step(self, patience: float | None = None) -> dict[str, float]:
        """One update.

        Args:
            patience: see `report_activity`.

        Raises:
            DivergedError: if logits, scores, losses or gradients are not finite.
        """
        self.update += 1
        try:
            with report_activity(f"update {self.update} of {self.config.num_updates}", patience=patience):
                row = self._step()
        except DivergedError as error:
            raise DivergedError(f"update {self.update}: {error}") from error
        return row

    def check(self) -> None:
        """Check the policy before it is saved.

        Raises:
            DivergedError: if its logits are not finite.
        """
        with torch.no_grad():
            ids = torch.tensor([self.prompts[0]], device=self.policy.model.device)
            logits = self.policy.model(input_ids=ids, use_cache=False).logits
        if not logits.isfinite().all():
            raise DivergedError(f"update {self.update}: the policy's logits are not finite any more")

    def _step(self) -> dict[str, float]:
        lr = self._set_lr()
        clock = _Clock()
        indices = self.batch_indices(self.update)
        noise = make_generator(self.seed, "rollout", self.update, self.policy.model.device)
        prompts = [self.prompts[i] for i in indices]
        batch = self.sampler.sample(self.policy.model, prompts, noise)
        clock.lap("sample")
        scores = self.score(indices, batch)
        with report_activity("reading them with the reference policy and the value model"):
            rollout = self._assess(batch, scores)
        clock.lap("score")
        orders = self._orders(len(indices))
        trains_policy = self.update > self.config.value_warmup_updates
        tally = self.optimization.run(rollout, orders, self._ends_pass(), trains_policy)
        metrics = tally.metrics() | (trl_metrics(self.config, tally, orders) if self.config.trl_metrics else {})
        numbers = dict(zip(metrics, torch.stack([m.float() for m in metrics.values()]).tolist(), strict=True))
        _check_finite(numbers)
        clock.lap("optimize")
        self._adapt_kl_coef(numbers["objective/kl"])
        return {**self._counts(rollout, numbers["policy/epochs"]), "lr": lr, **numbers, **clock.timings(len(indices))}

    def _set_lr(self) -> float:
        """Set the learning rates of this update; returns the policy's."""
        config = self.config
        factor = lr_factor(config.lr_schedule, self.update, config.num_updates, config.lr_warmup_updates)
        for group in self.optimizer.param_groups:
            group["lr"] = group["highest_lr"] * factor
        return config.lr * factor

    def _assess(self, batch: Responses, raw_scores: Tensor) -> Rollout:
        """The rollout of scored responses."""
        config = self.config
        if not raw_scores.isfinite().all():
            raise DivergedError("the reward model's scores are not finite")
        if config.score_scaling != "none":
            self.score_statistics.add(raw_scores)
        scores = self.score_statistics.scale(raw_scores, config.score_scaling, config.score_clip)
        ref_logprobs, values = self.sampler.batch.run(lambda size: self._read(batch, size))
        return assess(config, batch, raw_scores, scores, ref_logprobs, values, self.kl_coef)

    def _read(self, batch: Responses, size: int) -> tuple[Tensor, Tensor]:
        """The reference policy's logprobs, (batch, response), and values, (batch, response + 1); 0 outside."""
        values = self._read_values(batch, size)
        with self.ref_policy() as model:
            return replace(self.policy, model=model).logprobs(batch, size), values

    @torch.no_grad()
    def _read_values(self, batch: Responses, size: int) -> Tensor:
        """The values before each token and after the last one, (batch, response + 1); 0 outside the mask."""
        num_rows, width = batch.logprobs.shape
        values = batch.logprobs.new_zeros(num_rows, width + 1)
        trunk = self.value_model.trunk
        for rows in batch.parts(size):
            part = batch.rows(rows)
            features = self.policy.features(part) if trunk is None else self.policy.trunk_features(trunk, part)
            index, (places, positions) = features.places([length + 1 for length in part.lengths])
            of_batch = torch.tensor(rows, device=index.device)[places]
            values[of_batch, positions] = self.value_model(features.values[index])
        return values

    def _orders(self, num_rows: int) -> list[list[int]]:
        """A permutation of the rows for every epoch."""
        shuffle = make_generator(self.seed, "minibatches", self.update)
        return [torch.randperm(num_rows, generator=shuffle).tolist() for _ in range(self.config.num_ppo_epochs)]

    def _ends_pass(self) -> bool:
        """Whether the update is the last of a pass over the prompts; TRL counts whole batches only."""
        return self.update % max(1, len(self.prompts) // self.config.num_prompts) == 0

    def _adapt_kl_coef(self, kl: float) -> None:
        """Set the KL coefficient of the next update by the sequence KL of this one."""
        config = self.config
        if config.kl_target is not None:
            self.kl_coef = equations.adapted_kl_coef(
                self.kl_coef, kl, config.kl_target, config.kl_horizon, config.batch_size
            )

    def _counts(self, rollout: Rollout, epochs: float) -> dict[str, float]:
        episode = self.update * self.config.batch_size
        num_sampled = sum(rollout.lengths)
        num_read = sum(rollout.prompt_lengths) + num_sampled
        return {
            "update": self.update,
            "episode": episode,
            "epoch": self.update * self.config.num_prompts / len(self.prompts),
            "tokens/sample": num_sampled,
            "tokens/score": num_read,
            "tokens/optimize": round(num_read * epochs),
            "perf/microbatch_size": self.microbatch.size,
            "perf/rollout_batch_size": self.sampler.batch.size,
        }


def _check_finite(numbers: dict[str, float]) -> None:
    # Losses first: if one is not finite, many other metrics are not either, and the loss names the cause.
    for name in sorted(numbers, key=lambda name: not name.startswith("loss/")):
        if not math.isfinite(numbers[name]):
            raise DivergedError(f"{name} is {numbers[name]}")


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds[f"perf/{phase}_seconds"] = now - self._last
        self._last = now

    def timings(self, num_episodes: int) -> dict[str, float]:
        return {**self.seconds, "eps": num_episodes / sum(self.seconds.values())}
