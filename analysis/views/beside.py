"""Other people's curves beside ours: sentences that compare them, and their numbers as rows and plain values."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from analysis.curves.agreement import compare_levels, compare_shapes
from analysis.curves.axis import EPISODE
from analysis.curves.panels import Choice, MetricPanel
from analysis.curves.phase_text import describe_curve
from analysis.output.parts import Sentences
from analysis.records.runs import CUMULATIVE_REWARD
from analysis.wording.numbers import convert_whole
from analysis.wording.statements import Statement


@dataclass(frozen=True)
class Comparison:
    """One metric of somebody else's file beside one of our lines; `shape` is None where the curves are too short."""

    name: str
    line: str
    metric: str
    level: Statement
    shape: Statement | None


def compare_beside(panels: Sequence[MetricPanel], lines: Sequence[str], choice: Choice) -> list[Comparison]:
    """All comparisons of the files with these of our lines."""
    return [
        Comparison(
            theirs.label, line, panel.metric, compare_levels(ours, theirs, choice.unit), compare_shapes(ours, theirs)
        )
        for panel in panels
        for theirs in panel.beside
        for line in lines
        for ours in (*panel.curves, *panel.others)
        if ours.label == line
    ]


def write_comparisons(comparisons: Sequence[Comparison], choice: Choice) -> Iterator[Sentences]:
    """A heading for each file and line, with a sentence for each metric."""
    statements: dict[tuple[str, str], list[str | Statement]] = {}
    for each in comparisons:
        shape = f"; {each.shape.text}" if each.shape else ""
        sentence = Statement(f"{each.level.text}{shape}", each.level.evidence)
        statements.setdefault((each.name, each.line), []).append(sentence)
    for (name, line), several in statements.items():
        yield Sentences(several, f"compared with {name}: {line if choice.by is None else f'{choice.by}={line}'}")


def list_spreads(panels: Sequence[MetricPanel]) -> Iterator[str]:
    """A note on what the bands are that the sentences speak of."""
    spreads = {curve.spread for panel in panels if panel.beside for curve in panel.curves if curve.spread}
    if spreads:
        yield f"the band of our runs: {' / '.join(sorted(spreads))}, each smoothed as drawn"


def make_beside_rows(panel: MetricPanel, unit: str) -> Iterator[Sequence[Any]]:
    """The rows of curves.csv with the others' numbers, at the places where they are drawn, without group and run."""
    for curve in panel.beside:
        columns = (curve.updates.tolist(), curve.mean.tolist(), curve.smoothed.tolist())
        for place, value, smoothed in zip(*columns, strict=True):
            places = (None, convert_whole(place)) if unit == EPISODE else (convert_whole(place), None)
            yield None, None, panel.metric, *places, value, smoothed, None, None, None, curve.label


def list_beside_entries(
    panels: Sequence[MetricPanel], comparisons: Sequence[Comparison], choice: Choice
) -> dict[str, list[dict[str, Any]]]:
    """The others' curves with their phases, and the comparisons, for phases.json."""
    curves = []
    for panel in panels:
        for curve in panel.beside:
            statement, phases = describe_curve(
                curve.metric, curve.updates, curve.mean, curve.metric == CUMULATIVE_REWARD, choice.unit
            )
            entry = {"file": curve.label, "metric": curve.metric, "statements": [asdict(statement)]}
            curves.append({**entry, "phases": [{**asdict(phase), "slope": phase.slope} for phase in phases]})
    own = "run" if choice.by is None else "group"
    compared = [
        {
            "file": each.name,
            own: each.line,
            "metric": each.metric,
            "level": asdict(each.level),
            "shape": asdict(each.shape) if each.shape else None,
        }
        for each in comparisons
    ]
    return {"curves": curves, "comparisons": compared}
