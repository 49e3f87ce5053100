"""PPO: rollout -> rewards -> advantages -> epochs of minibatches. A generator of metrics, one dict per update.

Knows nothing of files, W&B, Hydra or Optuna. Beside TRL 1.12's algorithm, whose faults are mended: masks are explicit,
the optimizer steps at the end of every minibatch, every mean is over real tokens, gradients are clipped, all randomness
is seeded, and the score is the end token's reward.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf_sweeps.config import PPOConfig
from rlhf_sweeps.ppo import DivergedError, equations
from rlhf_sweeps.ppo.rollout import Responses, Sampler, response_logits, response_values
from rlhf_sweeps.ppo.seeds import generator

Score = Callable[[Sequence[int], Responses], Tensor]


@dataclass(frozen=True)
class Targets:
    """What a rollout's optimization aims at; tensors are (batch, response) and 0 outside the mask."""

    values: Tensor
    advantages: Tensor
    returns: Tensor


class PPOTrainer:
    """Trains a policy and its value model.

    Args:
        prompts: token ids of the training prompts.
        batch_indices: update -> which prompts it trains on.
        score: (indices of the prompts, responses) -> one score each, (batch,).
    """

    def __init__(
        self,
        config: PPOConfig,
        policy: PreTrainedModel,
        ref_policy: PreTrainedModel,
        value_model: nn.Module,
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
        parameters = [*policy.parameters(), *value_model.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=0.0, fused=True)

    @property
    def models(self) -> dict[str, nn.Module]:
        """What is trained."""
        return {"policy": self.policy, "value": self.value_model}

    def updates(self) -> Iterator[dict[str, float]]:
        """Train to the end from wherever the trainer stands; yields each update's metrics."""
        while self.update < self.config.num_updates:
            yield self.step()

    def step(self) -> dict[str, float]:
        """One update.

        Raises:
            DivergedError: if a loss is not finite.
        """
        self.update += 1
        lr = self._set_lr()
        clock = _Clock()
        indices = self.batch_indices(self.update)
        noise = generator(self.seed, "rollout", self.update, self.policy.device)
        batch = self.sampler.sample(self.policy, [self.prompts[i] for i in indices], noise)
        clock.lap("sample")
        scores = self.score(indices, batch)
        ref_logprobs, values = self._reference(batch)
        targets, metrics = self._targets(batch, scores, ref_logprobs, values)
        clock.lap("score")
        metrics |= self._optimize(batch, targets)
        clock.lap("optimize")
        episode = self.update * self.config.batch_size
        prompt_tokens, response_tokens = int(batch.prompt_mask.sum()), int(batch.response_mask.sum())
        return {
            "update": self.update,
            "episode": episode,
            "epoch": episode / len(self.prompts),
            "lr": lr,
            **metrics,
            "tokens/sample": response_tokens,
            "tokens/score": prompt_tokens + response_tokens,
            "tokens/optimize": (prompt_tokens + response_tokens) * self.config.num_ppo_epochs,
            **clock.seconds,
            "eps": self.config.batch_size / sum(clock.seconds.values()),
        }

    def _set_lr(self) -> float:
        """The rate of this update: linear falls from lr to 0 over the run, one step an update."""
        done = (self.update - 1) / self.config.num_updates
        lr = self.config.lr * (1 - done if self.config.lr_schedule == "linear" else 1)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        return lr

    @torch.no_grad()
    def _reference(self, batch: Responses) -> tuple[Tensor, Tensor]:
        """The reference policy's logprobs and the value model's values; (batch, response), 0 outside the mask."""
        ref_logprobs, values = torch.zeros_like(batch.logprobs), torch.zeros_like(batch.logprobs)
        for rows in torch.arange(len(batch.ended)).split(self.config.microbatch_size):
            part = batch.rows(rows)
            width = part.response_ids.shape[1]
            logits = response_logits(self.ref_policy, part, self.config.temperature)
            ref_logprobs[rows, :width] = equations.token_logprobs(logits, part.response_ids) * part.response_mask
            values[rows, :width] = response_values(self.value_model, part)
        return ref_logprobs, values

    def _targets(
        self, batch: Responses, raw_scores: Tensor, ref_logprobs: Tensor, values: Tensor
    ) -> tuple[Targets, dict[str, float]]:
        config, mask = self.config, batch.response_mask
        scores = raw_scores - (config.missing_eos_penalty or 0.0) * ~batch.ended
        kl = equations.kl_estimate(batch.logprobs, ref_logprobs, mask, config.kl_estimator)
        rewards = equations.token_rewards(kl, scores, mask, config.kl_coef)
        advantages = equations.generalized_advantages(rewards, values, config.gamma, config.gae_lambda)
        returns = advantages + values
        non_score_reward = -config.kl_coef * kl.sum(-1).mean()
        metrics = {
            "objective/kl": kl.sum(-1).mean(),
            "objective/entropy": -batch.logprobs.sum(-1).mean(),
            "objective/non_score_reward": non_score_reward,
            "objective/scores": scores.mean(),
            "objective/rlhf_reward": non_score_reward + scores.mean(),
            "objective/length": mask.sum(-1).float().mean(),
            "objective/eos_rate": batch.ended.float().mean(),
            "val/num_eos_tokens": batch.ended.sum(),
        }
        targets = Targets(values, equations.whiten(advantages, mask), returns * mask)
        return targets, {name: value.item() for name, value in metrics.items()}

    def _optimize(self, batch: Responses, targets: Targets) -> dict[str, float]:
        """All epochs over one rollout; the metrics' means are over every real token of every epoch."""
        config = self.config
        sums: dict[str, float] = defaultdict(float)
        ratios: list[Tensor] = []
        shuffle = generator(self.seed, "minibatches", self.update)
        num_steps = config.num_ppo_epochs * config.num_minibatches
        for _ in range(config.num_ppo_epochs):
            order = torch.randperm(len(batch.ended), generator=shuffle)
            for minibatch in order.split(config.batch_size // config.num_minibatches):
                num_tokens = int(batch.response_mask[minibatch].sum())
                for rows in minibatch.split(config.microbatch_size):
                    loss = self._loss(batch.rows(rows), targets, rows, sums, ratios) / num_tokens
                    loss.backward()
                for name, norm in self._clip_gradients().items():
                    sums[name] += norm / num_steps
                self.optimizer.step()
                # Kept allocated: freeing them makes the next backward fault every page in again.
                self.optimizer.zero_grad(set_to_none=False)
        total = int(batch.response_mask.sum()) * config.num_ppo_epochs
        norms = {name: sums.pop(name) for name in ("policy/grad_norm", "value/grad_norm")}
        ratio = torch.cat(ratios)
        variance = ratio.var().item() if len(ratio) > 1 else 0.0
        return {name: value / total for name, value in sums.items()} | norms | {"val/ratio_var": variance}

    def _loss(
        self, batch: Responses, targets: Targets, rows: Tensor, sums: dict[str, float], ratios: list[Tensor]
    ) -> Tensor:
        """The loss of a microbatch, summed over its tokens; adds to the sums that become metrics."""
        config, mask = self.config, batch.response_mask
        width = mask.shape[1]
        logits = response_logits(self.policy, batch, config.temperature)
        logprobs = equations.token_logprobs(logits, batch.response_ids)
        log_ratio = (logprobs - batch.logprobs).masked_fill(~mask, 0.0)
        ratio = log_ratio.exp()
        values = response_values(self.value_model, batch)
        policy_loss, policy_clipped = equations.policy_loss(ratio, targets.advantages[rows, :width], config.clip_range)
        value_loss, value_clipped = equations.value_loss(
            values, targets.values[rows, :width], targets.returns[rows, :width], config.value_clip_range
        )
        loss = ((policy_loss + config.vf_coef * value_loss) * mask).sum()
        if not loss.isfinite():
            raise DivergedError(f"the loss of update {self.update} is {loss.item()}")
        with torch.no_grad():
            ratios.append(ratio[mask])
            for name, per_token in {
                "policy/approxkl_avg": log_ratio.square() / 2,
                "policy/clipfrac_avg": policy_clipped,
                "policy/entropy_avg": equations.token_entropy(logits),
                "loss/policy_avg": policy_loss,
                "loss/value_avg": value_loss,
                "val/clipfrac_avg": value_clipped,
                "val/ratio": ratio,
            }.items():
                sums[name] += (per_token * mask).sum().item()
        return loss

    def _clip_gradients(self) -> dict[str, float]:
        """Clip policy and value model each for itself, so that a poor value model does not shrink the policy's step."""
        limit = self.config.max_grad_norm or float("inf")
        return {
            f"{name}/grad_norm": nn.utils.clip_grad_norm_(model.parameters(), limit).item()
            for name, model in self.models.items()
        }


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds[f"perf/{phase}_seconds"] = now - self._last
        self._last = now
