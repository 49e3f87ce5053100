"""The epochs over a rollout: forward pass, loss, backward pass, optimizer step.

The backward pass has two stages. First, the logits of a few tokens at a time are computed from detached features, and
the gradient of their loss is added up at the features; then these logits are freed, and nothing is computed twice.
Second, the gradient of the features goes through the trunk.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from rlhf_sweeps.config.schema import PPOConfig
from rlhf_sweeps.ppo import equations
from rlhf_sweeps.ppo.constants import CPU_TOKENS
from rlhf_sweeps.ppo.language_model import Features, LanguageModel, ValueModel
from rlhf_sweeps.ppo.memory import BatchSize, require_memory
from rlhf_sweeps.ppo.metrics import STATE, StateTerms, Tally, TokenTerms
from rlhf_sweeps.ppo.rollout import Rollout
from rlhf_sweeps.ppo.steps import Step, plan_steps
from rlhf_sweeps.process.activity import report_activity


@dataclass(frozen=True)
class _Entry:
    """The place of a microbatch in the tally: its epoch and its rows, (batch,), in the rollout."""

    tally: Tally
    epoch: int
    rows: Tensor


@dataclass(frozen=True)
class Optimization:
    """Trains policy and value model on rollouts.

    Attributes:
        microbatch: the number of sequences in a backward pass.
    """

    config: PPOConfig
    policy: LanguageModel
    value_model: ValueModel
    optimizer: torch.optim.Optimizer
    microbatch: BatchSize

    def run(self, rollout: Rollout, orders: Sequence[Sequence[int]], ends_pass: bool, trains_policy: bool) -> Tally:
        """Train for all epochs over a rollout, or until `target_kl` is exceeded.

        Args:
            orders: the permutation of the rows for each epoch.
            ends_pass: whether this is the last update of a pass over the prompts; see steps.py.
            trains_policy: False trains the value model only.
        """
        tally = Tally(rollout, len(orders))
        with report_activity("training on them", sum(map(len, orders))) as training:
            for step in plan_steps(self.config, rollout.response_mask, rollout.state_mask, orders, ends_pass):
                self.microbatch.run(partial(self._train_policy, rollout, step, tally, trains_policy))
                if self._is_too_far(step, tally):
                    break
                norms = self._step()
                if self.value_model.trunk is not None:
                    # After the policy's step, so that its gradients are freed first and memory is reused.
                    self.microbatch.run(partial(self._train_value_model, rollout, step, tally))
                    norms["value"] = self._step()["value"]
                tally.norms.append(norms)
                training.done += len(step.rows)
        return tally

    def _train_policy(self, rollout: Rollout, step: Step, tally: Tally, trains_policy: bool, size: int) -> None:
        """Compute the gradients of the policy, and of a value head on its trunk, `size` sequences at a time."""
        self.optimizer.zero_grad()
        tally.begin(step.epoch, step.rows)
        for index in self._parts(rollout, step, size):
            rows = [step.rows[i] for i in index]
            part = rollout.rows(rows)
            weights = step.weights[index, : part.response_ids.shape[1]]
            entry = _Entry(tally, step.epoch, torch.tensor(rows, device=weights.device))
            with torch.set_grad_enabled(trains_policy):
                features = self.policy.features(part, has_padding=self.config.trl_metrics)
                leaf = replace(features, values=features.values.detach().requires_grad_(trains_policy))
                self._backward_tokens(leaf, part, weights, entry)
            if self.config.trl_metrics:
                self._tally_padding(leaf, part, rollout.response_ids.shape[1], entry)
            if self.value_model.trunk is None:
                self._backward_states(leaf, rollout, rows, step.state_weights[index], entry)
            if trains_policy:
                features.values.backward(leaf.values.grad)

    def _train_value_model(self, rollout: Rollout, step: Step, tally: Tally, size: int) -> None:
        """Compute the gradients of a value model with its own trunk, `size` sequences at a time."""
        assert self.value_model.trunk is not None
        self.optimizer.zero_grad()
        tally.begin(step.epoch, step.rows, names=STATE)
        for index in self._parts(rollout, step, size):
            rows = [step.rows[i] for i in index]
            features = self.policy.trunk_features(self.value_model.trunk, rollout.rows(rows))
            entry = _Entry(tally, step.epoch, torch.tensor(rows, device=features.values.device))
            self._backward_states(features, rollout, rows, step.state_weights[index], entry)

    def _parts(self, rollout: Rollout, step: Step, size: int) -> Iterator[list[int]]:
        """The step's sequences, ordered by length, as indices into its rows: `size` at a time, fewer on a CPU."""
        lengths = [len(rollout.sequences[row]) for row in step.rows]
        room = CPU_TOKENS if rollout.prompt_ids.device.type == "cpu" else sum(lengths)
        part: list[int] = []
        for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
            if part and (len(part) == size or sum(lengths[i] for i in part) + lengths[index] > room):
                yield part
                part = []
            part.append(index)
        yield part

    def _backward_tokens(self, leaf: Features, part: Rollout, weights: Tensor, entry: "_Entry") -> None:
        """Compute the policy's loss and its gradient at the features, chunk by chunk."""
        index, (rows, positions) = leaf.places(part.lengths)
        for chunk in self.policy.chunks(len(index)):
            at = rows[chunk], positions[chunk]
            loss, tokens = self._token_losses(self.policy.logits(leaf.values[index[chunk]]), part, at)
            if loss.requires_grad:
                (loss * weights[at]).sum().backward()
            entry.tally.add_tokens(entry.epoch, entry.rows[at[0]], tokens)

    def _token_losses(self, logits: Tensor, part: Rollout, at: tuple[Tensor, Tensor]) -> tuple[Tensor, TokenTerms]:
        """The loss of each token, (tokens,), and the quantities for the log; `at`: rows and positions of the tokens."""
        config = self.config
        distributions = logits.log_softmax(-1)
        logprobs = distributions.gather(-1, part.response_ids[at].unsqueeze(-1)).squeeze(-1)
        with torch.set_grad_enabled(logits.requires_grad and config.entropy_coef > 0):
            entropy = equations.token_entropy(distributions)
        log_ratio = logprobs - part.logprobs[at]
        ratio = log_ratio.exp()
        clipped, is_clipped = equations.policy_loss(ratio, part.advantages[at], config.clip_range, config.dual_clip)
        loss = clipped - config.entropy_coef * entropy
        if config.kl_in == "loss":
            everywhere = torch.ones_like(logprobs, dtype=torch.bool)
            loss = loss + part.kl_coef * equations.kl_estimate(
                logprobs, part.ref_logprobs[at], everywhere, config.kl_estimator
            )
        detached = (x.detach() for x in (log_ratio, ratio, entropy, clipped, is_clipped))
        return loss, TokenTerms(*detached)

    def _backward_states(
        self, features: Features, rollout: Rollout, rows: Sequence[int], weights: Tensor, entry: "_Entry"
    ) -> None:
        """Compute the value model's loss and its gradient.

        Args:
            rows: the rows of the rollout that the features belong to.
            weights: (rows, response).
        """
        index, at = features.places([rollout.state_lengths[row] for row in rows])
        values = self.value_model(features.values[index])
        loss, is_clipped = equations.value_loss(
            values, rollout.values[rows][at], rollout.returns[rows][at], self.config.value_clip_range
        )
        (self.config.vf_coef * loss * weights[at]).sum().backward()
        entry.tally.add_states(entry.epoch, entry.rows[at[0]], StateTerms(loss.detach(), is_clipped))

    @torch.no_grad()
    def _tally_padding(self, features: Features, part: Rollout, width: int, entry: "_Entry") -> None:
        """Add up the entropy at padding, up to the rollout's width, which TRL's metric includes.

        All padding positions of a response, after the state behind its last token, have the same input: a masked token
        at the same position. So one of them stands for all.
        """
        lengths = torch.tensor(part.lengths, device=entry.rows.device)
        first = torch.tensor(features.first, device=entry.rows.device)
        for offset, counts in ((0, (lengths < width).long()), (1, (width - 1 - lengths).clamp(min=0))):
            entropy = equations.token_entropy(
                self.policy.logits(features.values[first + lengths + offset]).log_softmax(-1)
            )
            entry.tally.add("padding_entropy", entry.epoch, entry.rows, entropy * counts)

    def _is_too_far(self, step: Step, tally: Tally) -> bool:
        """Whether the approximate KL of the step's tokens exceeds `target_kl`."""
        if self.config.target_kl is None:
            return False
        total = tally.sums["policy/approxkl_avg"][step.epoch, step.rows].sum() / tally.lengths[step.rows].sum()
        return total.item() > self.config.target_kl

    def _step(self) -> dict[str, Tensor]:
        """Make an optimizer step with all parameters that have gradients; returns the gradient norm of each model.

        Each model is clipped separately, so that a poor value model does not shrink the policy's step.
        """
        models = {"policy": self.policy.model, "value": self.value_model}
        norms = {name: _clip_to_norm(model, self.config.max_grad_norm) for name, model in models.items()}
        # The first step allocates the optimizer's state, which is twice as large as the weights.
        with require_memory(f"ppo.lora_rank={self.config.lora_rank}", "adapters, of a low rank, or a smaller model"):
            self.optimizer.step()
        return norms


def _clip_to_norm(model: nn.Module, limit: float | None) -> Tensor:
    """Clip the norm of a model's gradients to the limit; returns the norm before clipping."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    if not gradients:
        return torch.zeros((), device=next(model.parameters()).device)
    norm = nn.utils.get_total_norm(gradients)
    # Comparing the norm would wait for a GPU; on a CPU the comparison can save a pass over all gradients.
    if limit is not None and (norm.is_cuda or norm > limit):
        nn.utils.clip_grads_with_norm_(model.parameters(), limit, norm)
    return norm
