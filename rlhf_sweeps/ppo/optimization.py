"""The passes over a rollout: forward, loss, backward, optimizer step.

The backward pass runs in two stages. Logits are made a few tokens at a time from features that are cut off the graph;
each piece's loss goes back to the features at once, so that its logits can be freed, and nothing is computed twice.
Then the features' gradient goes through the trunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from rlhf_sweeps.config import PPOConfig
from rlhf_sweeps.ppo import equations
from rlhf_sweeps.ppo.language_model import Features, LanguageModel, ValueModel
from rlhf_sweeps.ppo.memory import Halving
from rlhf_sweeps.ppo.metrics import States, Tally, Tokens
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
            self.microbatch.run(partial(self._gradients, rollout, step, tally, trains_policy))
            if self._is_too_far(step, tally):
                break
            tally.norms.append(self._clip())
            self.optimizer.step()
        return tally

    def _gradients(self, rollout: Rollout, step: Step, tally: Tally, trains_policy: bool, size: int) -> None:
        """The gradients of one optimizer step's loss, `size` sequences of similar length at a time."""
        # Kept allocated: freeing them makes the next backward pass fault every page in again.
        self.optimizer.zero_grad(set_to_none=False)
        tally.begin(step.epoch, step.rows)
        order = sorted(range(len(step.rows)), key=lambda i: len(rollout.sequences[step.rows[i]]))
        for start in range(0, len(order), size):
            self._backward(rollout, step, order[start : start + size], tally, trains_policy)

    def _backward(self, rollout: Rollout, step: Step, index: Sequence[int], tally: Tally, trains_policy: bool) -> None:
        """Add the gradients of some of the step's sequences; index: into the step's rows."""
        rows = [step.rows[i] for i in index]
        part = rollout.rows(rows)
        width = part.response_ids.shape[1]
        weights, state_weights = step.weights[index, :width], step.state_weights[index]
        with torch.set_grad_enabled(trains_policy):
            features = self.policy.features(part, has_padding=self.config.trl_metrics)
        leaf = replace(features, values=features.values.detach().requires_grad_(trains_policy))
        entry = _Entry(tally, step.epoch, torch.tensor(rows, device=weights.device))
        with torch.set_grad_enabled(trains_policy):
            self._backward_tokens(leaf, part, weights, entry)
        if self.config.trl_metrics:
            self._tally_padding(leaf, part, rollout.response_ids.shape[1], entry)
        state_lengths = [rollout.state_lengths[row] for row in rows]
        targets = rollout.values[rows], rollout.returns[rows]
        trunk = self.value_model.trunk
        if trunk is not None:
            if trains_policy:
                features.values.backward(leaf.values.grad)
            features = leaf = self.policy.trunk_features(trunk, part)
        self._backward_states(leaf, targets, state_lengths, state_weights, entry)
        if trunk is None and trains_policy:
            features.values.backward(leaf.values.grad)

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
        logprobs = equations.token_logprobs(logits, part.response_ids[at])
        with torch.set_grad_enabled(logits.requires_grad and config.entropy_coef > 0):
            entropy = equations.token_entropy(logits)
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
        self,
        features: Features,
        targets: tuple[Tensor, Tensor],
        lengths: Sequence[int],
        weights: Tensor,
        entry: "_Entry",
    ) -> None:
        """The value model's loss; targets: old values and returns, both (batch, response) like the weights."""
        index, at = features.places(lengths)
        old_values, returns = (target[at] for target in targets)
        values = self.value_model(features.values[index])
        loss, is_clipped = equations.value_loss(values, old_values, returns, self.config.value_clip_range)
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
            entropy = equations.token_entropy(self.policy.logits(features.values[first + lengths + offset]))
            entry.tally.add("padding_entropy", entry.epoch, entry.rows, entropy * counts)

    def _is_too_far(self, step: Step, tally: Tally) -> bool:
        """Whether the step's tokens are beyond `target_kl` already."""
        if self.config.target_kl is None:
            return False
        total = tally.sums["policy/approxkl_avg"][step.epoch, step.rows].sum() / tally.lengths[step.rows].sum()
        return total.item() > self.config.target_kl

    def _clip(self) -> dict[str, Tensor]:
        """Clip policy and value model each for itself, so that a poor value model does not shrink the policy's step."""
        limit = self.config.max_grad_norm or float("inf")
        models = {"policy": self.policy.model, "value": self.value_model}
        return {name: nn.utils.clip_grad_norm_(model.parameters(), limit) for name, model in models.items()}
