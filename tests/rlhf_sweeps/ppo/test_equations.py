"""PPO's equations against hand arithmetic and torch."""

import math

import pytest
import torch

from rlhf_sweeps.ppo import equations

MASK = torch.tensor([[True, True, True], [True, True, False]])


def test_token_logprobs_are_log_softmax_at_the_token() -> None:
    logits = torch.tensor([[[0.0, math.log(3.0)], [0.0, 0.0]]])
    logprobs = equations.token_logprobs(logits, torch.tensor([[1, 0]]))
    assert torch.allclose(logprobs, torch.tensor([[math.log(0.75), math.log(0.5)]]))


def test_entropy_of_known_distributions() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [100.0, 0.0, 0.0, 0.0]])
    assert torch.allclose(equations.token_entropy(logits.log_softmax(-1)), torch.tensor([math.log(4), 0.0]), atol=1e-6)


@pytest.mark.parametrize(
    ("estimator", "expected"),
    # log ratio = ref - policy = -1 - (-3) = 2 at the first token, -1.5 - (-1) = -0.5 at the second
    [("k1", [-2.0, 0.5]), ("k2", [2.0, 0.125]), ("k3", [math.exp(2) - 3, math.exp(-0.5) - 0.5])],
)
def test_kl_estimators_by_hand(estimator: str, expected: list[float]) -> None:
    logprobs = torch.tensor([[-3.0, -1.0, -9.0]])
    ref_logprobs = torch.tensor([[-1.0, -1.5, 0.0]])
    kl = equations.kl_estimate(logprobs, ref_logprobs, torch.tensor([[True, True, False]]), estimator)
    assert torch.allclose(kl, torch.tensor([[*expected, 0.0]]))


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_kl_estimators_are_unbiased(estimator: str) -> None:
    policy, ref = torch.tensor([0.2, 0.5, 0.3]), torch.tensor([0.4, 0.4, 0.2])
    each = equations.kl_estimate(policy.log(), ref.log(), torch.ones(3, dtype=torch.bool), estimator)
    exact = torch.distributions.kl_divergence(
        torch.distributions.Categorical(policy), torch.distributions.Categorical(ref)
    )
    assert torch.allclose((policy * each).sum(), exact)


def test_the_kl_of_whole_distributions_by_hand() -> None:
    never = -math.inf
    # Policy (3/4, 1/4) and reference (1/4, 3/4): 3/4 log 3 + 1/4 log 1/3. Policy (1/2, 1/2, 0) and reference
    # (1/4, 1/2, 1/4): 1/2 log 2. The policy never draws the last token, which the reference may never draw, either.
    assert torch.allclose(
        equations.token_kl(torch.tensor([math.log(3), 0.0]), torch.tensor([0.0, math.log(3)])),
        torch.tensor(math.log(3) / 2),
    )
    logits = torch.tensor([[0.0, 0.0, never], [0.0, 0.0, never]])
    ref_logits = torch.tensor([[0.0, math.log(2), 0.0], [1.0, 1.0, never]])
    assert torch.allclose(equations.token_kl(logits, ref_logits), torch.tensor([math.log(2) / 2, 0.0]), atol=1e-7)
    # What the reference never draws and the policy does is infinitely far.
    assert equations.token_kl(torch.tensor([0.0, 0.0]), torch.tensor([0.0, never])) == math.inf


def test_kl_estimator_of_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="must be k1, k2 or k3"):
        equations.kl_estimate(torch.zeros(1), torch.zeros(1), torch.ones(1, dtype=torch.bool), "k4")


def test_score_is_the_reward_of_the_last_real_token() -> None:
    kl = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 0.0]])
    rewards = equations.token_rewards(kl, torch.tensor([10.0, -20.0]), MASK, kl_coef=0.1)
    assert torch.allclose(rewards, torch.tensor([[-0.1, -0.2, 9.7], [-0.4, -20.5, 0.0]]))


def test_advantages_by_hand() -> None:
    rewards = torch.tensor([[0.0, 0.0, 8.0], [1.0, 2.0, 0.0]])
    values = torch.tensor([[1.0, 2.0, 4.0], [3.0, 5.0, 0.0]])
    # Row 0, gamma 0.5, lambda 0.25: deltas 0+1-1=0, 0+2-2=0, 8-4=4; A = 4, 0+0.125*4=0.5, 0+0.125*0.5=0.0625.
    # Row 1: deltas 1+2.5-3=0.5, 2-5=-3; A = -3, 0.5-0.375=0.125.
    expected = torch.tensor([[0.0625, 0.5, 4.0], [0.125, -3.0, 0.0]])
    assert torch.allclose(equations.generalized_advantages(rewards, values, 0.5, 0.25), expected)


def test_advantages_with_lambda_one_are_returns_minus_values() -> None:
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(4, 7, generator=generator), torch.randn(4, 7, generator=generator)
    returns = rewards.flip(-1).cumsum(-1).flip(-1)
    assert torch.allclose(equations.generalized_advantages(rewards, values, 1.0, 1.0), returns - values, atol=1e-5)


def test_whitening_uses_real_tokens_and_the_unbiased_variance() -> None:
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 1000.0]])
    # Of 1..5: mean 3, unbiased variance 10 / 4.
    expected = (torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 3.0]]) - 3) / math.sqrt(2.5)
    assert torch.allclose(equations.whiten(x, MASK), expected)


def test_whitening_one_token_is_finite() -> None:
    assert equations.whiten(torch.tensor([[7.0]]), torch.tensor([[True]])).item() == 0.0


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "is_clipped"),
    [
        (1.5, 2.0, -2.4, True),  # gain is capped at 1.2
        (1.5, -2.0, 3.0, False),  # loss is not
        (0.5, 2.0, -1.0, False),
        (0.5, -2.0, 1.6, True),
        (1.1, 2.0, -2.2, False),
    ],
)
def test_policy_loss_by_hand(ratio: float, advantage: float, loss: float, is_clipped: bool) -> None:
    losses, clipped = equations.policy_loss(torch.tensor([ratio]), torch.tensor([advantage]), clip_range=0.2)
    assert losses.item() == pytest.approx(loss)
    assert clipped.item() is is_clipped


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (10.0, -2.0, 6.0),  # 20, bounded at three times the advantage
        (2.0, -2.0, 4.0),  # below the bound
        (0.5, -2.0, 1.6),
        (10.0, 2.0, -2.4),  # gains have no second bound ...
        (0.1, 2.0, -0.2),  # ... and losses of them, either
    ],
)
def test_the_dual_clip_by_hand(ratio: float, advantage: float, loss: float) -> None:
    losses, _ = equations.policy_loss(torch.tensor([ratio]), torch.tensor([advantage]), clip_range=0.2, dual_clip=3.0)
    assert losses.item() == pytest.approx(loss)


@pytest.mark.parametrize(
    ("value", "target", "clip_range", "loss", "is_clipped"),
    [
        # Old value 1, return 3, range 0.5: beyond 1.5 the value gets no further credit.
        (1.2, 3.0, 0.5, 1.62, False),
        (2.5, 3.0, 0.5, 1.125, True),
        (0.0, 3.0, 0.5, 4.5, False),
        # Return -2: nor below 0.5.
        (0.8, -2.0, 0.5, 3.92, False),
        (-1.0, -2.0, 0.5, 3.125, True),
        (2.0, -2.0, 0.5, 8.0, False),
        (2.5, 3.0, None, 0.125, False),
    ],
)
def test_value_loss_by_hand(
    value: float, target: float, clip_range: float | None, loss: float, is_clipped: bool
) -> None:
    losses, clipped = equations.value_loss(
        torch.tensor([value]), torch.tensor([1.0]), torch.tensor([target]), clip_range
    )
    assert losses.item() == pytest.approx(loss)
    assert clipped.item() is is_clipped


def test_explained_variance_by_hand() -> None:
    returns = torch.tensor([[1.0, 2.0, 3.0], [6.0, 8.0, 1000.0]])
    # Mean 4, squares 9 + 4 + 1 + 4 + 16 = 34; what is left over is 2, 1, 1, 2, 4: mean 2, squares 0 + 1 + 1 + 0 + 4.
    values = torch.tensor([[-1.0, 1.0, 2.0], [4.0, 4.0, -1000.0]])
    assert equations.explained_variance(values, returns, MASK).item() == pytest.approx(1 - 6 / 34)
    assert equations.explained_variance(returns - 5, returns, MASK).item() == pytest.approx(1.0)
    # Values that go the wrong way are worse than none: 4 times the variance is left.
    assert equations.explained_variance(-returns, returns, MASK).item() == pytest.approx(-3.0)
    assert equations.explained_variance(values, torch.full((2, 3), 2.0), MASK).item() == 0.0
