"""An update's metrics by hand: two responses, one that ended after 2 tokens and one that was cut after 3."""

from dataclasses import replace

import pytest
import torch

from rlhf_sweeps.ppo import metrics
from rlhf_sweeps.ppo.metrics import Tally, TokenTerms
from rlhf_sweeps.ppo.rollout import Rollout

MASK = torch.tensor([[True, True, False, False], [True, True, True, False]])
# The state after the last token counts, too.
STATE_MASK = torch.tensor([[True, True, True, False], [True, True, True, True]])


def rollout() -> Rollout:
    zeros = torch.zeros(2, 4)
    return Rollout(
        prompt_ids=torch.ones(2, 1, dtype=torch.long),
        prompt_mask=torch.ones(2, 1, dtype=torch.bool),
        response_ids=torch.full((2, 4), 5),
        response_mask=MASK,
        logprobs=torch.tensor([[-1.0, -2.0, 0.0, 0.0], [-4.0, -8.0, -16.0, 0.0]]),
        ended=torch.tensor([True, False]),
        raw_scores=torch.tensor([10.0, 30.0]),
        scores=torch.tensor([1.0, 5.0]),
        ref_logprobs=zeros,
        kl=torch.tensor([[1.0, 2.0, 0.0, 0.0], [3.0, -1.0, 5.0, 0.0]]),
        kl_coef=0.25,
        state_mask=STATE_MASK,
        values=torch.tensor([[1.0, 2.0, 3.0, 0.0], [0.0, 1.0, 2.0, 9.0]]),
        rewards=torch.tensor([[1.0, 2.0, 4.0, 0.0], [3.0, 5.0, 1.0, 2.0]]),
        advantages=zeros,
        returns=torch.tensor([[2.0, 2.0, 5.0, 0.0], [1.0, 1.0, 2.0, 8.0]]),
    )


def test_metrics_of_a_rollout_by_hand() -> None:
    found = {name: formula(rollout()).item() for name, formula in metrics.ROLLOUT.items()}
    returns, left = torch.tensor([2.0, 2, 5, 1, 1, 2, 8]), torch.tensor([1.0, 0, 2, 1, 0, 0, -1])
    assert found == pytest.approx(
        {
            "objective/kl": (3 + 7) / 2,
            "objective/kl_per_token": 10 / 5,
            "objective/kl_coef": 0.25,
            "objective/entropy": (3 + 28) / 2,
            "objective/scores": 3.0,
            "objective/raw_scores": 20.0,
            "objective/scores_std": 8**0.5,
            "objective/rewards_std": 8**0.5,  # of 7 and 11
            "objective/non_score_reward": -0.25 * 5,
            "objective/rlhf_reward": 3 - 0.25 * 5,
            "objective/length": 2.5,
            "objective/eos_rate": 0.5,
            "objective/truncated_rate": 0.5,
            "val/num_eos_tokens": 1,
            "val/explained_variance": 1 - (left.var() / returns.var()).item(),
        }
    )


def test_one_response_has_no_deviation() -> None:
    one = replace(rollout(), scores=torch.tensor([3.0]), rewards=torch.ones(1, 4))
    assert metrics.scores_std(one).item() == metrics.rewards_std(one).item() == 0.0


def tokens(ratios: list[float]) -> TokenTerms:
    ratio = torch.tensor(ratios)
    return TokenTerms(ratio.log(), ratio, 2 * ratio, 3 * ratio, ratio > 1)


def tally() -> Tally:
    """Of three epochs, two: the first reads both responses, in two parts, the second the longer one alone."""
    found = Tally(rollout(), 3)
    found.begin(0, [0, 1])
    found.add_tokens(0, torch.tensor([1, 1, 1]), tokens([4.0, 1.0, 1.0]))
    found.add_tokens(0, torch.tensor([0, 0]), tokens([0.5, 1.0]))
    found.begin(1, [1])
    found.add_tokens(1, torch.tensor([1, 1, 1]), tokens([2.0, 0.25, 0.5]))
    return found


RATIOS = torch.tensor([4.0, 1, 1, 0.5, 1, 2, 0.25, 0.5])


def test_metrics_of_tokens_are_those_of_all_that_were_read() -> None:
    found = tally()
    assert found.mean("val/ratio").item() == pytest.approx(RATIOS.mean().item())
    assert found.mean("policy/entropy_avg").item() == pytest.approx(2 * RATIOS.mean().item())
    assert found.mean("loss/policy_avg").item() == pytest.approx(3 * RATIOS.mean().item())
    assert found.mean("policy/clipfrac_avg").item() == pytest.approx(2 / 8)
    assert found.mean("policy/approxkl_avg").item() == pytest.approx((RATIOS.log() ** 2 / 2).mean().item())
    assert metrics.ratio_max(found).item() == 4.0
    assert metrics.ratio_var(found).item() == pytest.approx(RATIOS.var().item())
    assert metrics.epochs(found).item() == 1.5


def test_what_an_attempt_without_memory_has_added_is_forgotten() -> None:
    """Of its rows and its epoch alone."""
    found = tally()
    found.begin(1, [1])
    found.add_tokens(1, torch.tensor([1, 1, 1]), tokens([2.0, 0.25, 0.5]))
    assert found.mean("val/ratio").item() == pytest.approx(RATIOS.mean().item())
    assert metrics.ratio_var(found).item() == pytest.approx(RATIOS.var().item())


def test_gradient_norms_are_means_over_the_steps() -> None:
    found = tally()
    assert metrics.policy_grad_norm(found).item() == 0.0
    found.norms += [{"policy": torch.tensor(x), "value": torch.tensor(y)} for x, y in ((1.0, 5.0), (4.0, 6.0))]
    assert (metrics.policy_grad_norm(found).item(), metrics.value_grad_norm(found).item()) == (2.5, 5.5)
