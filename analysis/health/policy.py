"""Health of the policy: how far it is from the reference policy, and how many answers it still has.

Thresholds were set on runs of the embedded model (see tests/health_records/README.md): sound ones ended at 0.02 to 0.8
nats a token, those that wrote nonsense at 1.7 to 14.
"""

import math

import numpy as np

from analysis.health.signals import Finding, Series, gain, score, series, setting, together
from analysis.records import RunRecord
from analysis.statements import number

KL_BLOW_UP = "KL blow-up"
OVER_BUDGET = "over the KL budget"
NEVER_WITHIN = "never within the KL budget"
TARGET_MISSED = "KL target missed"
NEGATIVE_KL = "negative KL"
ENTROPY_COLLAPSE = "entropy collapse"
ENTROPY_RISE = "entropy rises"

_TIMES_BUDGET = 2.0  # of objective.kl_budget
_NATS_PER_TOKEN = 1.0
_NATS, _NATS_OF_ANY = 100.0, 50.0  # of a whole response: a long one; one of unknown length, under no budget
_ENTROPY_LEFT = 0.25  # of the entropy at the beginning; sound runs 0.77, the published one 0.35
_TIMES_BEFORE, _LEAST = 10.0, 0.2  # nats, of a token or of a response
_ENTROPY_RISEN = 2.5

_LESS_KL = "raise ppo.kl_coef, or let ppo.kl_target hold the KL; lower ppo.lr"


def kl_blow_up(run: RunRecord) -> Finding | None:
    """The KL leaves the range in which answers stay language: twice the budget, or a nat a token."""
    kl = series(run, "objective/kl")
    limit, why = _kl_limit(run)
    update = kl.where(kl.values > limit)
    if update is None:
        return _kl_runs_off(run, kl)
    evidence = {"limit": limit, "KL at the end": kl.end, "largest KL": float(kl.values.max())}
    text = f"the KL to the reference policy passes {number(limit)} nats ({why}) and ends at {number(kl.end)}"
    lr = setting(run, "ppo.lr")
    advice = f"{_LESS_KL}{f' (now {number(lr)})' if lr else ''}; ppo.target_kl ends an update that goes too far"
    return Finding(KL_BLOW_UP, update, text, evidence, advice)


def _kl_limit(run: RunRecord) -> tuple[float, str]:
    limits = [(_NATS, "a lot for any response")]
    length = series(run, "objective/length", "eval/length")
    budget = run.kl_budget
    if len(length):
        limits.append((_NATS_PER_TOKEN * max(1.0, float(np.median(length.values))), "a nat a token"))
    if budget and budget > 0:
        limits.append((_TIMES_BUDGET * budget, f"{number(_TIMES_BUDGET)} times objective.kl_budget"))
    return min(limits) if len(limits) > 1 else (_NATS_OF_ANY, "a lot for a response")


def _kl_runs_off(run: RunRecord, kl: Series) -> Finding | None:
    """Of a KL of whatever unit (a mean over tokens?): ten times what it was, and the score has gained nothing by it."""
    scores = score(run)
    if len(kl) < 20 or len(scores) != len(kl):
        return None
    for share in (0.3, 0.5, 0.7):
        begin, end = int(len(kl) * (share - 0.15)), int(len(kl) * share)
        level = float(np.median(kl.values[begin:end]))
        if not (level > 0 and kl.end > max(_TIMES_BEFORE * level, _LEAST)):
            continue
        update = kl.where(kl.values > _TIMES_BEFORE * level)
        late = gain(_from(scores, begin))
        if update is None or late.size > 0:
            continue
        evidence = {"KL before": level, "KL at the end": kl.end, "gain in score since": late.size}
        text = f"the KL goes from {number(level)} to {number(kl.end)}, and the score gains nothing by it"
        return Finding(
            KL_BLOW_UP, update, text, evidence, f"{_LESS_KL}; ppo.target_kl ends an update that goes too far"
        )
    return None


def _from(values: Series, index: int) -> Series:
    return Series(values.updates[index:], values.values[index:])


def kl_budget(run: RunRecord) -> Finding | None:
    """Evaluations beyond `objective.kl_budget` count for nothing: all of them, or all since the middle of the run."""
    budget = run.kl_budget
    kl = series(run, "eval/kl")
    if budget is None or not len(kl):
        return None
    is_over = kl.values > budget
    evidence = {"KL at the last evaluation": float(kl.values[-1]), "budget": budget}
    if is_over.all():
        text = f"no evaluation is within objective.kl_budget={number(budget)} (lowest: {number(kl.values.min())} nats)"
        text += ", so the base policy stands for the run"
        advice = "raise ppo.kl_coef or lower ppo.lr; evaluate more often (eval.every); or raise objective.kl_budget"
        return Finding(NEVER_WITHIN, int(kl.updates[0]), text, evidence | {"lowest KL": float(kl.values.min())}, advice)
    last = int(np.flatnonzero(~is_over)[-1])
    if len(kl) < 4 or last + 1 > len(kl) / 2:
        return None
    text = f"no evaluation after update {kl.updates[last]:.0f} is within objective.kl_budget={number(budget)}"
    advice = (
        "the later updates count for nothing: raise ppo.kl_coef, set ppo.kl_target, or train less (ppo.total_episodes)"
    )
    return Finding(OVER_BUDGET, int(kl.updates[last + 1]), text, evidence, advice)


def kl_target(run: RunRecord) -> Finding | None:
    """The controller of the KL coefficient does not reach its target."""
    target, kl = setting(run, "ppo.kl_target"), series(run, "objective/kl")
    if not target or target <= 0 or len(kl) < 10:
        return None
    update = kl.where(kl.values > 2.0 * target)
    if update is None or kl.end < 2.0 * target:
        return None
    coefficient = series(run, "objective/kl_coef")
    evidence = {"target": target, "KL at the end": kl.end}
    if len(coefficient):
        evidence["KL coefficient at the end"] = coefficient.end
    text = f"the KL ends at {number(kl.end)} nats, where ppo.kl_target={number(target)}"
    return Finding(
        TARGET_MISSED, update, text, evidence, "start from a higher ppo.kl_coef, shorten ppo.kl_horizon, lower ppo.lr"
    )


def negative_kl(run: RunRecord) -> Finding | None:
    """A KL is never negative; an estimate that stays so is not of the distribution that was sampled from."""
    kl = series(run, "objective/kl")
    if len(kl) < 5 or not (kl.values < -0.1).any():
        return None
    width = min(len(kl), 3 * kl.window)
    level, noise = float(kl.values[-width:].mean()), max(kl.noise, float(kl.values[-width:].std()))
    update = kl.where(kl.values < -0.1)
    if update is None or level > -0.1 or level > -5.0 * noise / math.sqrt(width):
        return None
    text = f"the KL estimate stays below zero ({number(level)} nats at the end), which a KL cannot be"
    advice = (
        "sample from the distribution that is compared (ppo.top_p=1, no dropout); ppo.kl_estimator=k3 is never negative"
    )
    return Finding(NEGATIVE_KL, update, text, {"mean KL at the end": level, "noise": noise}, advice)


def entropy_collapse(run: RunRecord) -> Finding | None:
    """The policy has hardly a choice left: a fifth of the entropy that it began with."""
    entropy = _entropy(run)
    if len(entropy) < 5 or not entropy.start > 0:
        return None
    # A sum over responses falls with their length, too.
    is_sum = "policy/entropy_avg" not in run.metrics and "objective/length" not in run.metrics
    update = entropy.where(entropy.values < _ENTROPY_LEFT * entropy.start * (0.5 if is_sum else 1.0))
    if update is None:
        return None
    text = (
        f"the entropy falls from {number(entropy.start)} to {number(entropy.end)}: the policy has hardly a choice left"
    )
    advice = (
        "lower ppo.lr, raise ppo.kl_coef, reward entropy (ppo.entropy_coef=0.01), sample several responses to a prompt"
    )
    advice += " (ppo.rollouts_per_prompt)"
    return Finding(ENTROPY_COLLAPSE, update, text, {"at the start": entropy.start, "at the end": entropy.end}, advice)


def entropy_rise(run: RunRecord) -> Finding | None:
    """The policy gets ever less sure of its next token, as it does where it writes nonsense."""
    entropy = series(run, "policy/entropy_avg")
    if len(entropy) < 5 or not entropy.start > 0:
        return None
    update = entropy.where(entropy.values > _ENTROPY_RISEN * entropy.start)
    if update is None or entropy.end < _ENTROPY_RISEN * entropy.start:
        return None
    text = f"the entropy of a token rises from {number(entropy.start)} to {number(entropy.end)}, as in garbled text"
    advice = "look at samples; lower ppo.lr or ppo.entropy_coef, raise ppo.kl_coef"
    return Finding(ENTROPY_RISE, update, text, {"at the start": entropy.start, "at the end": entropy.end}, advice)


def _entropy(run: RunRecord) -> Series:
    """Of a token, where that can be known.

    The sum over a response falls with its length; and as older TRL logs it, a nat is taken off for every padding token,
    so that it can be negative: such a record is not judged by it.
    """
    of_token = series(run, "policy/entropy_avg")
    if len(of_token):
        return of_token
    updates, (sums, lengths) = together(run, "objective/entropy", "objective/length")
    if len(sums):
        return Series(updates, sums / np.maximum(lengths, 1.0))
    sums_alone = series(run, "objective/entropy")
    has_padding = len(sums_alone) and (sums_alone.values < 0).any()
    return Series(np.empty(0), np.empty(0)) if has_padding else sums_alone
