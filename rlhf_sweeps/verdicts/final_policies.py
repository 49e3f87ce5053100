"""The policies by which runs are compared with the base policy: one definition for all outputs.

A run is judged by its best evaluation within the KL budget. A run that had none is judged by its last evaluation, and
then the sentence says so first: what lies beyond the budget is no success. If the policies of all runs were confirmed
on confirming prompts, by which nothing is chosen, the sentence rests on these prompts.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean
from typing import Any

from rlhf_sweeps.record.trials import read_objectives
from rlhf_sweeps.verdicts.against_base import Gain, list_judges, measure_gain, read_differences, read_scores
from rlhf_sweeps.verdicts.cross_fitting import WIDENING, choose_for_each
from rlhf_sweeps.verdicts.objective import KL_BOUND


@dataclass(frozen=True)
class FinalPolicy:
    """The policy by which a run is judged.

    Attributes:
        update: after which it was evaluated.
        kl: its mean sequence KL to the base policy, in nats; nan if unknown.
        is_within: whether that evaluation was within the KL budget; then it is the best of these, else the last one.
        differences: held-out prompt -> score minus the base policy's score; empty without samples.
        scores: held-out prompt -> score, in the same evaluations; empty on the confirming prompts.
        kl_bound: the upper bound of the KL, which is held against the budget; the KL where it is unknown.
        judged: judge -> the differences in that evaluation under it.
        is_cross_fitted: whether each difference is that of the evaluation which the other prompts would choose.
        score: the mean score on the confirming prompts; nan of other prompts, or if unknown.
        kl_price: what a nat of KL cost where it was chosen; 0 where the score alone chose it.
        confirmed: the same policy on the confirming prompts; None if it was not measured there.
    """

    update: int
    kl: float
    is_within: bool
    differences: Mapping[str, float]
    kl_bound: float
    judged: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    is_cross_fitted: bool = False
    score: float = math.nan
    kl_price: float = 0.0
    confirmed: "FinalPolicy | None" = None
    scores: Mapping[str, float] = field(default_factory=dict)


def find_final_policy(
    summary: Mapping[str, Any],
    samples: Iterable[Mapping[str, Any]],
    own: str | None = None,
    confirmation: Sequence[Mapping[str, Any]] = (),
) -> FinalPolicy | None:
    """The policy by which a run is judged; None if the run had no evaluation.

    Args:
        summary: with the keys `best`, `last`, `updates_within_budget`, `kls_within_budget` and `confirmed`, as in
            summary.json; what is damaged counts as missing.
        samples: the rows of samples.jsonl.
        own: the name of the run's reward model, which is no judge of its own policy.
        confirmation: the rows of confirmation.jsonl.
    """
    rows_by_update: dict[float, list[Mapping[str, Any]]] = {}
    for row in samples:
        if isinstance(row.get("update"), int | float):
            rows_by_update.setdefault(row["update"], []).append(row)
    for key in ("best", "last"):
        evaluation = summary.get(key)
        update = evaluation.get("update") if isinstance(evaluation, Mapping) else None
        if isinstance(evaluation, Mapping) and isinstance(update, int | float):
            price = _read_number(evaluation, "kl_price", 0.0)
            allowed = list_choice(summary, price) if key == "best" else {}
            choice = [rows_by_update.get(chosen, []) for chosen in allowed]
            place_of_prompt = choose_for_each([read_differences(rows) for rows in choice], list(allowed.values()))
            # Without a choice among evaluations every prompt is measured in this one.
            rows = rows_by_update.get(update, [])
            kl = _read_number(evaluation, "kl", math.nan)
            return FinalPolicy(
                int(update), kl, key == "best", _measure(rows, choice, place_of_prompt, read_differences),
                kl_bound=_read_number(evaluation, "kl_bound", kl),
                judged={
                    judge: _measure(rows, choice, place_of_prompt, partial(read_differences, judge=judge))
                    for judge in list_judges(rows) if judge != own
                },
                is_cross_fitted=place_of_prompt is not None,
                kl_price=price,
                confirmed=_find_confirmed(summary.get("confirmed"), confirmation, update, key == "best", own),
                scores=_measure(rows, choice, place_of_prompt, partial(read_scores, name="score")),
            )  # fmt: skip
    return None


def _find_confirmed(
    confirmed: Any, rows: Sequence[Mapping[str, Any]], update: float, is_within: bool, own: str | None
) -> FinalPolicy | None:
    """The policy of this update on the confirming prompts, if the record is whole and of this update."""
    if not isinstance(confirmed, Mapping) or not rows or any(row.get("update") != update for row in rows):
        return None
    kl, score = (_read_number(confirmed, key, math.nan) for key in ("eval/kl", "eval/score"))
    differences = read_differences(rows)
    is_whole = confirmed.get("update") == update and confirmed.get("num_prompts") == len(differences)
    if not is_whole or not math.isfinite(kl + score):
        return None
    judged = {judge: read_differences(rows, judge) for judge in list_judges(rows) if judge != own}
    kl_bound = _read_number(confirmed, KL_BOUND, kl)
    return FinalPolicy(int(update), kl, is_within, differences, kl_bound, judged, score=score)


def read_confirmed_score(
    summary: Mapping[str, Any], confirmation: Sequence[Mapping[str, Any]]
) -> tuple[float, int] | None:
    """The score on the confirming prompts of the policy that gave a run its objective, and the number of these prompts.

    None if it was not measured, or if the objective is another quantity than the held-out score of that policy.

    Args:
        summary: as in summary.json.
        confirmation: the rows of confirmation.jsonl.
    """
    policy, objectives = find_final_policy(summary, (), confirmation=confirmation), read_objectives(summary)
    if policy is None or policy.confirmed is None:
        return None
    is_objective = policy.is_within and objectives == [summary["best"].get("score")]
    return (policy.confirmed.score, len(policy.confirmed.differences)) if is_objective else None


def choose_measured(policies: Sequence[FinalPolicy | None]) -> Sequence[FinalPolicy | None]:
    """The policies on the confirming prompts if all were measured there, else on the prompts that chose them."""
    return list_confirmed(policies) or policies


def list_confirmed(policies: Sequence[FinalPolicy | None]) -> list[FinalPolicy]:
    """The policies on the confirming prompts; empty unless all were measured there."""
    confirmed = [policy.confirmed for policy in policies if policy is not None and policy.confirmed is not None]
    return confirmed if len(confirmed) == len(policies) else []


def list_choice(summary: Mapping[str, Any], kl_price: float = 0.0) -> dict[float, float]:
    """The updates of which the best was chosen -> what their KL costs; empty in records that do not say which."""
    updates, kls = (summary.get(key) for key in ("updates_within_budget", "kls_within_budget"))
    if not isinstance(updates, list):
        return {}
    if kl_price == 0:
        return {update: 0.0 for update in updates if isinstance(update, int | float)}
    if not isinstance(kls, list) or len(kls) != len(updates):
        return {}
    numbers = [pair for pair in zip(updates, kls, strict=True) if all(isinstance(part, int | float) for part in pair)]
    return {update: kl_price * kl for update, kl in numbers}


def _measure(
    rows: Sequence[Mapping[str, Any]],
    choice: Sequence[Sequence[Mapping[str, Any]]],
    place_of_prompt: Mapping[str, int] | None,
    read: Callable[[Sequence[Mapping[str, Any]]], dict[str, float]],
) -> dict[str, float]:
    """What `read` finds in one evaluation, or of each prompt in the evaluation that was chosen for it."""
    if place_of_prompt is None:
        return read(rows)
    evaluations = [read(chosen_rows) for chosen_rows in choice]
    return {
        prompt: evaluations[place][prompt] for prompt, place in place_of_prompt.items() if prompt in evaluations[place]
    }


def _read_number(evaluation: Mapping[str, Any], key: str, default: float) -> float:
    number = evaluation.get(key)
    return float(number) if isinstance(number, int | float) else default


def measure_policies(policies: Sequence[FinalPolicy | None], num_settings: int = 1) -> Gain | None:
    """The gain of a setting over the base policy; None if a run was not evaluated or the runs share no prompt.

    Args:
        policies: one for each run of the setting.
        num_settings: the number of settings that this one was chosen from by these runs.
    """
    measured = choose_measured(policies)
    differences = [policy.differences if policy is not None else {} for policy in measured]
    return measure_gain(differences, num_settings, choose_widening(policies))


def measure_confirmation(policies: Sequence[FinalPolicy | None], num_settings: int = 1) -> dict[str, Any] | None:
    """What a setting's policies come to on the confirming prompts; None if a run was not measured there.

    Args:
        policies, num_settings: see `measure_policies`.

    Returns:
        score and kl (means over the runs), gain over the base policy, low and high (its 95 % interval), num_prompts,
        num_seeds, and is_within_budget: whether all runs had a policy within the KL budget.
    """
    confirmed, gain = list_confirmed(policies), measure_policies(policies, num_settings)
    if not confirmed or gain is None:
        return None
    return {
        "score": fmean(policy.score for policy in confirmed),
        "kl": fmean(policy.kl for policy in confirmed),
        **{"gain": gain.mean, "low": gain.low, "high": gain.high},
        "num_prompts": gain.num_prompts,
        "num_seeds": gain.num_seeds,
        "is_within_budget": all(policy.is_within for policy in confirmed),
    }


def choose_widening(policies: Sequence[FinalPolicy | None]) -> float:
    """Times the standard error, for `intervals.estimate_mean`: above 1 if the gain is cross-fitted."""
    measured = choose_measured(policies)
    return WIDENING if any(policy is not None and policy.is_cross_fitted for policy in measured) else 1.0
