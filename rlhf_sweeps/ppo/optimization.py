"""The passes over a rollout: forward, loss, backward, optimizer step.

The backward pass runs in two stages. Logits are made a few tokens at a time from features that are cut off the graph;
each piece's loss goes back to the features at once, so that its logits can be freed, and nothing is computed twice.
Then the features' gradient goes through the trunk.
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
from rlhf_sweeps.ppo.memory import Halving, fitting
from rlhf_sweeps.ppo.metrics import STATE, States, Tally, Tokens
from rlhf_sweeps.ppo.rollout import Rollout
from rlhf_sweeps.ppo.steps import Step, steps


@dataclass(frozen=True)
class _Entry:
    """Where a microbatch's sums belong: rows (batch,) of the rollout, in an epoch."""

    tally: Tally
    epoch: int
    rows: Tensor


@dataclass(frozen=True)
class Optimization:
    """How rollouts are turned into optimizer steps.

    Attributes:
        microbatch: sequences a backward pass.
    """

    config: PPOConfig
    policy: LanguageModel
    value_model: ValueModel
    optimizer: torch.optim.Optimizer
    microbatch: Halving

    def run(self, rollout: Rollout, orders: Sequence[Sequence[int]], ends_pass: bool, trains_policy: bool) -> Tally:
        """All epochs over a rollout, or as many as `target_kl` allows.

        Args:
            orders: each epoch's permutation of the rows.
            ends_pass: whether this is the last update of a pass over the prompts; see steps.
            trains_policy: False trains the value model alone.
        """
        tally = Tally(rollout, len(orders))
        for step in steps(self.config, rollout.response_mask, rollout.state_mask, orders, ends_pass):
            self.microbatch.run(partial(self._train_policy, rollout, step, tally, trains_policy))
            if self._is_too_far(step, tally):
                break
            norms = self._step()
            if self.value_model.trunk is not None:
                # After the policy's gradients are gone, and so in no more memory than they took.
                self.microbatch.run(partial(self._train_value_model, rollout, step, tally))
                norms["value"] = self._step()["value"]
            tally.norms.append(norms)
        return tally

    def _train_policy(self, rollout: Rollout, step: Step, tally: Tally, trains_policy: bool, size: int) -> None:
        """The gradients of the policy, and of a value head on its trunk; `size` sequences at a time."""
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
        """The gradients of a value model with a trunk of its own."""
        assert self.value_model.trunk is not None
        self.optimizer.zero_grad()
        tally.begin(step.epoch, step.rows, names=STATE)
        for index in self._parts(rollout, step, size):
            rows = [step.rows[i] for i in index]
            features = self.policy.trunk_features(self.value_model.trunk, rollout.rows(rows))
            entry = _Entry(tally, step.epoch, torch.tensor(rows, device=features.values.device))
            self._backward_states(features, rollout, rows, step.state_weights[index], entry)

    def _parts(self, rollout: Rollout, step: Step, size: int) -> Iterator[list[int]]:
        """The step's sequences by length, as indices into its rows, `size` at a time; fewer where a CPU has enough."""
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
        """The policy's loss, from the tokens' logits to the features."""
        index, (rows, positions) = leaf.places(part.lengths)
        for chunk in self.policy.chunks(len(index)):
            at = rows[chunk], positions[chunk]
            loss, tokens = self._token_losses(self.policy.logits(leaf.values[index[chunk]]), part, at)
            if loss.requires_grad:
                (loss * weights[at]).sum().backward()
            entry.tally.add_tokens(entry.epoch, entry.rows[at[0]], tokens)

    def _token_losses(self, logits: Tensor, part: Rollout, at: tuple[Tensor, Tensor]) -> tuple[Tensor, Tokens]:
        """Each token's loss (tokens,), and what is logged of it. at: rows and positions of the tokens."""
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
        return loss, Tokens(*detached)

    def _backward_states(
        self, features: Features, rollout: Rollout, rows: Sequence[int], weights: Tensor, entry: "_Entry"
    ) -> None:
        """The value model's loss; rows: of the rollout, which the features and weights (rows, response) are of."""
        index, at = features.places([rollout.state_lengths[row] for row in rows])
        values = self.value_model(features.values[index])
        loss, is_clipped = equations.value_loss(
            values, rollout.values[rows][at], rollout.returns[rows][at], self.config.value_clip_range
        )
        (self.config.vf_coef * loss * weights[at]).sum().backward()
        entry.tally.add_states(entry.epoch, entry.rows[at[0]], States(loss.detach(), is_clipped))

    @torch.no_grad()
    def _tally_padding(self, features: Features, part: Rollout, width: int, entry: "_Entry") -> None:
        """What TRL's entropy adds for padding, up to the rollout's width.

        After the state behind the last token come positions that all read the same: no token, at the same position, of
        the same response. So one of them stands for all.
        """
        lengths = torch.tensor(part.lengths, device=entry.rows.device)
        first = torch.tensor(features.first, device=entry.rows.device)
        for offset, counts in ((0, (lengths < width).long()), (1, (width - 1 - lengths).clamp(min=0))):
            entropy = equations.token_entropy(
                self.policy.logits(features.values[first + lengths + offset]).log_softmax(-1)
            )
            entry.tally.add("padding_entropy", entry.epoch, entry.rows, entropy * counts)

    def _is_too_far(self, step: Step, tally: Tally) -> bool:
        """Whether the step's tokens are beyond `target_kl` already."""
        if self.config.target_kl is None:
            return False
        total = tally.sums["policy/approxkl_avg"][step.epoch, step.rows].sum() / tally.lengths[step.rows].sum()
        return total.item() > self.config.target_kl

    def _step(self) -> dict[str, Tensor]:
        """One step of whatever has gradients; returns their norms.

        Each model is clipped for itself, so that a poor value model does not shrink the policy's step.
        """
        models = {"policy": self.policy.model, "value": self.value_model}
        norms = {name: _clip_to_norm(model, self.config.max_grad_norm) for name, model in models.items()}
        # The first step makes the optimizer's state: twice the weights.
        with fitting(f"ppo.lora_rank={self.config.lora_rank}", "adapters, of a low rank, or a smaller model"):
            self.optimizer.step()
        return norms


def _clip_to_norm(model: nn.Module, limit: float | None) -> Tensor:
    """The norm of a model's gradients, which are then clipped to the limit."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    if not gradients:
        return torch.zeros((), device=next(model.parameters()).device)
    norm = nn.utils.get_total_norm(gradients)
    # A GPU had better not be waited for; on a CPU a pass over all gradients is worth a look.
    if limit is not None and (norm.is_cuda or norm > limit):
        nn.utils.clip_grads_with_norm_(model.parameters(), limit, norm)
    return norm
