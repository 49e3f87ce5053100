"""Health of the learning: scores that are constant, that do not rise, or that fall after their peak."""

import math

import numpy as np

from analysis.health.signals import Finding, advise_best_evaluation, read_config_value, read_score, read_series
from analysis.health.thresholds import (
    ALIKE_ERRORS,
    FALL_ERRORS,
    FALL_SPREAD,
    FLAT_UPDATES,
    GAIN_ERRORS,
    GAIN_LOST,
    GAIN_SPREAD,
    SAME_SCORES,
    SPENT_KL,
    SPREAD_LEFT,
    STILL_ERRORS,
    STILL_KL,
)
from analysis.records.runs import RunRecord
from analysis.wording.endings import format_ending
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.verdicts.series import Change, Series, measure_ending, measure_gain, rolling_mean

CONSTANT_SCORES = "constant scores"
NO_LEARNING = "learns nothing"
NO_GAIN = "KL without gain"
FLAT = "score does not rise"
SCORE_FALLS = "score falls after its peak"


def check_constant_scores(run: RunRecord) -> Finding | None:
    """All answers of a batch get the same score, so that there is nothing to learn from."""
    spread, level = read_series(run, "objective/scores_std"), read_score(run)
    if len(spread) < 3:
        return None
    size = float(np.median(np.abs(level.values))) if len(level) else 1.0
    limit = max(SAME_SCORES * max(size, 1e-12), SPREAD_LEFT * spread.start)
    update = spread.where(spread.values <= limit)
    if update is None:
        return None
    if spread.start <= SAME_SCORES * max(size, 1e-12):
        same = format_number(level.ending.mean) if len(level) else "-"
        text = f"the reward model gives all answers the same score ({same}), from which nothing can be learned"
        advice = "check reward_model (template, label, patterns)"
    else:
        text = f"the scores of a batch become equal: their standard deviation falls from {format_number(spread.start)}"
        text += f" to {format_ending(spread.ending)}: the reward model no longer distinguishes the answers"
        advice = "stop earlier (ppo.total_episodes), or add reward models (reward_model=ensemble)"
    return Finding(
        CONSTANT_SCORES,
        update,
        text,
        {"deviation at the start": spread.start, "at the end": spread.ending.mean},
        advice,
    )


def check_learning(run: RunRecord) -> Finding | None:
    """The policy has not moved from the reference policy, and the score has not either."""
    kl, scores = read_series(run, "objective/kl"), read_score(run)
    if len(kl) < 10 or len(scores) < 10 or _is_warming_up(run):
        return None
    farthest = float(np.abs(kl.values[len(kl) // 2 :]).max())
    change = measure_gain(scores)
    if farthest > STILL_KL or change.deviations > STILL_ERRORS:
        return None
    text = f"the policy stays where it began: the KL ends at {format_ending(kl.ending, 'nats')}, and the score "
    text += f"{describe_change(change)}, which may be noise"
    lr = read_config_value(run, "ppo.lr")
    advice = (
        f"raise ppo.lr{f' (now {format_number(lr)})' if lr else ''}; lower ppo.kl_coef; check whether "
        "rewards differ at all"
    )
    evidence = {"KL at the end": kl.ending.mean, "gain in score": change.size, "its standard error": change.error}
    return Finding(NO_LEARNING, int(kl.updates[0]), text, evidence, advice)


def describe_change(change: Change) -> str:
    """How far the score moves over a run, as the rest of a sentence."""
    return f"changes by {format_number(change.size)} (standard error: {format_number(change.error)})"


def _is_warming_up(run: RunRecord) -> bool:
    """Whether the run ended while its learning rate rose, or its value model learned alone."""
    updates = max(
        read_config_value(run, "ppo.lr_warmup_updates") or 0.0,
        read_config_value(run, "ppo.value_warmup_updates") or 0.0,
    )
    return bool(run.num_updates < 2 * updates)


def check_gain(run: RunRecord) -> Finding | None:
    """The policy has gone far from the reference policy, and the reward model likes it no better."""
    kl, scores = read_series(run, "objective/kl"), read_score(run)
    if len(kl) < 10 or len(scores) < 10 or not kl.end > SPENT_KL:
        return None
    change = measure_gain(scores)
    if _is_worth_something(run, scores, change):
        return None
    update = kl.where(kl.values > SPENT_KL)
    text = f"the KL ends at {format_ending(kl.ending, 'nats')}, but the score has not risen: it "
    text += describe_change(change)
    evidence = {"KL at the end": kl.ending.mean, "change in score": change.size, "its standard error": change.error}
    advice = "lower ppo.lr, raise ppo.kl_coef or ppo.batch_size;"
    advice += " check whether the reward model distinguishes the answers"
    return Finding(NO_GAIN, update, text, evidence, advice)


def check_flat_score(run: RunRecord) -> Finding | None:
    """The policy has moved a little from the reference policy, and the reward model likes it no better."""
    kl, scores = read_series(run, "objective/kl"), read_score(run)
    if len(kl) < FLAT_UPDATES or len(scores) < FLAT_UPDATES or kl.end > SPENT_KL or _is_warming_up(run):
        return None
    change = measure_gain(scores)
    if _is_worth_something(run, scores, change):
        return None
    text = f"the score has not risen: it {describe_change(change)}; the KL ends at {format_ending(kl.ending, 'nats')}"
    evidence = {"KL at the end": kl.ending.mean, "change in score": change.size, "its standard error": change.error}
    advice = "train longer (ppo.total_episodes); raise ppo.lr or ppo.batch_size; lower ppo.kl_coef; check whether "
    advice += "the reward model distinguishes the answers"
    return Finding(FLAT, int(kl.updates[0]), text, evidence, advice)


def _is_worth_something(run: RunRecord, scores: Series, change: Change) -> bool:
    """Whether the score has gained something, or had gained something over its best stretch."""
    spread = read_series(run, "objective/scores_std")
    worth = GAIN_SPREAD * spread.start if len(spread) else 0.0
    is_gain = change.size > worth or change.size > GAIN_ERRORS * change.error
    return is_gain or _measure_best_gain(scores) > STILL_ERRORS


def _measure_best_gain(scores: Series) -> float:
    """How far the best stretch is above the beginning, in standard errors."""
    width = max(3, len(scores) // 5)
    means = rolling_mean(scores.values, width)
    return float((means.max() - means[0]) / max(scores.noise * math.sqrt(2.0 / width), 1e-30)) if len(means) else 0.0


def check_score_fall(run: RunRecord) -> Finding | None:
    """The score ends clearly below its best stretch, and has lost much of what it had gained.

    The noise is that of single updates about the trend, so that the best of many stretches is not taken for a peak.
    """
    scores = read_score(run)
    width = max(3, len(scores) // 10)
    means = rolling_mean(scores.values, width)
    if len(scores) < 10 or not len(means):
        return None
    peak = int(np.argmax(means))
    lost, gained = float(means[peak] - means[-1]), float(means[peak] - means[0])
    error = scores.noise * math.sqrt(2.0 / width)
    spread = read_series(run, "objective/scores_std")
    least = max(FALL_ERRORS * error, FALL_SPREAD * float(np.median(spread.values)) if len(spread) else 0.0)
    if not lost > least or lost < GAIN_LOST * gained or len(means) - 1 - peak < width:
        return None
    highest = int(scores.updates[peak + width // 2])
    begins = int(
        np.flatnonzero(means >= means[peak] - ALIKE_ERRORS * error)[-1]
    )  # among stretches alike the best is chance
    update = int(scores.updates[begins + width // 2])
    quantity = "score" if any(f"objective/{name}scores" in run.metrics for name in ("", "raw_")) else "reward"
    text = (
        f"the {quantity} peaks about update {highest} at {format_number(means[peak])}, falls from "
        f"{update} on, and ends at"
    )
    ending = measure_ending(scores.values)
    text += f" {format_ending(ending)}"
    evidence = {"peak": float(means[peak]), "end": ending.mean, "standard error of the fall": error}
    advice = "lower ppo.lr or let it fall (ppo.lr_schedule=linear); raise ppo.kl_coef; lower ppo.total_episodes"
    return Finding(SCORE_FALLS, update, text, evidence, "; ".join([*advise_best_evaluation(run), advice]))
