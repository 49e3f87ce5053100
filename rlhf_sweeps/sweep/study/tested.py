"""What the best settings are worth on seeds that had no part in choosing them: values, and runs that gave none."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

# Test seed -> one value for each objective, or in their place the cause why there is none.
BySeed = Mapping[int, Sequence[float] | str]
NO_VALUE = "no value within objective.kl_budget"


def measured(by_seed: BySeed) -> dict[int, Sequence[float]]:
    """The seeds that gave values."""
    return {seed: values for seed, values in by_seed.items() if not isinstance(values, str)}


def failures(by_seed: BySeed) -> dict[int, str]:
    """The seeds that gave none, and why."""
    return {seed: cause for seed, cause in by_seed.items() if isinstance(cause, str)}


def nothing_measured(tested: Sequence[BySeed]) -> bool:
    """Whether settings were run on test seeds and not one run gave a value."""
    return any(tested) and not any(map(measured, tested))


def test_entry(by_seed: BySeed) -> dict[str, Any]:
    """Of one trial, for optimization_results.yaml; empty where it was not tested."""
    entry: dict[str, Any] = {}
    if values := measured(by_seed):
        numbers = [mean_and_error(column) for column in zip(*values.values(), strict=True)]
        means, errors = [mean for mean, _ in numbers], [error for _, error in numbers]
        entry = {"mean": only(means), "standard_error": only(errors), "seeds": sorted(values)}
    if failed := failures(by_seed):
        entry["failed"] = dict(sorted(failed.items()))
    return {"test": entry} if entry else {}


def test_text(by_seed: BySeed, names: Sequence[str]) -> str:
    """Of one trial, a line without its indentation.

    Args:
        names: of the objectives, as a user reads them.
    """
    values, failed = measured(by_seed), failures(by_seed)
    which = ", ".join(f"{seed} {cause}" for seed, cause in sorted(failed.items()))
    if not values:
        return f"nothing to report: all test seeds failed ({which})"
    parts, suffix = [], ""
    for name, column in zip(names, zip(*values.values(), strict=True), strict=True):
        mean, error = mean_and_error(column)
        parts.append(f"{name} {mean:.4g}" + ("" if error is None else f" +- {error:.2g}"))
        suffix = suffix if error is None else " (standard error)"
    seeds = f"{len(values)} test seed" if len(values) == 1 else f"{len(values)} test seeds"
    lost = f"; {len(failed)} more failed ({which})" if failed else ""
    return f"to report: {', '.join(parts)}{suffix}, on {seeds}{lost}"


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard error of the mean; values that are all alike do not show how much others would differ."""
    mean = statistics.fmean(values)
    return mean, statistics.stdev(values) / math.sqrt(len(values)) if len(set(values)) > 1 else None


def only(values: Sequence[Any]) -> Any:
    """As Hydra's plugin has it: a number for one objective, a list for several."""
    return values[0] if len(values) == 1 else list(values)
