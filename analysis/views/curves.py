"""Training curves: charts, their numbers as a table, and sentences on the course of each line."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from analysis.curves.axis import EPISODE, convert_unit, place_along
from analysis.curves.beside import lay_beside, list_undrawn, match_entropies
from analysis.curves.curves import select_choosing
from analysis.curves.metrics import choose_metrics, find_title
from analysis.curves.panels import Choice, MetricPanel, choose_axis, choose_lines, explain_missing_means, make_panels
from analysis.curves.sentences import MetricDescription, describe_metric, describe_runs
from analysis.curves.thresholds import MAX_LINES
from analysis.output.parts import Document, Part, Rows, Sentences
from analysis.output.thinning import pick_evenly
from analysis.records.runs import RunRecord, Source
from analysis.results.entries import Entry
from analysis.results.ranking import SourceRanking, list_leaders
from analysis.results.results import Results
from analysis.views.beside import (
    Comparison,
    compare_beside,
    list_beside_entries,
    list_spreads,
    make_beside_rows,
    write_comparisons,
)
from analysis.views.curve_charts import make_curve_charts
from analysis.views.likeness import list_unlike_keys, make_unlike_parts
from analysis.views.winner import describe_rank
from analysis.wording.numbers import convert_whole
from analysis.wording.statements import Statement, format_count, join_words

_COLUMNS = ("group", "run", "metric", "update", "episode", "value", "smoothed", "low", "high", "num_runs")
_BESIDE = "beside"  # a last column, and a key of phases.json, where other people's curves are drawn
# Chosen by looking at drawings and lists.
_MAX_METRICS = 8  # of a line, in sentences; phases.json has them all
_MAX_GROUPS = 6  # of runs that are described in the report
_MAX_RUNS = 60  # of such a group: their mean is described

Descriptions = Mapping[str, Sequence[MetricDescription]]  # line -> a description of each metric that it has


def curves_view(
    results: Results,
    metrics: Sequence[str] | None = None,
    by: str | None = None,
    smooth: float | None = None,
    axis: str | None = None,
    beside: Sequence[RunRecord] = (),
) -> list[Part]:
    """Sentences for each line; curves.png and the like, curves.csv, phases.json.

    Args:
        metrics: names or patterns; by default the panels of the published figure.
        by: a config key whose values share a line; by default a line is a run.
        smooth: see `panels.make_panels`.
        axis: update or episode; by default see `axis.choose_unit`.
        beside: other people's runs, drawn beside ours and compared with them; see `beside.lay_beside`.

    Raises:
        AnalysisError: if no run has a metric that is asked for, or one of `beside` cannot be drawn.
    """
    source = results.source
    names, settled = choose_metrics(source.runs, metrics), list[str]()
    if metrics is None and beside:
        names, beside, settled = match_entropies(names, beside, source.runs)
    choice = choose_axis(choose_lines(source, names, by, list_leaders), axis)
    metric_panels = make_panels(choice, names, smooth)
    missing = explain_missing_means(metric_panels, choice)
    metric_panels = [panel for panel in metric_panels if panel.curves or panel.others]
    if not metric_panels:
        why = "; ".join(missing) or "no run has recorded a metric yet"
        return [Sentences([f"{source.name}: {why}, so there is nothing to draw"])]
    metric_panels, alignments = lay_beside(metric_panels, beside, choice)
    undrawn = list_undrawn(metric_panels, beside) if metrics is None else ()
    choice = replace(choice, notes=(*choice.notes, *missing, *settled, *alignments, *undrawn))
    drawn_metrics = [panel.metric for panel in metric_panels]
    descriptions = _describe_lines(choice, drawn_metrics)
    is_alone = len(choice.runs) == 1
    in_panels = {each.metric: each for each in next(iter(descriptions.values()))} if is_alone else {}
    comparisons = compare_beside(metric_panels, list(descriptions), choice)
    columns = (*_COLUMNS, _BESIDE) if beside else _COLUMNS
    unlike = {"unlike": keys} if (keys := list_unlike_keys(source)) else {}
    document = _make_document(descriptions, choice, metric_panels, comparisons)
    return [
        *make_unlike_parts(source),
        *_write_sentences(descriptions, choice, drawn_metrics),
        *write_comparisons(comparisons, choice),
        *_write_notes(descriptions, choice, metric_panels),
        *make_curve_charts(source.name, metric_panels, choice, in_panels),
        Rows("curves.csv", columns, (row[: len(columns)] for row in _make_rows(metric_panels, choice))),
        replace(document, content={**document.content, **unlike}),
    ]


def _describe_lines(choice: Choice, metrics: Sequence[str]) -> Descriptions:
    """All lines that sentences are about, or some along the colour scale."""
    lines = list(choice.described) or list(choice.names) or list(choice.scale)
    if len(lines) > MAX_LINES:
        lines = [lines[place] for place in pick_evenly(len(lines), MAX_LINES)]
    runs = {line: [place_along(run, choice.unit) for run in choice.runs[line]] for line in lines}
    described = {line: [describe_metric(runs[line], metric, choice.unit) for metric in metrics] for line in lines}
    return {line: [each for each in several if each.statements] for line, several in described.items()}


def _write_sentences(descriptions: Descriptions, choice: Choice, metrics: Sequence[str]) -> Iterator[Sentences]:
    """A heading for each line with what its metrics do, and which of them it lacks."""
    for line, several in descriptions.items():
        title = line if choice.by is None else f"{choice.by}={line}"
        statements: list[str | Statement] = [text for each in several[:_MAX_METRICS] for text in each.statements]
        if len(several) > _MAX_METRICS:
            statements.append(f"{format_count(len(several) - _MAX_METRICS, 'more metric')}: see phases.json")
        missing = [find_title(metric) for metric in metrics if metric not in {each.metric for each in several}]
        if several and missing:
            statements.append(f"no usable value is recorded of {join_words(missing, _MAX_METRICS)}")
        yield Sentences(statements or ["none of these metrics is recorded"], title)


def _write_notes(
    descriptions: Descriptions, choice: Choice, metric_panels: Sequence[MetricPanel]
) -> Iterator[Sentences]:
    """Notes on the chart."""
    notes = [*choice.notes, *list_spreads(metric_panels)]
    num_left = len(choice.runs) - len(descriptions)
    if num_left > 0:
        notes.append(f"the chart has {format_count(num_left, 'more line')}, which are not described here")
    if notes:
        yield Sentences(notes, "notes")


def _make_rows(metric_panels: Sequence[MetricPanel], choice: Choice) -> Iterator[Sequence[Any]]:
    """Every number that is drawn, a row for each point of each line, in the order of `choice.runs`.

    `value` is raw, a mean over `num_runs` runs where the lines are groups; `low` and `high` are the band's edges, empty
    for a single run. `group` is empty where lines are runs, `run` where they are groups; `episode` is empty where
    nothing tells it, and `update` where episodes are the axis of a group whose runs take unlike numbers of them. The
    last column names the file of other people's lines.
    """
    places_of_lines = {line: place for place, line in enumerate(choice.runs)}
    for panel in metric_panels:
        for curve in sorted((*panel.curves, *panel.others), key=lambda curve: places_of_lines[curve.label]):
            names = ("", curve.label) if choice.by is None else (curve.label, "")
            places, other_places = curve.updates, convert_unit(curve.updates, choice.runs[curve.label], choice.unit)
            updates, episodes = (other_places, places) if choice.unit == EPISODE else (places, other_places)
            missing = [None] * len(places)
            low, high = (curve.low.tolist(), curve.high.tolist()) if curve.spread else (missing, missing)
            columns = (curve.mean.tolist(), curve.smoothed.tolist(), low, high, curve.num_runs.tolist())
            for update, episode, *values in zip(updates.tolist(), episodes.tolist(), *columns, strict=True):
                yield *names, panel.metric, convert_whole(update), convert_whole(episode), *values, None
        yield from make_beside_rows(panel, choice.unit)


def _make_document(
    descriptions: Descriptions,
    choice: Choice,
    metric_panels: Sequence[MetricPanel],
    comparisons: Sequence[Comparison],
) -> Document:
    """The sentences with their numbers, and the phases."""
    entries = [
        {
            "group" if choice.by is not None else "run": line,
            "metric": each.metric,
            "statements": [{"text": text.text, "evidence": dict(text.evidence)} for text in each.statements],
            "phases": [{**asdict(phase), "slope": phase.slope} for phase in each.phases],
        }
        for line, several in descriptions.items()
        for each in several
    ]
    windows = {panel.metric: panel.window for panel in metric_panels}
    content: dict[str, Any] = {"by": choice.by, "axis": choice.unit, f"smoothed_over_{choice.unit}s": windows}
    content["curves"] = entries
    if any(panel.beside for panel in metric_panels):
        content[_BESIDE] = list_beside_entries(metric_panels, comparisons, choice)
    return Document("phases.json", content)


def write_course_sentences(results: Results) -> list[Part]:
    """For the report: the course of the best setting, then of each reward model, or else of the first runs."""
    ranking = results.ranking
    groups: list[tuple[str, Sequence[RunRecord]]] = []
    if ranking.best is not None:
        groups.append((_write_best_title(ranking.best, ranking), ranking.best.runs))
    if not ranking.is_comparable or not groups:
        groups += _group_runs(results.source)
    statements: dict[tuple[str, ...], list[Statement]] = {}  # by run: the best runs may be all of a group
    parts: list[Part] = []
    for title, runs in groups:
        names = tuple(run.name for run in runs[:_MAX_RUNS])
        if names not in statements:
            statements[names] = describe_runs(runs[:_MAX_RUNS])
        if statements[names]:
            parts.append(Sentences(statements[names], title))
    return parts


def _write_best_title(best: Entry, ranking: SourceRanking) -> str:
    if not ranking.is_comparable:
        return f"What {best.inline_title} ({describe_rank(ranking, best)}) did"
    addition = ", the best," if len(ranking.ranked) > 1 else ""
    return f"What {best.inline_title}{addition} did"


def _group_runs(source: Source) -> list[tuple[str, list[RunRecord]]]:
    """By reward model where there are several, else every run."""
    runs = select_choosing([run for run in source.runs if len(run.updates)])
    has_several = len({str(run.look_up("reward_model")) for run in runs}) > 1
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        run_text = f"runs on reward model {run.look_up('reward_model')}" if has_several else f"run {run.name}"
        groups.setdefault(f"What {run_text} did", []).append(run)
    return list(groups.items())[:_MAX_GROUPS]
