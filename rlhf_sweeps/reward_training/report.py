"""The report on a reward model: its accuracy and calibration on held-out pairs, compared with simple rules.

A margin is the score of a pair's chosen answer minus that of its rejected answer. Above 0 the pair is ranked right; 0
is a tie and counts half.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy.stats import binomtest

from rlhf_sweeps.data import PreferencePair
from rlhf_sweeps.figures import compare_p_value, format_share
from rlhf_sweeps.reward_models.surface_rules import SurfaceRule
from rlhf_sweeps.reward_training.constants import NUM_BINS, SIGNIFICANCE
from rlhf_sweeps.verdicts.intervals import estimate_win_rate


@dataclass(frozen=True)
class PairShare:
    """A share of pairs, with its Wilson 95 % confidence interval."""

    value: float
    low: float
    high: float
    num_pairs: int


@dataclass(frozen=True)
class CalibrationBin:
    """The pairs that are ranked with a confidence between low and high, and their accuracy."""

    low: float
    high: float
    num_pairs: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """How well sigmoid(margin) predicts that the chosen answer is preferred.

    Attributes:
        expected_error: the expected calibration error: the mean of |confidence - accuracy| over bins, by their pairs.
        brier: the Brier score, the mean of (1 - probability) squared; 0.25 for a probability of 0.5.
        log_loss: the mean of -log(probability), in nats; 0.693 for a probability of 0.5.
        bins: bins of confidence between 0.5 and 1; empty ones are left out.
    """

    expected_error: float
    brier: float
    log_loss: float
    bins: list[CalibrationBin]


@dataclass(frozen=True)
class RuleComparison:
    """A rule in comparison with the reward model, on the same pairs.

    Attributes:
        p_value: of McNemar's exact test, two-sided. It is the probability, if both were equally good, that the pairs on
            which their outcomes differ would be divided at least as unequally.
    """

    rule: str
    accuracy: PairShare
    p_value: float


@dataclass(frozen=True)
class Report:
    """All figures of the report.

    Attributes:
        longer: the accuracy on pairs whose chosen answer has more characters; None without such pairs. A preference for
            length alone would give 1.
        shorter: the accuracy on pairs whose chosen answer has fewer characters; None without such pairs. A preference
            for length alone would give 0.
        comparisons: the rules, the best first.
        warning: a sentence on a rule that the reward model does not beat significantly; None if it beats all rules.
    """

    accuracy: PairShare
    longer: PairShare | None
    shorter: PairShare | None
    calibration: Calibration
    comparisons: list[RuleComparison]
    warning: str | None


def make_report(margins: Sequence[float], pairs: Sequence[PreferencePair], rules: Sequence[SurfaceRule]) -> Report:
    """The report on a reward model.

    Args:
        margins: the reward model's margins, (pairs,).
        pairs: the held-out pairs, at least one.
        rules: the rules, fitted to the training pairs.
    """
    right = rank_outcomes(margins)
    comparisons = sorted((_compare(right, rule, pairs) for rule in rules), key=lambda row: -row.accuracy.value)
    accuracy = estimate_share(right)
    excess = [len(pair.chosen) - len(pair.rejected) for pair in pairs]
    return Report(
        accuracy,
        _estimate_share_where([more > 0 for more in excess], right),
        _estimate_share_where([more < 0 for more in excess], right),
        calibrate(margins),
        comparisons,
        _warn(accuracy, comparisons),
    )


def rank_outcomes(margins: Sequence[float]) -> list[float]:
    """The outcome of each pair, (pairs,): 1 if it is ranked right, 0 if not, 0.5 for a tie."""
    return [(margin > 0) + 0.5 * (margin == 0) for margin in margins]


def estimate_share(right: Sequence[float]) -> PairShare:
    """The mean of outcomes with its confidence interval."""
    estimate = estimate_win_rate(np.array([right]))
    assert estimate.low is not None
    assert estimate.high is not None
    return PairShare(estimate.mean, estimate.low, estimate.high, len(right))


def calibrate(margins: Sequence[float]) -> Calibration:
    """The calibration of the probabilities sigmoid(margin).

    The bins are of the confidence in the answer that is ranked higher, which is at least 0.5, since the order of the
    two answers in a pair carries no information.
    """
    confidences = [1 / (1 + math.exp(-abs(margin))) for margin in margins]
    right = rank_outcomes(margins)
    members: list[list[int]] = [[] for _ in range(NUM_BINS)]
    for i, confidence in enumerate(confidences):
        members[min(NUM_BINS - 1, int((confidence - 0.5) * 2 * NUM_BINS))].append(i)
    width = 0.5 / NUM_BINS
    bins = [
        CalibrationBin(
            0.5 + width * place,
            0.5 + width * (place + 1),
            len(rows),
            fmean(confidences[i] for i in rows),
            fmean(right[i] for i in rows),
        )
        for place, rows in enumerate(members)
        if rows
    ]
    probabilities = [
        confidence if margin >= 0 else 1 - confidence for confidence, margin in zip(confidences, margins, strict=True)
    ]
    return Calibration(
        sum(group.num_pairs * abs(group.accuracy - group.confidence) for group in bins) / len(margins),
        fmean((1 - probability) ** 2 for probability in probabilities),
        fmean(math.log1p(math.exp(-abs(margin))) + max(0.0, -margin) for margin in margins),
        bins,
    )


def compute_sign_test(right: Sequence[float], other_outcomes: Sequence[float]) -> float:
    """The two-sided p-value of McNemar's exact test on two lists of outcomes for the same pairs."""
    better = sum(outcome > other_outcome for outcome, other_outcome in zip(right, other_outcomes, strict=True))
    worse = sum(outcome < other_outcome for outcome, other_outcome in zip(right, other_outcomes, strict=True))
    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0


def _compare(right: Sequence[float], rule: SurfaceRule, pairs: Sequence[PreferencePair]) -> RuleComparison:
    others = rank_outcomes(rule.margins(pairs))
    return RuleComparison(rule.name, estimate_share(others), compute_sign_test(right, others))


def _estimate_share_where(is_counted: Sequence[bool], right: Sequence[float]) -> PairShare | None:
    counted = [outcome for outcome, counts in zip(right, is_counted, strict=True) if counts]
    return estimate_share(counted) if counted else None


def _warn(accuracy: PairShare, comparisons: Sequence[RuleComparison]) -> str | None:
    """A sentence on the best rule that the reward model does not beat significantly; None if it beats all rules."""
    for comparison in comparisons:
        rule_accuracy = comparison.accuracy.value
        if accuracy.value <= rule_accuracy or comparison.p_value >= SIGNIFICANCE:
            return (
                f"the reward model ranks {format_share(accuracy.value)} of {accuracy.num_pairs} held-out pairs right, "
                f"the rule '{comparison.rule}' {format_share(rule_accuracy)}: not better by more than noise "
                f"(McNemar's exact test, {compare_p_value(comparison.p_value)})"
            )
    return None
