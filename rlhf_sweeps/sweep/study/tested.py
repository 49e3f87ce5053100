"""The objectives of tested settings on test seeds, which had no part in choosing what is tested, and failures there."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rlhf_sweeps.figures import format_number

# Test seed -> a value for each objective, or the cause why there is none.
BySeed = Mapping[int, Sequence[float] | str]
NO_VALUE = "no value within objective.kl_budget"


def select_measured(by_seed: BySeed) -> dict[int, Sequence[float]]:
    """The test seeds with values."""
    return {seed: values for seed, values in by_seed.items() if not isinstance(values, str)}


def select_failures(by_seed: BySeed) -> dict[int, str]:
    """The test seeds without values, with the causes."""
    return {seed: cause for seed, cause in by_seed.items() if isinstance(cause, str)}


def is_nothing_measured(tested: Sequence[BySeed]) -> bool:
    """Whether settings were run on test seeds and no run gave a value."""
    return any(tested) and not any(map(select_measured, tested))


def make_test_entry(by_seed: BySeed) -> dict[str, Any]:
    """The entry of a trial in optimization_results.yaml; empty if it was not run on test seeds."""
    entry: dict[str, Any] = {}
    if values := select_measured(by_seed):
        numbers = [mean_and_error(column) for column in zip(*values.values(), strict=True)]
        means, errors = [mean for mean, _ in numbers], [error for _, error in numbers]
        entry = {"mean": unwrap_single(means), "standard_error": unwrap_single(errors), "seeds": sorted(values)}
    if failed := select_failures(by_seed):
        entry["failed"] = dict(sorted(failed.items()))
    return {"test": entry} if entry else {}


def describe_tests(by_seed: BySeed, names: Sequence[str], is_to_report: bool) -> str:
    """A line about a trial's test seeds.

    Args:
        names: the names of the objectives for the user.
        is_to_report: whether the mean is the number to report (see `is_test_mean_to_report`).
    """
    values, failed = select_measured(by_seed), select_failures(by_seed)
    failures = ", ".join(f"{seed} {cause}" for seed, cause in sorted(failed.items()))
    if not values:
        return f"nothing to report: all test seeds failed ({failures})"
    parts, suffix = [], ""
    for name, column in zip(names, zip(*values.values(), strict=True), strict=True):
        mean, error = mean_and_error(column)
        parts.append(f"{name} {format_number(mean)}" + ("" if error is None else f" +- {format_number(error)}"))
        suffix = suffix if error is None else " (standard error)"
    seeds = f"{len(values)} test seed" if len(values) == 1 else f"{len(values)} test seeds"
    lost = f"; {len(failed)} more failed ({failures})" if failed else ""
    return f"{'to report: ' if is_to_report else ''}{', '.join(parts)}{suffix}, on {seeds}{lost}"


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard error of the mean; the error is None for equal values, which show no variation."""
    mean = statistics.fmean(values)
    return mean, statistics.stdev(values) / math.sqrt(len(values)) if len(set(values)) > 1 else None


def unwrap_single(values: Sequence[Any]) -> Any:
    """A number for one objective, a list for several, as in Hydra's plugin."""
    return values[0] if len(values) == 1 else list(values)
