"""The metrics of an update: each is one function here, whose docstring is its line in the table of metrics.

Means over tokens are over all real tokens of all epochs. Nothing is read from the device before the update's end.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_sweeps.ppo import equations
from rlhf_sweeps.ppo.rollout import Rollout


@dataclass(frozen=True)
class TokenTerms:
    """The quantities of some tokens during optimization; each field is (tokens,)."""

    log_ratio: Tensor
    ratio: Tensor
    entropy: Tensor
    loss: Tensor
    is_clipped: Tensor


@dataclass(frozen=True)
class StateTerms:
    """The quantities of some states during optimization; each field is (states,)."""

    loss: Tensor
    is_clipped: Tensor


class Tally:
    """Sums over the tokens or states of each response, per epoch, from which the metrics of an update are computed.

    Attributes:
        sums: metric -> (epochs, batch).
        visited: (epochs, batch), 1 for each response that was trained on.
        ratio_max: the largest ratio.
        norms: one dict of gradient norms per optimizer step.
    """

    def __init__(self, rollout: Rollout, num_epochs: int) -> None:
        self.rollout = rollout
        self.lengths = rollout.response_mask.sum(-1)
        self.state_lengths = rollout.state_mask.sum(-1)
        zeros = torch.zeros(num_epochs, len(self.lengths), device=self.lengths.device)
        self.sums = {name: zeros.clone() for name in (*TOKEN, *STATE, "ratio_square", "padding_entropy")}
        self.visited = zeros.clone()
        self.ratio_max = zeros.new_zeros(())
        self.norms: list[dict[str, Tensor]] = []

    def begin(self, epoch: int, rows: Sequence[int], names: Iterable[str] | None = None) -> None:
        """Reset these sums of the rows, or all: an attempt that ran out of memory may have changed them."""
        for name in self.sums if names is None else names:
            self.sums[name][epoch, rows] = 0.0
        self.visited[epoch, rows] = 1.0

    def add_tokens(self, epoch: int, rows: Tensor, tokens: TokenTerms) -> None:
        """Add the quantities of tokens; `rows`, (tokens,), are their rows in the rollout."""
        for name, formula in TOKEN.items():
            self.add(name, epoch, rows, formula(tokens))
        self.add("ratio_square", epoch, rows, tokens.ratio.square())
        self.ratio_max = torch.maximum(self.ratio_max, tokens.ratio.max())

    def add_states(self, epoch: int, rows: Tensor, states: StateTerms) -> None:
        """Add the quantities of states; `rows`, (states,), are their rows in the rollout."""
        for name, formula in STATE.items():
            self.add(name, epoch, rows, formula(states))

    def add(self, name: str, epoch: int, rows: Tensor, values: Tensor) -> None:
        """Add each value to its row's sum."""
        self.sums[name][epoch].index_add_(0, rows, values.float())

    def mean(self, name: str) -> Tensor:
        """The mean of a metric over all tokens, or states, that were trained on."""
        lengths = self.state_lengths if name in STATE else self.lengths
        return self.sums[name].sum() / (self.visited * lengths).sum()

    def mean_norm(self, model: str) -> Tensor:
        """The mean gradient norm over the optimizer steps; 0 if `target_kl` allowed no step."""
        norms = [norms[model] for norms in self.norms]
        return torch.stack(norms).mean() if norms else torch.zeros_like(self.ratio_max)

    def metrics(self) -> dict[str, Tensor]:
        """All metrics of the rollout and its optimization."""
        return (
            {name: formula(self.rollout) for name, formula in ROLLOUT.items()}
            | {name: self.mean(name) for name in (*TOKEN, *STATE)}
            | {name: formula(self) for name, formula in UPDATE.items()}
        )


def kl(rollout: Rollout) -> Tensor:
    """mean over responses of the summed per-token KL estimate (`ppo.kl_estimator`) to the reference policy"""
    return rollout.kl.sum(-1).mean()


def kl_per_token(rollout: Rollout) -> Tensor:
    """mean KL estimate of a token"""
    return rollout.kl.sum() / rollout.response_mask.sum()


def entropy(rollout: Rollout) -> Tensor:
    """mean over responses of the summed -logprob of the sampled tokens"""
    return -rollout.logprobs.sum(-1).mean()


def kl_coef(rollout: Rollout) -> Tensor:
    """the KL coefficient of this update"""
    return torch.full_like(rollout.scores[0], rollout.kl_coef)


def non_score_reward(rollout: Rollout) -> Tensor:
    """mean over responses of the summed -kl_coef x KL"""
    return -(rollout.kl_coef * rollout.kl).sum(-1).mean()


def rlhf_reward(rollout: Rollout) -> Tensor:
    """`objective/scores` and `objective/non_score_reward` together"""
    return scores(rollout) + non_score_reward(rollout)


def scores(rollout: Rollout) -> Tensor:
    """mean score as it enters the rewards: scaled and clipped if asked for, missing-EOS penalty taken off"""
    return rollout.scores.mean()


def raw_scores(rollout: Rollout) -> Tensor:
    """mean score as the reward model gives it, or normalized where the run asks for that"""
    return rollout.raw_scores.mean()


def scores_std(rollout: Rollout) -> Tensor:
    """standard deviation (unbiased) of the scores within the batch"""
    return rollout.scores.std() if len(rollout.scores) > 1 else torch.zeros_like(rollout.scores[0])


def rewards_std(rollout: Rollout) -> Tensor:
    """standard deviation (unbiased) of the responses' summed rewards"""
    totals = rollout.rewards.sum(-1)
    return totals.std() if len(totals) > 1 else torch.zeros_like(totals[0])


def length(rollout: Rollout) -> Tensor:
    """tokens a response, the end token included"""
    return rollout.response_mask.sum(-1).float().mean()


def eos_rate(rollout: Rollout) -> Tensor:
    """share of responses that ended by themselves"""
    return rollout.ended.float().mean()


def truncated_rate(rollout: Rollout) -> Tensor:
    """share of responses that were cut at the length limit"""
    return 1 - rollout.ended.float().mean()


def num_eos_tokens(rollout: Rollout) -> Tensor:
    """number of responses that ended by themselves"""
    return rollout.ended.sum()


def explained_variance(rollout: Rollout) -> Tensor:
    """share of the returns' variance that the values foresaw (1: all; 0 and below: nothing)"""
    return equations.explained_variance(rollout.values, rollout.returns, rollout.state_mask)


def approxkl(tokens: TokenTerms) -> Tensor:
    """half the mean squared log ratio of new to sampling policy"""
    return tokens.log_ratio.square() / 2


def clipfrac(tokens: TokenTerms) -> Tensor:
    """share of tokens where clipping raised the policy's loss"""
    return tokens.is_clipped


def token_entropy(tokens: TokenTerms) -> Tensor:
    """mean entropy of the next-token distribution"""
    return tokens.entropy


def token_loss(tokens: TokenTerms) -> Tensor:
    """mean clipped surrogate loss of a token"""
    return tokens.loss


def ratio(tokens: TokenTerms) -> Tensor:
    """mean ratio of new to sampling policy"""
    return tokens.ratio


def state_loss(states: StateTerms) -> Tensor:
    """mean value loss of a state: half the squared error, clipped, without `vf_coef`"""
    return states.loss


def value_clipfrac(states: StateTerms) -> Tensor:
    """share of states where clipping raised the value loss"""
    return states.is_clipped


def ratio_var(tally: Tally) -> Tensor:
    """variance of the ratio"""
    num = (tally.visited * tally.lengths).sum()
    mean = tally.mean("val/ratio")
    return (tally.sums["ratio_square"].sum() - num * mean.square()).clamp(min=0) / (num - 1).clamp(min=1)


def ratio_max(tally: Tally) -> Tensor:
    """largest ratio"""
    return tally.ratio_max


def epochs(tally: Tally) -> Tensor:
    """passes made over the rollout (less than `num_ppo_epochs` where `target_kl` ended them)"""
    return tally.visited.sum() / tally.visited.shape[1]


def policy_grad_norm(tally: Tally) -> Tensor:
    """mean over the optimizer steps of the norm before clipping, of the policy's weights"""
    return tally.mean_norm("policy")


def value_grad_norm(tally: Tally) -> Tensor:
    """the same, of the value model's own weights"""
    return tally.mean_norm("value")


ROLLOUT: dict[str, Callable[[Rollout], Tensor]] = {
    "objective/kl": kl,
    "objective/kl_per_token": kl_per_token,
    "objective/kl_coef": kl_coef,
    "objective/entropy": entropy,
    "objective/scores": scores,
    "objective/raw_scores": raw_scores,
    "objective/scores_std": scores_std,
    "objective/rewards_std": rewards_std,
    "objective/non_score_reward": non_score_reward,
    "objective/rlhf_reward": rlhf_reward,
    "objective/length": length,
    "objective/eos_rate": eos_rate,
    "objective/truncated_rate": truncated_rate,
    "val/num_eos_tokens": num_eos_tokens,
    "val/explained_variance": explained_variance,
}
TOKEN: dict[str, Callable[[TokenTerms], Tensor]] = {
    "policy/approxkl_avg": approxkl,
    "policy/clipfrac_avg": clipfrac,
    "policy/entropy_avg": token_entropy,
    "loss/policy_avg": token_loss,
    "val/ratio": ratio,
}
STATE: dict[str, Callable[[StateTerms], Tensor]] = {
    "loss/value_avg": state_loss,
    "val/clipfrac_avg": value_clipfrac,
}
UPDATE: dict[str, Callable[[Tally], Tensor]] = {
    "val/ratio_var": ratio_var,
    "val/ratio_max": ratio_max,
    "policy/epochs": epochs,
    "policy/grad_norm": policy_grad_norm,
    "value/grad_norm": value_grad_norm,
}
