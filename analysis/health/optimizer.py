"""Health of the optimization: clipping, size of the updates, gradients, losses, the value model.

Thresholds were set on runs of the embedded model (see tests/helpers/health_records/README.md).
"""

from collections.abc import Mapping

import numpy as np

from analysis.health.hacking import is_own_score_up
from analysis.health.signals import Finding, read_config_value, read_series, read_together
from analysis.health.thresholds import (
    CLIPPED,
    CLIPPED_PER_MOVE,
    EXPLAINED,
    EXPLAINED_KEPT,
    EXPLAINED_LOST,
    GRADIENT_GROWTH,
    LARGE_APPROXKL,
    LEAST_COUNTED,
    LEAST_LOST,
    LEAST_VARIANCE,
    LOSS_GROWTH,
    MOVED_KL,
    MOVES,
    MOVES_FAR,
    NARROW_RANGE,
    NEARLY_ALL,
    SINGLE_STEP,
    UNCLIPPED,
    WORSE,
)
from analysis.records.runs import Floats, RunRecord
from analysis.wording.endings import format_ending
from rlhf_sweeps.figures import format_number, format_share
from rlhf_sweeps.verdicts.series import Series, rolling_mean

UPDATES_TOO_LARGE = "updates too large"
ALWAYS_CLIPS = "clip range always binds"
NEVER_CLIPS = "clip range never binds"
GRADIENTS_GROW = "gradients grow"
LOSS_RUNS_AWAY = "loss runs away"
VALUE_MODEL = "value model explains nothing"


def check_update_size(run: RunRecord) -> Finding | None:
    """Single updates move the policy so far that what was sampled says little about it any more."""
    approxkl = read_series(run, "policy/approxkl_avg")
    update = approxkl.where(approxkl.values > LARGE_APPROXKL)
    if len(approxkl) < 5 or update is None:
        return None
    level = float(rolling_mean(approxkl.values, approxkl.window).max())
    evidence = {"largest approxkl over a window": level, "limit": LARGE_APPROXKL}
    ratio_max = read_series(run, "val/ratio_max")
    if len(ratio_max):
        evidence["largest ratio"] = float(ratio_max.values.max())
    text = f"single updates move the policy by up to {format_number(level)} nats a token (policy/approxkl_avg, mean of"
    text += f" {approxkl.window} updates; 0.1 and less is usual)"
    advice = "lower ppo.lr or ppo.num_ppo_epochs; set ppo.target_kl=0.02 and ppo.max_grad_norm=1"
    return Finding(UPDATES_TOO_LARGE, update, text, evidence, advice)


def check_clipping(run: RunRecord) -> Finding | None:
    """A clip range that holds back a large share of all tokens, or never anything.

    Where an update is a single step nothing has moved before it, and nothing can be clipped.
    """
    clipped = read_series(run, "policy/clipfrac_avg")
    if len(clipped) < 5:
        return None
    level, clip_range = float(np.median(clipped.values)), read_config_value(run, "ppo.clip_range")
    range_text = f" (ppo.clip_range={format_number(clip_range)})" if clip_range else ""
    if level > CLIPPED:
        update = clipped.where(clipped.values > CLIPPED)
        text = f"clipping holds back {format_share(level)} of the tokens in the median update{range_text}"
        advice = "raise ppo.clip_range (0.2 is usual)" if clip_range and clip_range < NARROW_RANGE else "lower ppo.lr"
        advice += "; fewer steps an update (ppo.num_ppo_epochs, ppo.num_minibatches)"
        return Finding(ALWAYS_CLIPS, update, text, {"median share clipped": level}, advice)
    return _check_never_clips(run, clipped, range_text)


def _check_never_clips(run: RunRecord, clipped: Series, range_text: str) -> Finding | None:
    steps = [read_config_value(run, key) for key in ("ppo.num_ppo_epochs", "ppo.num_minibatches")]
    if len(clipped) < 10 or steps == [1.0, 1.0]:
        return None
    largest = float(np.quantile(clipped.values, NEARLY_ALL))
    evidence = {
        "median share clipped": float(np.median(clipped.values)),
        "share clipped in 95 % of the updates": largest,
    }
    _, (moves, shares) = read_together(run, "policy/approxkl_avg", "policy/clipfrac_avg")
    if not len(moves):
        # It may not have moved at all.
        return (
            _make_never_clips(clipped, range_text, "", evidence)
            if largest <= UNCLIPPED and read_series(run, "objective/kl").end > MOVED_KL
            else None
        )
    moved = float(np.median(moves))
    evidence["median approxkl"] = moved
    per_move = float(np.median(shares / np.sqrt(np.maximum(moves, 1e-30))))
    if moved > MOVES and (largest <= UNCLIPPED or (moved > MOVES_FAR and per_move < CLIPPED_PER_MOVE)):
        return _make_never_clips(
            clipped, range_text, f"although updates move the policy by {format_number(moved)} nats a token", evidence
        )
    if largest <= UNCLIPPED and moved > SINGLE_STEP:
        return _make_never_clips(clipped, range_text, "", evidence)
    return None


def _make_never_clips(clipped: Series, range_text: str, moved: str, evidence: Mapping[str, float]) -> Finding:
    share = evidence["median share clipped"]
    subject = "nothing" if share <= UNCLIPPED else f"hardly anything ({format_share(share)} of the tokens)"
    advice = "lower ppo.clip_range (0.2 is usual), or bound updates by ppo.target_kl"
    if not moved:
        advice = "nothing has to change if the score rises; otherwise raise ppo.lr or ppo.num_ppo_epochs"
    text = f"{subject} is ever clipped{range_text}{f', {moved}' if moved else ': updates are too small'}"
    return Finding(NEVER_CLIPS, int(clipped.updates[0]), text, evidence, advice)


def check_gradients(run: RunRecord) -> Finding | None:
    """Gradients ten times as large as at the beginning, for long."""
    names = {"policy/grad_norm": "policy", "value/grad_norm": "value model"}
    for metric, model_name in names.items():
        norms = read_series(run, metric)
        growth = _find_growth(norms, GRADIENT_GROWTH)
        if growth is None:
            continue
        update, before = growth
        text = (
            f"the gradients of the {model_name} grow from a norm of {format_number(before)} to "
            f"{format_ending(norms.ending)}"
        )
        evidence = {"norm before": before, "norm at the end": norms.ending.mean}
        advice = "clip them (ppo.max_grad_norm=1); lower ppo.lr"
        advice += "; bring scores to a common scale (reward_model.normalize=true)" if metric.startswith("value") else ""
        return Finding(GRADIENTS_GROW, update, text, evidence, advice)
    return None


def check_losses(run: RunRecord) -> Finding | None:
    """A loss ten times as large as before, for long."""
    for metric, loss_name in (("loss/value_avg", "value"), ("loss/policy_avg", "policy")):
        loss = read_series(run, metric)
        sizes = Series(loss.updates, np.abs(loss.values))
        growth = _find_growth(sizes, LOSS_GROWTH, 0.5 if loss_name == "value" else 1.0)
        if growth is None:
            continue
        update, before = growth
        text = f"the size of the {loss_name} loss grows from {format_number(before)} to {format_ending(sizes.ending)}"
        advice = (
            "lower ppo.lr"
            if loss_name == "policy"
            else "lower ppo.value_lr or ppo.vf_coef; set ppo.score_clip or ppo.score_scaling"
        )
        return Finding(LOSS_RUNS_AWAY, update, text, {"before": before, "at the end": sizes.ending.mean}, advice)
    return None


def _find_growth(sizes: Series, factor: float, quantile: float = 0.5) -> tuple[int, float] | None:
    """Where a positive metric gets to so many times its level in the first third, to stay there to the end.

    The policy's loss is near 0 while the policy stands still, so that its level is the largest (quantile 1).
    """
    if len(sizes) < 10:
        return None
    before = float(np.quantile(sizes.values[: max(5, len(sizes) // 3)], quantile))
    if quantile < 1.0:
        before = min(before, sizes.start)  # it may have begun early
    if not before > 0 or not sizes.end > factor * before:
        return None
    update = sizes.where(sizes.values > factor * before)
    return None if update is None else (update, before)


def check_value_model(run: RunRecord) -> Finding | None:
    """The values foresee nothing of the returns: over no stretch of the run, or not any more.

    Where nearly all answers of a batch get the same score, little is left to explain, and the share that is explained
    may be far below zero in the best of runs. So batches are pooled by their rewards' variance. A run is judged as a
    whole only by updates whose rewards deviate at least half as much as at first, if these are most, and only if its
    own score does not rise: a policy may learn without values. Values that foresaw something once count as lost only
    where what they leave is as much as all there was at first.
    """
    updates, explained, variances = _read_explained(run)
    if len(updates) < 10:
        return None
    width = min(max(5, len(updates) // 10), 25)
    first = float(np.median(variances[: max(5, len(updates) // 5)]))
    counts = variances >= LEAST_VARIANCE * first
    late = float(np.median(explained[-width:]))
    end = f"; at the end it predicts {'worse' if late < -WORSE else 'no better'} than a constant"
    advice = "raise ppo.value_lr or ppo.vf_coef; set ppo.value_warmup_updates=5, or ppo.value_model=policy;"
    advice += " bring scores to a common scale (reward_model.normalize=true)"
    best = float(_pool_explained(explained[counts], variances[counts], 0.0, width).max(initial=-np.inf))
    evidence = {f"best explained variance over {width} updates": best, "median at the end": late}
    if best <= EXPLAINED:
        if counts.sum() < max(12, LEAST_COUNTED * len(updates)) or not first > 0 or is_own_score_up(run):
            return None
        text = f"the value model explains {format_share(max(best, 0.0))} of the returns' variance at best"
        return Finding(VALUE_MODEL, int(updates[0]), f"{text} (over any {width} updates){end}", evidence, advice)
    if "objective/rewards_std" not in run.metrics:
        return None
    pooled = Series(updates[width - 1 :], _pool_explained(explained, variances, first, width))
    limit = min(EXPLAINED_LOST, EXPLAINED_KEPT * best)
    is_lost = pooled.values <= limit
    update = pooled.where(is_lost)
    if update is None or max(pooled.end, late) > limit or is_lost.mean() < LEAST_LOST:
        return None
    text = (
        f"the value model explained up to {format_share(best)} of the returns' variance before, and "
        f"nothing from here on{end}"
    )
    return Finding(VALUE_MODEL, max(int(updates[0]), update - width // 2), text, evidence, advice)


def _pool_explained(explained: Floats, variances: Floats, least: float, width: int) -> Floats:
    """Explained variance over all windows of so many updates, (n - width + 1,), of a variance of at least `least`."""
    left = rolling_mean((1.0 - explained) * variances, width)
    pooled: Floats = 1.0 - left / np.maximum(rolling_mean(variances, width), max(least, 1e-30))
    return pooled


def _read_explained(run: RunRecord) -> tuple[Floats, Floats, Floats]:
    """Updates, explained variance, and the rewards' variance where it is known (else 1), (n,) each; without the first
    two updates, in which the value model has not learned yet."""
    if "objective/rewards_std" in run.metrics:
        updates, (explained, deviations) = read_together(run, "val/explained_variance", "objective/rewards_std")
        return updates[2:], explained[2:], deviations[2:] ** 2
    alone = read_series(run, "val/explained_variance")
    return alone.updates[2:], alone.values[2:], np.ones(len(alone))[2:]
