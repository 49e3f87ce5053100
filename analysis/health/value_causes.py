"""Causes in the value model: its loss, its steps, and settings by which it does not learn, each with its evidence."""

from collections.abc import Collection

import numpy as np

from analysis.health import optimizer
from analysis.health.signals import Finding, read_config_value, read_series
from analysis.health.thresholds import (
    EXPLAINED,
    FEWEST_UPDATES,
    HIGH_VALUE_LR_TIMES,
    LOW_VALUE_LR_TIMES,
    VALUE_NORM,
    VALUE_SHARE,
    WIDE_SCORES,
    WORSE,
)
from analysis.records.runs import RunRecord
from rlhf_sweeps.figures import format_number, format_share

VALUE_LOSS = "value loss drowns the policy"
VALUE_STEPS = "value model's steps too large"
VALUE_STILL = "value model hardly trained"


def check_value_loss(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """Nearly all of the gradient of a trunk that policy and value model share is the value loss's, and is clipped."""
    weight, limit = read_config_value(run, "ppo.vf_coef"), read_config_value(run, "ppo.max_grad_norm")
    norms, value_norms = read_series(run, "policy/grad_norm"), read_series(run, "value/grad_norm")
    if run.config.get("ppo.value_model") != "shared" or not weight or not len(norms) or not len(value_norms):
        return None
    norm, value_norm = float(np.median(norms.values)), float(np.median(value_norms.values))
    if norm < VALUE_NORM * (limit or 1.0) or value_norm < VALUE_SHARE * norm:
        return None
    spread = read_series(run, "objective/scores_std")
    text = f"the gradient of the trunk that policy and value model share has a norm of {format_number(norm)}"
    text += f" (ppo.max_grad_norm={format_number(limit)})" if limit else ""
    text += f", and that of the value head {format_number(value_norm)}: the value loss, weighted by "
    text += f"ppo.vf_coef={format_number(weight)}, drowns the policy's loss"
    is_wide = len(spread) > 0 and spread.start > WIDE_SCORES
    scale = "bring scores to a common scale (ppo.score_scaling=scale, reward_model.normalize=true)"
    if is_wide:
        text += f"; the scores deviate by {format_number(spread.start)}"
    advice = f"{f'{scale}; ' if is_wide else ''}lower ppo.vf_coef (0.02 suits a shared trunk), or give the value model "
    advice += "a trunk of its own (ppo.value_model=policy)"
    evidence = {"norm of the trunk's gradient": norm, "norm of the value head's": value_norm, "ppo.vf_coef": weight}
    return Finding(VALUE_LOSS, int(norms.updates[0]), text, evidence, advice)


def check_value_steps(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """The value model learns at a rate far above the usual one, and its values foresee nothing."""
    rate, usual = read_config_value(run, "ppo.value_lr"), _find_usual_value_lr(run)
    explained = read_series(run, "val/explained_variance")
    if not rate or not usual or len(explained) < 5:
        return None
    level = float(np.median(explained.values[2:]))
    is_lost = level <= EXPLAINED or {optimizer.VALUE_MODEL, optimizer.LOSS_RUNS_AWAY} & set(kinds)
    if rate < HIGH_VALUE_LR_TIMES * usual or not is_lost:
        return None
    text = f"ppo.value_lr={format_number(rate)} is {format_number(rate / usual)} times its default, and "
    text += _describe_explained(level)
    evidence = {"ppo.value_lr": rate, "its default": usual, "explained variance": level}
    return Finding(
        VALUE_STEPS, int(explained.updates[0]), text, evidence, f"lower ppo.value_lr (default: {format_number(usual)})"
    )


def check_still_value(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """The value model is not trained, or at a rate far below the usual one, and its values foresee nothing."""
    weight, rate = read_config_value(run, "ppo.vf_coef"), read_config_value(run, "ppo.value_lr")
    explained, usual = read_series(run, "val/explained_variance"), _find_usual_value_lr(run)
    if len(explained) < FEWEST_UPDATES:
        return None
    level = float(np.median(explained.values[2:]))
    if level > EXPLAINED and optimizer.VALUE_MODEL not in kinds:
        return None
    if weight == 0:
        text, evidence = "ppo.vf_coef=0 leaves the value model untrained", {"ppo.vf_coef": 0.0}
        advice = "raise ppo.vf_coef (0.02 suits a shared trunk, 0.1 a trunk of its own)"
    elif rate and usual and rate <= LOW_VALUE_LR_TIMES * usual:
        text = f"ppo.value_lr={format_number(rate)} is {format_number(rate / usual)} times its default"
        evidence = {"ppo.value_lr": rate, "its default": usual}
        advice = f"raise ppo.value_lr (default: {format_number(usual)})"
    else:
        return None
    text += f", and {_describe_explained(level)}"
    return Finding(VALUE_STILL, int(explained.updates[0]), text, evidence | {"explained variance": level}, advice)


def _describe_explained(level: float) -> str:
    """The median explained variance, which is below 0 where a constant foresees the returns better."""
    if level < -WORSE:
        return (
            f"in the median update a constant foresees the returns better (explained variance: {format_number(level)})"
        )
    return f"the values explain {format_share(max(level, 0.0))} of the returns' variance in the median update"


def _find_usual_value_lr(run: RunRecord) -> float | None:
    """The default of ppo.value_lr; None where the config does not say."""
    lr = read_config_value(run, "ppo.lr")
    return None if not lr else lr * (10.0 if run.config.get("ppo.value_model") == "shared" else 1.0)
