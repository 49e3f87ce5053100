"""Sentences on runs, metric by metric: the phases of the mean curve, verdicts, and where the runs disagree."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.curves.axis import choose_unit, place_along
from analysis.curves.curves import average_runs, select_lasting
from analysis.curves.metrics import ENTROPIES, KL, choose_panel_metrics, find_title, read_curve
from analysis.curves.phase import FALLS, LEVEL, RISES, Phase
from analysis.curves.phase_text import describe_curve
from analysis.curves.phases import find_phases, find_sum_phases
from analysis.curves.thresholds import MAX_COMPARED, SAME_LEVEL
from analysis.curves.verdicts import describe_entropy, describe_kl
from analysis.output.thinning import pick_evenly
from analysis.records.runs import CUMULATIVE_REWARD, UPDATE, Floats, RunRecord
from analysis.wording.statements import Statement
from rlhf_sweeps.figures import format_number


@dataclass(frozen=True)
class MetricDescription:
    """The sentences on one metric.

    Attributes:
        metric: its name.
        statements: the mean curve's sentence, then where runs disagree.
        phases: of the mean curve.
    """

    metric: str
    statements: tuple[Statement, ...]
    phases: tuple[Phase, ...]


def describe_runs(runs: Sequence[RunRecord], metrics: Sequence[str] | None = None) -> list[Statement]:
    """A sentence or two for each metric, on the course of a run or of the mean of several.

    Runs of unlike batch sizes are taken together at equal episodes, which the sentences then say.

    Args:
        runs: of one setting; metrics that none has are left out.
        metrics: by default the panels of the published figure.
    """
    wanted = choose_panel_metrics(runs) if metrics is None else metrics
    unit, _ = choose_unit(runs)
    drawn = [place_along(run, unit) for run in runs]
    return [text for metric in wanted for text in describe_metric(drawn, metric, unit).statements]


def describe_metric(runs: Sequence[RunRecord], metric: str, unit: str = UPDATE) -> MetricDescription:
    """Sentences on one metric, over the runs that last at least as long as the median run; see `select_lasting`.

    Args:
        unit: what the runs' updates are, where they are something else; see `axis.place_along`.
    """
    lasting_runs = select_lasting(runs, metric)
    if not lasting_runs:
        return MetricDescription(metric, (), ())
    num_recorded = sum(bool(len(read_curve(run, metric)[0])) for run in runs)
    updates, values = read_curve(lasting_runs[0], metric)
    if len(lasting_runs) > 1:
        mean = average_runs(lasting_runs, metric)
        has_all = mean.num_runs == len(lasting_runs)
        updates, values = mean.updates[has_all], mean.mean[has_all]
    if not len(values):
        text = f"{find_title(metric)} has no mean of {_describe_members(len(lasting_runs), num_recorded)}"
        return MetricDescription(metric, (Statement(f"{text}: they recorded it at {unit}s that do not overlap"),), ())
    name = (
        find_title(metric)
        if num_recorded == 1
        else f"{find_title(metric)} (mean of {_describe_members(len(lasting_runs), num_recorded)})"
    )
    statement, phases = describe_curve(name, updates, values, metric == CUMULATIVE_REWARD, unit)
    statement = replace(statement, evidence={"runs": float(len(lasting_runs)), **statement.evidence})
    verdict = describe_kl(updates, values, phases, runs, unit) if metric == KL else None
    verdict = describe_entropy(updates, values, runs, unit) if metric in ENTROPIES else verdict
    if verdict is not None:
        statement = Statement(f"{statement.text}; {verdict.text}", {**statement.evidence, **verdict.evidence})
    if num_recorded == 1 and (ending := _describe_ending(lasting_runs[0], metric, updates, unit)) is not None:
        statement = Statement(f"{statement.text}; {ending.text}", {**statement.evidence, **ending.evidence})
    disagreement = _describe_disagreement(lasting_runs, metric) if len(lasting_runs) > 1 else None
    return MetricDescription(metric, (statement, disagreement) if disagreement else (statement,), tuple(phases))


def _describe_ending(run: RunRecord, metric: str, updates: Floats, unit: str) -> Statement | None:
    """A clause where a metric ends before its run by more than the gaps between its values, as where it becomes nan."""
    last, end = float(updates[-1]), float(run.updates.max())
    step = float(np.median(np.diff(run.updates))) if len(run.updates) > 1 else 1.0
    gap = float(np.diff(updates).max()) if len(updates) > 1 else step
    if end - last <= 2 * max(gap, step) or metric == CUMULATIVE_REWARD:
        return None
    evidence = {f"last usable value at {unit}": last, f"run ends at {unit}": end}
    return Statement(f"no usable value after {unit} {format_number(last)} of {format_number(end)}", evidence)


def _describe_members(num_lasting: int, num_recorded: int) -> str:
    if num_lasting == num_recorded:
        return f"{num_recorded} runs"
    return f"the {num_lasting} longest of {num_recorded} runs"


def _describe_disagreement(runs: Sequence[RunRecord], metric: str) -> Statement | None:
    """Which runs go another way than most, from their start to their end."""
    looked_at = [runs[i] for i in pick_evenly(len(runs), MAX_COMPARED)]
    ways: dict[str, list[str]] = {}
    for run in looked_at:
        way = find_direction(*read_curve(run, metric), metric == CUMULATIVE_REWARD)
        if way is not None:
            ways.setdefault(way, []).append(run.name)
    total = sum(map(len, ways.values()))
    is_split = (RISES in ways and FALLS in ways) or len(ways.get(LEVEL, ())) * 3 >= total
    if len(ways) < 2 or not is_split:
        return None
    order = sorted(ways, key=lambda way: (-len(ways[way]), way))
    words = {RISES: "ends higher than it starts", FALLS: "ends lower", LEVEL: "ends about where it starts"}
    parts = [f"it {words[way]} in {_count_and_name(ways[way], total)}" for way in order]
    text = f"the runs disagree on {find_title(metric)}: {', '.join(parts)}"
    return Statement(text, {f"runs: {words[way]}": float(len(ways[way])) for way in order})


def find_direction(updates: Floats, values: Floats, is_sum: bool = False) -> str | None:
    """RISES, FALLS or LEVEL, by where a curve's phases start and end; None where it has too few values for phases.

    Args:
        updates, values: ascending and finite, (n,) each.
        is_sum: whether it is a running sum.
    """
    phases = find_sum_phases(updates, values) if is_sum else find_phases(updates, values)
    if not phases:
        return None
    ends = [value for phase in phases for value in (phase.first, phase.last)]
    change, size = ends[-1] - ends[0], max(ends) - min(ends)
    if abs(change) <= SAME_LEVEL * size or all(phase.kind == LEVEL for phase in phases):
        return LEVEL
    return RISES if change > 0 else FALLS


def _count_and_name(names: Sequence[str], total: int) -> str:
    named = f" ({', '.join(names)})" if len(names) <= 3 and len(names) < total - len(names) else ""
    return f"{format_number(len(names))} of {total}{named}"
