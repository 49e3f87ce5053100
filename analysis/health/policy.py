"""Health of the policy: findings on its KL and its entropy, with advice."""

import numpy as np

from analysis.health.signals import (
    Finding,
    read_config_value,
    read_held_out_kl,
    read_score,
    read_series,
    read_together,
)
from analysis.health.thresholds import MISSED_TARGET, UNTRAINED_KL, UNTRAINED_TOKEN_KL
from analysis.records.runs import KL_BUDGET, RunRecord
from analysis.wording.endings import format_ending
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.verdicts.policy import (
    BLOW_UP,
    COLLAPSE,
    LOWEST_BOUND,
    LOWEST_KL,
    NEGATIVE,
    RISE,
    Divergence,
    Onset,
    find_entropy_collapse,
    find_entropy_rise,
)
from rlhf_sweeps.verdicts.series import Series

KL_BLOW_UP = f"KL {BLOW_UP}"
OVER_BUDGET = "over the KL budget"
NEVER_WITHIN = "never within the KL budget"
TARGET_MISSED = "KL target missed"
NEGATIVE_KL = f"{NEGATIVE} KL"
FIRST_KL = "KL before training"
ENTROPY_COLLAPSE = f"entropy {COLLAPSE}"
ENTROPY_RISE = f"entropy {RISE}s"

_LESS_KL = "raise ppo.kl_coef, or let ppo.kl_target hold the KL; lower ppo.lr"


def read_divergence(run: RunRecord) -> Divergence:
    """The KL of a run as every verdict on it takes it."""
    length = read_series(run, "objective/length", "eval/length")
    return Divergence(
        read_series(run, "objective/kl"),
        *read_held_out_kl(run),
        run.kl_budget,
        KL_BUDGET not in run.config,
        float(np.median(length.values)) if len(length) else None,
        read_score(run),
    )


def find_collapse(run: RunRecord) -> Onset | None:
    """Where the entropy of a run collapses, as every verdict on it has it; None where it does not."""
    # A sum over responses falls with their length, too.
    is_sum = "policy/entropy_avg" not in run.metrics and "objective/length" not in run.metrics
    return find_entropy_collapse(_read_entropy(run), is_sum)


def check_kl_blow_up(run: RunRecord) -> Finding | None:
    """The KL leaves the range in which answers stay language."""
    kl = read_divergence(run)
    onset = kl.blow_up
    if onset is None:
        return None
    end = format_ending(kl.kl.ending, "nats")
    last_resort = "ppo.target_kl ends an update that goes too far"
    if "KL before" in onset.evidence:
        start = format_number(onset.evidence["KL before"])
        text = f"the KL goes from {start} to {end}, and the score does not rise"
        return Finding(KL_BLOW_UP, onset.update, text, onset.evidence, f"{_LESS_KL}; {last_resort}")
    text = f"the KL to the reference policy passes {format_number(onset.limit)} nats ({onset.why}) and ends at {end}"
    lr = read_config_value(run, "ppo.lr")
    advice = f"{_LESS_KL}{f' (now {format_number(lr)})' if lr else ''}; {last_resort}"
    return Finding(KL_BLOW_UP, onset.update, text, onset.evidence, advice)


def check_kl_budget(run: RunRecord) -> Finding | None:
    """Evaluations beyond `objective.kl_budget` count for nothing: all of them, or all since the middle of the run."""
    kl = read_divergence(run)
    lost = kl.lost_evaluations
    if lost is None:
        return None
    budget = f"objective.kl_budget={format_number(lost.limit)}"
    if LOWEST_KL in lost.evidence:
        text = f"no evaluation is within {budget} ({_describe_lowest(kl, lost)}), so the run counts as the base policy"
        advice = "raise ppo.kl_coef or lower ppo.lr; evaluate more often (eval.every); or raise objective.kl_budget"
        return Finding(NEVER_WITHIN, lost.update, text, lost.evidence, advice)
    last = kl.bounds.updates[kl.bounds.values <= lost.limit][-1]
    text = f"no evaluation after update {last:.0f} is within {budget} ({_describe_lowest(kl, lost)}), so that "
    text += "the later updates do not count"
    advice = "raise ppo.kl_coef, set ppo.kl_target, or train less (ppo.total_episodes)"
    return Finding(OVER_BUDGET, lost.update, text, lost.evidence, advice)


def _describe_lowest(kl: Divergence, lost: Onset) -> str:
    """The lowest KL of the evaluations that do not count; its bound, too, where this alone is over the budget."""
    is_lost = kl.evaluations.updates >= lost.update
    lowest, bound = float(kl.evaluations.values[is_lost].min()), float(kl.bounds.values[is_lost].min())
    text = f"lowest: {format_number(lowest)} nats"
    return f"{text}, {LOWEST_BOUND}: {format_number(bound)} nats" if lowest <= lost.limit else text


def check_kl_target(run: RunRecord) -> Finding | None:
    """The controller of the KL coefficient does not reach its target."""
    target, kl = read_config_value(run, "ppo.kl_target"), read_series(run, "objective/kl")
    if not target or target <= 0 or len(kl) < 10:
        return None
    update = kl.where(kl.values > MISSED_TARGET * target)
    if update is None or kl.end < MISSED_TARGET * target:
        return None
    coefficient = read_series(run, "objective/kl_coef")
    evidence = {"target": target, "KL at the end": kl.ending.mean}
    if len(coefficient):
        evidence["KL coefficient at the end"] = coefficient.ending.mean
    text = f"the KL ends at {format_ending(kl.ending, 'nats')}, where ppo.kl_target={format_number(target)}"
    return Finding(
        TARGET_MISSED, update, text, evidence, "start from a higher ppo.kl_coef, shorten ppo.kl_horizon, lower ppo.lr"
    )


def check_negative_kl(run: RunRecord) -> Finding | None:
    """A KL is never negative; an estimate that stays so is not of the distribution that was sampled from."""
    onset = read_divergence(run).negative
    if onset is None:
        return None
    level = format_number(onset.evidence["mean KL at the end"])
    text = f"the KL estimate stays below zero ({level} nats at the end), although a KL is never negative"
    advice = (
        "sample from the distribution that is compared (ppo.top_p=1, no dropout), or set ppo.kl_estimator=k3, which is "
        "never negative"
    )
    return Finding(NEGATIVE_KL, onset.update, text, onset.evidence, advice)


def check_first_kl(run: RunRecord) -> Finding | None:
    """The policy differs from its reference before its first step, where both should be the same model.

    Answers of update 1 are sampled before any step of the optimizer, those of an evaluation at update 0, too.
    """
    kl, evaluations = read_series(run, "objective/kl"), read_series(run, "eval/kl")
    length = read_series(run, "objective/length", "eval/length")
    first = None
    if run.counts_updates and len(kl) > 1 and kl.updates[0] <= 1 and kl.updates[1] - kl.updates[0] == 1:
        first = kl
    elif len(evaluations) and evaluations.updates[0] == 0:
        first = evaluations
    if first is None:
        return None
    tokens = float(length.values[0]) if len(length) else 0.0
    limit, value, update = max(UNTRAINED_KL, UNTRAINED_TOKEN_KL * tokens), float(first.values[0]), int(first.updates[0])
    if abs(value) <= limit:
        return None
    text = f"the KL to the reference policy is {format_number(value)} nats at update {update}, before the first step: "
    text += "the policy that is trained is not the reference policy"
    advice = "let both load the same weights (model.path, a checkpoint, adapters) in the same precision "
    advice += "(ppo.precision, model.dtype), without dropout, and compare them at the same temperature"
    return Finding(FIRST_KL, update, text, {"KL before the first step": value, "limit": limit}, advice)


def check_entropy_collapse(run: RunRecord) -> Finding | None:
    """The policy becomes nearly deterministic."""
    onset = find_collapse(run)
    if onset is None:
        return None
    start, end = format_number(onset.evidence["at the start"]), format_ending(_read_entropy(run).ending)
    of_token = " of a token" if {"policy/entropy_avg", "objective/length"} & run.metrics.keys() else ""
    text = f"the entropy{of_token} falls from {start} to {end}: the policy is nearly deterministic"
    advice = (
        "lower ppo.lr, raise ppo.kl_coef, reward entropy (ppo.entropy_coef=0.01), sample several responses to a prompt"
    )
    advice += " (ppo.rollouts_per_prompt)"
    return Finding(ENTROPY_COLLAPSE, onset.update, text, onset.evidence, advice)


def check_entropy_rise(run: RunRecord) -> Finding | None:
    """The policy gets ever less sure of its next token, as it does where it writes nonsense."""
    entropy = read_series(run, "policy/entropy_avg")
    onset = find_entropy_rise(entropy)
    if onset is None:
        return None
    start, end = format_number(onset.evidence["at the start"]), format_ending(entropy.ending)
    text = f"the entropy of a token rises from {start} to {end}, as in garbled text"
    advice = "look at samples; lower ppo.lr or ppo.entropy_coef, raise ppo.kl_coef"
    return Finding(ENTROPY_RISE, onset.update, text, onset.evidence, advice)


def _read_entropy(run: RunRecord) -> Series:
    """Of a token, where that can be known.

    The sum over a response falls with its length; and as older TRL logs it, a nat is taken off for every padding token,
    so that it can be negative: then the series is empty.
    """
    of_token = read_series(run, "policy/entropy_avg")
    if len(of_token):
        return of_token
    updates, (sums, lengths) = read_together(run, "objective/entropy", "objective/length")
    if len(sums):
        return Series(updates, sums / np.maximum(lengths, 1.0))
    sums_alone = read_series(run, "objective/entropy")
    has_padding = len(sums_alone) and (sums_alone.values < 0).any()
    return Series(np.empty(0), np.empty(0)) if has_padding else sums_alone
