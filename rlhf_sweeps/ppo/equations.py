"""PPO's equations as pure tensor functions. No config, no model, no I/O.

`mask` is True on real response tokens, `state_mask` on the states whose value counts; other entries never count.
Shapes are (batch, response) unless said otherwise. Sources: PPO, arXiv 1707.06347; GAE, arXiv 1506.02438; reward with
KL penalty and its adaptive coefficient, arXiv 1909.08593; dual clip, arXiv 1912.09729.
"""

import torch
from torch import Tensor


def token_logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability of each token. logits (..., vocabulary), tokens (...)."""
    return logits.log_softmax(-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


def token_entropy(logprobs: Tensor) -> Tensor:
    """Entropy in nats of distributions whose log-probabilities are (..., vocabulary)."""
    return -(logprobs.exp() * logprobs).sum(-1)


def kl_estimate(logprobs: Tensor, ref_logprobs: Tensor, mask: Tensor, estimator: str) -> Tensor:
    """Per-token estimate of KL(policy || reference) from tokens that the policy sampled; 0 outside the mask.

    k1, k2 and k3 as in J. Schulman, "Approximating KL Divergence", http://joschu.net/blog/kl-approx.html.
    """
    log_ratio = (ref_logprobs - logprobs).masked_fill(~mask, 0.0)
    if estimator == "k1":
        return -log_ratio
    if estimator == "k2":
        return log_ratio.square() / 2
    if estimator == "k3":
        return log_ratio.expm1() - log_ratio
    raise ValueError(f"estimator={estimator}: must be k1, k2 or k3")


def token_kl(logits: Tensor, ref_logits: Tensor) -> Tensor:
    """KL(policy || reference) of the distributions of the next token, (...) in nats, from logits (..., vocabulary).

    A token of probability 0 under the policy adds 0, whatever the reference says of it.
    """
    logprobs = logits.log_softmax(-1)
    probs = logprobs.exp()
    terms = probs * (logprobs - ref_logits.log_softmax(-1))
    return terms.masked_fill(probs == 0, 0.0).sum(-1)


def last_position(mask: Tensor) -> Tensor:
    """The position of the last true entry of each row, (batch,); the true entries must be contiguous from 0 on."""
    return mask.sum(-1) - 1


def add_state_after_end(mask: Tensor) -> Tensor:
    """The mask extended by one position in every row, if the row has one: the state after the last token."""
    longer = mask.clone()
    longer[:, 1:] |= mask[:, :-1]
    return longer


def token_rewards(kl: Tensor, scores: Tensor, state_mask: Tensor, kl_coef: float) -> Tensor:
    """-kl_coef * kl on every token, plus the score at the last state that counts; scores are (batch,).

    If the states are those before the tokens, the score is the reward of the last token. If the state after the end
    counts, too (as in TRL), the score is the reward of that state and reaches the tokens through the value model.
    """
    last = last_position(state_mask).unsqueeze(-1)
    return (-kl_coef * kl).scatter_add(-1, last, scores.unsqueeze(-1).to(kl.dtype))


def generalized_advantages(rewards: Tensor, values: Tensor, gamma: float, gae_lambda: float) -> Tensor:
    """GAE with terminal responses: delta_t = r_t + gamma V_{t+1} - V_t, A_t = delta_t + gamma lambda A_{t+1}.

    Rewards and values must be 0 outside the state mask, which makes the advantages 0 there, too.
    """
    advantages = torch.zeros_like(rewards)
    next_value = next_advantage = torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        next_advantage = delta + gamma * gae_lambda * next_advantage
        advantages[:, t] = next_advantage
        next_value = values[:, t]
    return advantages


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the mask's true entries."""
    return (x * mask).sum() / mask.sum()


def whiten(x: Tensor, mask: Tensor, keeps_mean: bool = False) -> Tensor:
    """x scaled to unit variance (unbiased, as in TRL) over the mask, with zero mean unless keeps_mean; 0 outside."""
    mean = masked_mean(x, mask)
    num = mask.sum()
    variance = masked_mean((x - mean).square(), mask) * num / (num - 1).clamp(min=1)
    whitened = (x - mean) * torch.rsqrt(variance + 1e-8)
    return (whitened + mean if keeps_mean else whitened) * mask


def policy_loss(
    ratio: Tensor, advantages: Tensor, clip_range: float, dual_clip: float | None = None
) -> tuple[Tensor, Tensor]:
    """PPO's clipped surrogate loss of each token, and a mask of the tokens at which clipping raised it.

    dual_clip limits the loss of a token with a negative advantage to -dual_clip * advantage, whatever its ratio.
    """
    plain = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip_range, 1 + clip_range)
    loss = torch.maximum(plain, clipped)
    if dual_clip is not None:
        loss = torch.where(advantages < 0, torch.minimum(loss, -dual_clip * advantages), loss)
    return loss, clipped > plain


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip_range: float | None) -> tuple[Tensor, Tensor]:
    """Half the squared error of each state, clipped unless clip_range is None, and a mask: where clipping raised it."""
    plain = (values - returns).square()
    if clip_range is None:
        return plain / 2, torch.zeros_like(plain, dtype=torch.bool)
    clipped = (values.clamp(old_values - clip_range, old_values + clip_range) - returns).square()
    return torch.maximum(plain, clipped) / 2, clipped > plain


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns) over the mask; 0 if the returns do not vary."""

    def variance(x: Tensor) -> Tensor:
        return masked_mean((x - masked_mean(x, mask)).square(), mask)

    total = variance(returns)
    return torch.where(total > 0, 1 - variance(returns - values) / total.clamp(min=1e-30), torch.zeros_like(total))


def adapted_kl_coef(kl_coef: float, kl: float, target: float, horizon: float, num_episodes: int) -> float:
    """The next KL coefficient: grows while the KL is over its target, by at most a fifth per horizon of episodes."""
    error = min(max(kl / target - 1, -0.2), 0.2)
    return kl_coef * (1 + error * num_episodes / horizon)
