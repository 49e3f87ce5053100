"""What an analyst looks for in two of the curves: is the KL under control, does the entropy collapse."""

from collections.abc import Sequence

import numpy as np

from analysis.curves.phase import RISES, Phase
from analysis.curves.smoothing import smoothed, window_of
from analysis.records import KL_BUDGET, UPDATE, Floats, RunRecord
from analysis.statements import Statement, number

USUAL_BUDGET = 15.0  # nats of a whole response: conf/config.yaml's objective.kl_budget

_BLOW_UP = 3.0  # times the budget
_NEAR = 0.8  # of the budget
_LATE = 0.15  # of the KL's range: what it rises by in its last third at least if it still rises
_COLLAPSE, _LOW, _GROWN = 0.1, 0.3, 1.5  # of the entropy at the start


def kl_verdict(
    updates: Floats, values: Floats, phases: Sequence[Phase], runs: Sequence[RunRecord], unit: str = UPDATE
) -> Statement:
    """Whether the KL of whole responses stays within the budget, as a clause, and what it rests on.

    Args:
        updates, values: at least one, finite, (n,) each.
        phases: of these.
        runs: whose config tells the budget: the lowest, where they differ.
        unit: what the updates are, where they are something else: `episode`.
    """
    budget = _budget(runs)
    smooth = smoothed(updates, values, window_of(float(updates[-1] - updates[0])))
    highest, last = float(values.max()), float(smooth[-1])
    evidence = {
        "KL highest": highest,
        f"KL highest {unit}": float(updates[int(np.argmax(values))]),
        "KL at the end": last,
    }
    negative = float(np.mean(values < 0))
    if negative > 0.75 and len(values) > 4 and float(np.median(values)) < -0.02:
        evidence["share of negative values"] = negative
        return Statement("a KL cannot be below 0, so the estimate is off, as with truncated sampling", evidence)
    if blow_up := _blow_up(updates, smooth):
        evidence |= {f"blow-up {unit}": blow_up[0], "KL before the blow-up": blow_up[1]}
        if budget is None or highest > budget:
            return Statement(f"blows up after {unit} {number(blow_up[0])}, from {number(blow_up[1])}", evidence)
    if budget is None:
        return Statement(f"no budget is set; at most {number(highest)}", evidence)
    evidence["KL budget"] = budget
    given = f"the budget of {number(budget)} nats"
    if not any(KL_BUDGET in run.config for run in runs):  # then nothing says, either, whether the KL is of a response
        given = f"the usual budget of {number(budget)} nats a response"
    return Statement(_against(given, budget, updates, smooth, highest, phases, evidence, unit), evidence)


def _against(
    given: str,
    budget: float,
    updates: Floats,
    smooth: Floats,
    highest: float,
    phases: Sequence[Phase],
    evidence: dict[str, float],
    unit: str,
) -> str:
    over = smooth > budget
    if not over.any():
        # A line may rise through a curve that has long been level.
        late = float(smooth[-1] - smooth[2 * len(smooth) // 3])
        rising = bool(phases) and phases[-1].kind == RISES and late > _LATE * float(np.ptp(smooth))
        if smooth[-1] > _NEAR * budget:
            return f"close to {given}{' and still rising' if rising else ''}"
        still = ", though it still rises at the end" if rising and smooth[-1] > _NEAR / 2 * budget else ""
        return f"under control: at most {number(highest)}, below {given}{still}"
    first = float(updates[int(np.argmax(over))])
    evidence |= {f"first {unit} over budget": first, f"share of {unit}s over budget": float(over.mean())}
    if smooth.max() > _BLOW_UP * budget:
        return f"out of control: over {given} from {unit} {number(first)} on, up to {number(highest)}"
    end = "on" if over[-1] else f"on, back below it at the end ({number(float(smooth[-1]))})"
    return f"over {given} from {unit} {number(first)} {end}"


def _budget(runs: Sequence[RunRecord]) -> float | None:
    """The lowest budget of the runs; the usual one where no config tells; None where they have none."""
    kept = [budget for run in runs if (budget := run.kl_budget) is not None and budget > 0]
    return min(kept) if kept else None if any(KL_BUDGET in run.config for run in runs) else USUAL_BUDGET


def _blow_up(updates: Floats, smooth: Floats) -> tuple[float, float] | None:
    """The update after which the KL grows tenfold within the last third, and its value there; None if it does not."""
    count = len(smooth)
    if count < 6:
        return None
    middle = 2 * count // 3
    before = float(np.median(smooth[:middle]))
    if not smooth[middle:].max() > max(10 * before, 1.0):
        return None
    calm = smooth[: int(np.argmax(smooth > max(2 * before, 0.1)))]
    index = max(len(calm) - 1, 0)
    return float(updates[index]), float(smooth[index])


def entropy_verdict(updates: Floats, values: Floats, unit: str = UPDATE) -> Statement | None:
    """Whether the entropy collapses or grows, as a clause; None where it does neither.

    Args:
        updates, values: finite, (n,) each.
    """
    if len(values) < 2:
        return None
    smooth = smoothed(updates, values, window_of(float(updates[-1] - updates[0])))
    start, end, lowest = float(smooth[0]), float(smooth[-1]), float(smooth.min())
    if start <= 0:
        return None
    where = float(updates[int(np.argmin(smooth))])
    evidence = {
        "entropy at the start": start,
        "entropy at the end": end,
        "entropy lowest": lowest,
        f"lowest {unit}": where,
    }
    if end < _COLLAPSE * start:
        return Statement(f"it has collapsed: {_percent(end / start)} of its start is left", evidence)
    if lowest < _COLLAPSE * start:
        return Statement(f"it collapses to {_percent(lowest / start)} of its start by {unit} {number(where)}", evidence)
    if end < _LOW * start:
        return Statement(f"only {_percent(end / start)} of its start is left", evidence)
    if end > _GROWN * start:
        return Statement(f"it ends at {number(end / start, 2)} times its start", evidence)
    return None


def _percent(share: float) -> str:
    return "less than 0.1 %" if share < 0.001 else f"{number(100 * share, 2)} %"
