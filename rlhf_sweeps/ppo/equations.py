"""PPO's equations as pure tensor functions. No config, no model, no I/O.

`mask` is True on real response tokens; what lies outside it never counts. Shapes are (batch, response) unless said
otherwise. Sources: PPO, arXiv 1707.06347; GAE, arXiv 1506.02438; reward with KL penalty, arXiv 1909.08593.
"""

import torch
from torch import Tensor


def token_logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability of each token. logits (batch, response, vocabulary), tokens (batch, response)."""
    return logits.gather(-1, tokens.unsqueeze(-1)).squeeze(-1) - logits.logsumexp(-1)


def token_entropy(logits: Tensor) -> Tensor:
    """Entropy of each next-token distribution in nats, over the whole vocabulary (last dimension of logits)."""
    logprobs = logits.log_softmax(-1)
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


def token_rewards(kl: Tensor, scores: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """-kl_coef * kl on every token, plus the score on the last real one (the end token, where there is one).

    TRL puts the score on the position after the end token, whose value the policy's loss never sees; here the action
    that ended the response gets it. scores: (batch,).
    """
    last = mask.sum(-1, keepdim=True) - 1
    return (-kl_coef * kl).scatter_add(-1, last, scores.unsqueeze(-1).to(kl.dtype))


def generalized_advantages(rewards: Tensor, values: Tensor, gamma: float, gae_lambda: float) -> Tensor:
    """GAE with terminal responses: delta_t = r_t + gamma V_{t+1} - V_t, A_t = delta_t + gamma lambda A_{t+1}.

    Rewards and values must be 0 outside the mask, which makes the advantages 0 there, too.
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


def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """Zero mean and unit variance over the mask (unbiased variance, as in TRL); 0 outside it."""
    mean = masked_mean(x, mask)
    num = mask.sum()
    variance = masked_mean((x - mean).square(), mask) * num / (num - 1).clamp(min=1)
    return (x - mean) * torch.rsqrt(variance + 1e-8) * mask


def policy_loss(ratio: Tensor, advantages: Tensor, clip_range: float) -> tuple[Tensor, Tensor]:
    """PPO's clipped surrogate per token, and where clipping made it larger."""
    plain = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip_range, 1 + clip_range)
    return torch.maximum(plain, clipped), clipped > plain


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip_range: float) -> tuple[Tensor, Tensor]:
    """Half the clipped squared error per token, and where clipping made it larger."""
    plain = (values - returns).square()
    clipped = (values.clamp(old_values - clip_range, old_values + clip_range) - returns).square()
    return torch.maximum(plain, clipped) / 2, clipped > plain
