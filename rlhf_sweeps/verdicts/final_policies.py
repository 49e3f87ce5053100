"""The policies by which runs are compared with the base policy, and the sentence about them: one for all outputs.

A run is judged by its best evaluation within the KL budget. A run that had none is judged by its last evaluation, and
then the sentence says so first: what lies beyond the budget is no success.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlhf_sweeps.verdicts.against_base import Gain, describe_gain, list_judges, measure_gain, read_differences
from rlhf_sweeps.verdicts.cross_fitting import cross_fit
from rlhf_sweeps.verdicts.objective import describe_excess

NO_JUDGE = "no judge scored it, so over-optimization cannot be seen (eval.judges)"


@dataclass(frozen=True)
class FinalPolicy:
    """The policy by which a run is judged.

    Attributes:
        update: after which it was evaluated.
        kl: its mean sequence KL to the base policy, in nats; nan if unknown.
        is_within: whether that evaluation was within the KL budget; then it is the best of these, else the last one.
        differences: held-out prompt -> score minus the base policy's score; empty without samples.
        kl_bound: the upper bound of the KL, which is held against the budget; the KL where it is unknown.
        judged: judge -> the differences in that evaluation under it.
        is_cross_fitted: whether each difference is that of the evaluation which the other prompts would choose.
    """

    update: int
    kl: float
    is_within: bool
    differences: Mapping[str, float]
    kl_bound: float
    judged: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    is_cross_fitted: bool = False


def find_final_policy(summary: Mapping[str, Any], samples: Iterable[Mapping[str, Any]]) -> FinalPolicy | None:
    """The policy by which a run is judged; None if the run had no evaluation.

    Args:
        summary: with the keys `best`, `last` and `updates_within_budget`, as in summary.json; what is damaged counts
            as missing.
        samples: the rows of samples.jsonl.
    """
    rows_by_update: dict[float, list[Mapping[str, Any]]] = {}
    for row in samples:
        if isinstance(row.get("update"), int | float):
            rows_by_update.setdefault(row["update"], []).append(row)
    for key in ("best", "last"):
        evaluation = summary.get(key)
        update = evaluation.get("update") if isinstance(evaluation, Mapping) else None
        if isinstance(evaluation, Mapping) and isinstance(update, int | float):
            kl, rows = _read_number(evaluation, "kl", math.nan), rows_by_update.get(update, [])
            fitted = cross_fit(_read_choice(summary, rows_by_update)) if key == "best" else None
            return FinalPolicy(
                int(update), kl, key == "best", read_differences(rows) if fitted is None else fitted,
                kl_bound=_read_number(evaluation, "kl_bound", kl),
                judged={judge: read_differences(rows, judge) for judge in list_judges(rows)},
                is_cross_fitted=fitted is not None,
            )  # fmt: skip
    return None


def _read_choice(summary: Mapping[str, Any], rows_by_update: Mapping[float, Sequence[Any]]) -> list[dict[str, float]]:
    """The differences at the evaluations from which the best was chosen; empty in records that do not say which."""
    updates = summary.get("updates_within_budget")
    if not isinstance(updates, list):
        return []
    return [read_differences(rows_by_update.get(update, [])) for update in updates if isinstance(update, int | float)]


def _read_number(evaluation: Mapping[str, Any], key: str, default: float) -> float:
    number = evaluation.get(key)
    return float(number) if isinstance(number, int | float) else default


def measure_policies(policies: Sequence[FinalPolicy | None], num_settings: int = 1) -> Gain | None:
    """The gain of a setting over the base policy; None if a run was not evaluated or the runs share no prompt.

    Args:
        policies: one for each run of the setting.
        num_settings: the number of settings that this one was chosen from by these runs.
    """
    return measure_gain([policy.differences if policy is not None else {} for policy in policies], num_settings)


def write_verdict(
    policies: Sequence[FinalPolicy | None],
    kl_budget: float | None,
    name: str = "",
    is_plural: bool = False,
    num_settings: int = 1,
) -> str:
    """Whether a setting is better than no training at all.

    Args:
        policies: one for each run of the setting.
        kl_budget: in nats; None if there is none, or if it is unknown.
        name: of the setting within a sentence, such as `trial 3`; empty for a run that speaks of itself.
        is_plural: whether the name stands for several trials.
        num_settings: the number of settings that this one was chosen from by these runs.
    """
    test = describe_test(
        measure_policies(policies, num_settings),
        num_settings,
        is_cross_fitted=any(policy is not None and policy.is_cross_fitted for policy in policies),
    )
    beyond = [policy for policy in policies if policy is not None and not policy.is_within]
    verb, their = ("are", "their") if is_plural else ("is", "its")
    if beyond and len(beyond) == len(policies):
        start = f"{name}: " if name else ""
        latest = "the last one" if len(beyond) == 1 else "the last one of each run"
        latest += f"{_compare_kl(beyond, kl_budget)} is {test}"
        return f"{start}no policy within the KL budget; {latest}"
    if beyond:
        share = f"{len(beyond)} of {len(policies)} runs had no policy within the KL budget"
        return f"{name} {verb} not known to be better than the base policy: {share}"
    if name:
        return f"at {their} best held-out score, {name} {verb} {test}"
    updates = [policy.update for policy in policies if policy is not None]
    return f"the policy{f' of update {updates[0]}' if updates else ''} is {test}"


def write_judgement(policies: Sequence[FinalPolicy | None]) -> str:
    """What the judges say of a setting, whose own reward model may have been over-optimized.

    The judges had no part in the choice of the setting, so their intervals are adjusted for their own number only.

    Args:
        policies: one for each run of the setting.
    """
    judged = [policy.judged if policy is not None else {} for policy in policies]
    judges = sorted(set(judged[0]).intersection(*judged[1:])) if judged else []
    if not judges:
        return NO_JUDGE
    gains = {judge: measure_gain([run[judge] for run in judged], len(judges)) for judge in judges}
    return "; ".join(f"judged by {judge}, it is {describe_gain(gain)}" for judge, gain in gains.items())


def describe_test(gain: Gain | None, num_settings: int = 1, is_cross_fitted: bool = False) -> str:
    """`better than the base policy by 1.75 [1.41, 2.09] (held-out score, 120 prompts, 1 seed)`; after `is`.

    Args:
        num_settings: see `write_verdict`.
    """
    if gain is None:
        return describe_gain(gain)
    prompts, seeds = _count(gain.num_prompts, "prompt"), _count(gain.num_seeds, "seed")
    text, basis = describe_gain(gain), f"held-out score, {prompts}, {seeds}"
    basis += ", cross-fitted" if is_cross_fitted else ""
    basis += f", best of {num_settings} settings" if num_settings > 1 else ""
    return f"{text.removesuffix(')')}; {basis})" if text.endswith(")") else f"{text} ({basis})"


def _compare_kl(beyond: Sequence[FinalPolicy], kl_budget: float | None) -> str:
    """` (KL 40, 38 > 15)`; empty where that is unknown."""
    excess = describe_excess([p.kl for p in beyond], [p.kl_bound for p in beyond], kl_budget)
    return f" ({excess})" if excess else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
