"""Causes of a standstill: settings by which a policy hardly learns, each with its evidence."""

from collections.abc import Collection

import numpy as np

from analysis.health.drift_causes import TOO_FAR, describe_temperature, find_usual_lr, read_penalty
from analysis.health.learning import FLAT, NO_LEARNING, describe_change
from analysis.health.signals import Finding, read_config_value, read_score, read_series
from analysis.health.thresholds import (
    COOL,
    DEAR_NAT,
    FEW_ANSWERS,
    FEWEST_UPDATES,
    LITTLE_CREDIT,
    LITTLE_GAIN,
    LOW_LAMBDA,
    LOW_LR_TIMES,
    NOISY_ERRORS,
    NOISY_SCORE,
    SPENT_KL,
    STEPS_LEFT,
    STILL_ERRORS,
    TINY_NORM,
    USUAL_EPS,
    VERY_FEW_ANSWERS,
)
from analysis.records.runs import RunRecord
from rlhf_sweeps.figures import format_number, format_share
from rlhf_sweeps.verdicts.series import Change, measure_gain

STRONG_PENALTY = "KL penalty too strong"
LOW_LR = "learning rate too low"
NO_STEPS = "steps too small or too few"
SHORT_DISCOUNT = "discount too short"
LOW_GAE_LAMBDA = "GAE lambda too low"
COLD = "temperature too low"
SMALL_BATCH = "batch too small"

# What runs have whose score does not rise.
_STILL = {NO_LEARNING, FLAT}


def check_strong_penalty(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """A nat of KL costs as much as scores differ, so that the policy gains nothing by moving.

    At a coefficient b the best policy has a KL of about s^2 / (2 b^2), if scores have the standard deviation s.
    """
    coefficient, kl = read_penalty(run), read_series(run, "objective/kl")
    spread, change = read_series(run, "objective/scores_std"), _measure_gain(run)
    if not coefficient or change is None or not len(kl) or not len(spread) or not spread.start > 0:
        return None
    is_still = bool(_STILL & set(kinds)) or change.deviations <= STILL_ERRORS
    if coefficient < DEAR_NAT * spread.start or kl.end > SPENT_KL or not is_still:
        return None
    text = f"a nat of KL costs {format_number(coefficient)} (ppo.kl_coef), while scores differ by only "
    text += f"{format_number(spread.start)} (standard deviation): the policy stays within "
    text += f"{format_number(kl.ending.mean)} nats of the reference policy, and the score {describe_change(change)}, "
    text += "which may be noise"
    evidence = {"KL coefficient": coefficient, "deviation of scores": spread.start, "KL at the end": kl.ending.mean}
    advice = "lower ppo.kl_coef (0.01 to 0.1 of the scores' deviation is usual)"
    return Finding(STRONG_PENALTY, int(kl.updates[0]), text, evidence, advice)


def check_low_lr(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """A learning rate far below what suits the model, and no certain gain."""
    lr, usual = read_config_value(run, "ppo.lr"), find_usual_lr(run)
    kl, change = read_series(run, "objective/kl"), _measure_gain(run)
    if not lr or not usual or lr > LOW_LR_TIMES * usual or change is None or not len(kl):
        return None
    if change.deviations > STILL_ERRORS and not _STILL & set(kinds):
        return None
    text = f"ppo.lr={format_number(lr)} is {format_number(lr / usual)} times the rate that suits the model "
    text += f"({format_number(usual)}, by model.suggested_lr): the policy ends {format_number(kl.ending.mean)} nats "
    text += f"from where it began, and the score {describe_change(change)}, which may be noise"
    evidence = {"ppo.lr": lr, "usual rate": usual, "KL at the end": kl.ending.mean}
    return Finding(LOW_LR, int(kl.updates[0]), text, evidence, f"raise ppo.lr to {format_number(usual)}")


def check_steps(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """The optimizer's steps are made too small, or updates end before most of them, and nothing is learned."""
    if not _STILL & set(kinds):
        return None
    eps, limit = read_config_value(run, "ppo.adam_eps"), read_config_value(run, "ppo.max_grad_norm")
    target, planned = read_config_value(run, "ppo.target_kl"), read_config_value(run, "ppo.num_ppo_epochs")
    passes, norms = read_series(run, "policy/epochs"), read_series(run, "policy/grad_norm")
    begins = int(run.updates[0])
    if target and planned and len(passes) and passes.end < STEPS_LEFT * planned:
        text = f"ppo.target_kl={format_number(target)} ends updates after {format_number(passes.ending.mean)} of "
        text += f"{format_number(planned)} passes"
        evidence = {"ppo.target_kl": target, "passes of an update": passes.ending.mean}
        return Finding(NO_STEPS, begins, text, evidence, "raise ppo.target_kl (0.02 is usual), or set it to null")
    if limit and limit < TINY_NORM and len(norms):
        text = f"gradients with a norm of {format_number(norms.ending.mean)} are clipped to "
        text += f"ppo.max_grad_norm={format_number(limit)}"
        evidence = {"ppo.max_grad_norm": limit, "norm of the gradients": norms.ending.mean}
        return Finding(NO_STEPS, begins, text, evidence, "raise ppo.max_grad_norm (1 is usual)")
    if eps and eps > USUAL_EPS:
        text = f"ppo.adam_eps={format_number(eps)} is far larger than the gradient of most weights"
        return Finding(NO_STEPS, begins, text, {"ppo.adam_eps": eps}, "lower ppo.adam_eps (1e-8 is usual)")
    return None


def check_discount(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """A discount by which the score hardly reaches the middle of an answer, and a score that hardly rises."""
    gamma, length = read_config_value(run, "ppo.gamma"), read_series(run, "objective/length", "eval/length")
    change, spread = _measure_gain(run), read_series(run, "objective/scores_std")
    if gamma is None or gamma >= 1 or change is None or not len(length) or not len(spread):
        return None
    tokens = float(np.median(length.values))
    credit = gamma ** (tokens / 2)
    if credit > LITTLE_CREDIT or change.size > LITTLE_GAIN * spread.start:
        return None
    text = f"with ppo.gamma={format_number(gamma)} the middle of an answer of {format_number(tokens)} tokens gets "
    text += f"{format_share(credit)} of the score, which changes by {format_number(change.size)} over the run, where "
    text += f"answers differ by {format_number(spread.start)} (standard deviation)"
    evidence = {"ppo.gamma": gamma, "share of the score in the middle": credit, "gain in score": change.size}
    return Finding(SHORT_DISCOUNT, int(length.updates[0]), text, evidence, "raise ppo.gamma (1 is usual for answers)")


def check_lambda(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """A lambda by which the score hardly reaches the middle of an answer, which learns little or moves too far.

    What the score does not reach learns from the differences between values that follow each other, and these are
    mostly the value model's errors.
    """
    factor, length = read_config_value(run, "ppo.gae_lambda"), read_series(run, "objective/length", "eval/length")
    change, spread = _measure_gain(run), read_series(run, "objective/scores_std")
    if factor is None or factor > LOW_LAMBDA or change is None or not len(length) or not len(spread):
        return None
    tokens = float(np.median(length.values))
    if tokens <= 1:  # the score is the reward of the only token
        return None
    credit = factor ** (tokens / 2)
    is_sick = change.size <= LITTLE_GAIN * spread.start or bool(TOO_FAR & set(kinds))
    if credit > LITTLE_CREDIT or not is_sick:
        return None
    text = f"with ppo.gae_lambda={format_number(factor)} the middle of an answer of {format_number(tokens)} tokens "
    text += f"gets {format_share(credit)} of the score, and otherwise learns from the value model's errors; the score "
    text += f"changes by {format_number(change.size)} over the run, where answers differ by "
    text += f"{format_number(spread.start)} (standard deviation)"
    evidence = {"ppo.gae_lambda": factor, "share of the score in the middle": credit, "gain in score": change.size}
    return Finding(LOW_GAE_LAMBDA, int(length.updates[0]), text, evidence, "raise ppo.gae_lambda (0.95 to 1 is usual)")


def check_low_temperature(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """Answers are sampled at so low a temperature that they hardly vary, and no certain gain."""
    temperature = read_config_value(run, "ppo.temperature")
    entropy, change = read_series(run, "policy/entropy_avg"), _measure_gain(run)
    if temperature is None or temperature > COOL or change is None or not len(entropy):
        return None
    if change.deviations > STILL_ERRORS and not kinds:
        return None
    why = "they hardly vary, so that there is little to choose from"
    text, evidence = describe_temperature(temperature, entropy, why)
    return Finding(COLD, int(entropy.updates[0]), text, evidence, "raise ppo.temperature (0.7 to 1 is usual)")


def check_batch(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """So few answers in an update that its mean score is mostly noise, in a run that is sick or gains nothing."""
    size, scores = read_config_value(run, "ppo.batch_size"), read_score(run)
    spread, change = read_series(run, "objective/scores_std"), _measure_gain(run)
    most = FEW_ANSWERS if (TOO_FAR | _STILL) & set(kinds) else VERY_FEW_ANSWERS
    if size is None or size > most or change is None:
        return None
    level = float(np.median(spread.values)) if len(spread) else 0.0
    is_noisy = level == 0.0 or scores.noise > NOISY_SCORE * level
    if not is_noisy or (change.deviations > NOISY_ERRORS and not kinds):
        return None
    text = f"an update has {format_number(size)} answers (ppo.batch_size) and follows noise: their mean score varies "
    text += f"by {format_number(scores.noise)} from update to update (standard deviation about the trend), and changes "
    text += f"by {format_number(change.size)} over the whole run"
    evidence = {"ppo.batch_size": size, "noise of the mean score": scores.noise, "gain in score": change.size}
    advice = "raise ppo.batch_size (32 and more are usual), with more ppo.total_episodes for as many updates"
    return Finding(SMALL_BATCH, int(scores.updates[0]), text, evidence, advice)


def _measure_gain(run: RunRecord) -> Change | None:
    """The gain in score; None where the updates are too few to tell gain from noise."""
    scores = read_score(run)
    return measure_gain(scores) if len(scores) >= FEWEST_UPDATES else None
