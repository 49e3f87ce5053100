"""Groups of runs compared: sentences, values with intervals, who beats whom, the judges, reward against KL."""

import math
from collections.abc import Sequence
from dataclasses import replace

from analysis.comparison.compare import ComparedGroup, GroupComparison
from analysis.comparison.frontier import trace_all_frontiers
from analysis.comparison.matched_kl import match_groups
from analysis.comparison.thresholds import MAX_KEYS
from analysis.output.charts import GREY, Chart, ChartAxis, Intervals, Layer, Panel, Points, Rule, Texts
from analysis.output.parts import Cell, Column, Part, Sentences, Table, make_number_cell, make_text_cell
from analysis.records.runs import Source
from analysis.results.results import Results
from analysis.views.comparison_files import make_apart_file, make_comparison_files
from analysis.views.comparison_sentences import write_comparison_statements, write_design_sentences
from analysis.views.intervals import (
    compute_panel_height,
    draw_intervals,
    make_estimate_cell,
    make_row_axis,
    make_value_axis,
    scale_estimate,
)
from analysis.views.judges import make_judge_parts
from analysis.views.likeness import list_unlike_keys, make_unlike_parts
from analysis.views.reward_against_kl import make_kl_parts
from analysis.wording.errors import AnalysisError
from analysis.wording.intervals import format_probability
from analysis.wording.statements import Statement, format_count
from rlhf_sweeps.figures import format_number, format_p_value, format_share
from rlhf_sweeps.verdicts.pairs import BETTER, MEAN, UNKNOWN, GroupPair, describe_verdict

# Chosen by looking at drawings and lists.
_MAX_GROUPS = 30  # of a chart
_PERCENTILES = ("percentile_low", "percentile_high")
_RUNS_BELOW = 0.22  # of a row: how far the runs stand below their mean


def compare_view(results: Results, by: str | None = None, metric: str | None = None) -> list[Part]:
    """One comparison with its charts, reward against KL, comparison.csv and comparison.json.

    Args:
        by: a config key, or several joined with commas; what was swept if that is one key.
        metric: what to compare by, as in `compare_groups`.

    Raises:
        AnalysisError: if no run has such a key or metric.
    """
    unlike = make_unlike_parts(results.source)
    if metric is None and len({part.source.objective for part in results.parts}) < len(results.parts):
        return [*unlike, *_compare_apart(results, by)]
    comparison = results.compare_by(by, metric)
    labels = [group.label for group in comparison.groups]
    frontiers, matched = trace_all_frontiers(comparison.grouping), match_groups(comparison.grouping)
    parts_of_all_runs = make_kl_parts(frontiers, matched, labels, comparison.by)
    files = make_comparison_files(comparison, frontiers, matched, list_unlike_keys(results.source))
    return [*unlike, *_make_figures([comparison]), *parts_of_all_runs, *files]


def _compare_apart(results: Results, by: str | None) -> list[Part]:
    """The runs of each part among themselves, where the parts are unlike and so are not ranked together."""
    parts: list[Part] = []
    compared = []
    for place, part in enumerate(results.parts):
        title = f"{format_count(len(part.source.runs), 'run')}, to {part.source.aim}"
        try:
            comparison = part.compare_by(by)
        except AnalysisError as error:
            parts.append(Sentences([str(error)], title))
            continue
        figures = _make_figures([comparison], f"-{place}")
        parts.append(Sentences([], title))
        parts += [replace(each, file=f"{each.file}_{place}") if isinstance(each, Chart) else each for each in figures]
        compared.append((part.source.aim, comparison))
    return [*parts, make_apart_file(compared, list_unlike_keys(results.source))]


def make_compare_tab(results: Results) -> list[Part]:
    """The same figures for each key that differs, those of each objective alone; then reward against KL of all runs."""
    parts: list[Part] = make_unlike_parts(results.source)
    for place, of_objective in enumerate(results.parts):
        source, suffix = of_objective.source, ""
        if len(results.parts) > 1:
            suffix = f"-{place}"
            text = f"{format_count(len(source.runs), 'run')}, compared with each other"
            parts.append(Sentences([text], f"To {source.aim}"))
        parts += _make_figures([of_objective.compare_by(key) for key in _choose_keys(source)], suffix)
        parts += _write_key_sentences(source)
    keys = _choose_keys(results.source)
    return [*parts, *(_make_kl_parts(results, keys[0]) if keys else [])]


def _choose_keys(source: Source) -> list[str]:
    """The keys to compare by, reward models first; at most so many as a reader looks at."""
    return sorted(source.axes, key=lambda key: key != "reward_model")[:MAX_KEYS] if len(source.runs) > 1 else []


def _make_kl_parts(results: Results, key: str) -> list[Part]:
    grouping = results.group_by(key)
    labels = [group.label for group in grouping.groups]
    if len(results.parts) == 1:
        labels = [group.label for group in results.compare_by(key).groups]  # best first
    return make_kl_parts(trace_all_frontiers(grouping), match_groups(grouping), labels, ", ".join(grouping.keys))


def _make_figures(comparisons: Sequence[GroupComparison], suffix: str = "") -> list[Part]:
    """What compared groups have in the terminal, the files and the page alike: a new figure goes here.

    Each key has its own, the first also the judges; a sentence that holds for several keys is said once.

    Args:
        suffix: of the ids, which differ between the calls for one page.
    """
    parts: list[Part] = []
    earlier: set[str] = set()  # texts
    for place, comparison in enumerate(comparisons):
        name = f"compare{suffix}-{place}" if len(comparisons) > 1 else f"compare{suffix}"
        sentences, *others = _make_key_parts(comparison, name)
        assert isinstance(sentences, Sentences)
        first, *more = sentences.lines
        new = [line for line in more if _extract_text(line) not in earlier]
        earlier |= {_extract_text(line) for line in more}
        parts += [replace(sentences, lines=[first, *new]), *others]
        if place == 0 and comparison.matrix:
            parts += make_judge_parts(comparison.matrix, f"judges{suffix}")
    return parts


def _write_key_sentences(source: Source) -> list[Part]:
    """Where runs differ in no key, or in more keys than the tab compares."""
    num_left = len(source.axes) - len(_choose_keys(source))
    if not _choose_keys(source):
        return [Sentences(["there is nothing to compare: the runs differ in nothing but their seeds"])]
    line = f"{num_left} more keys differ between the runs; `python -m analysis compare --by KEY` compares them"
    return [Sentences([line])] if num_left else []


def _extract_text(line: str | Statement) -> str:
    return line.text if isinstance(line, Statement) else line


def _make_key_parts(comparison: GroupComparison, name: str) -> list[Part]:
    """Sentences first, then the charts that have something to show, and the table of groups."""
    lines: list[Statement | str] = [*write_comparison_statements(comparison)]
    lines += [*write_design_sentences(comparison.pairs), *_explain_columns(comparison)]
    charts = (
        make_values_chart(comparison, f"{name}-values"),
        make_probability_chart(comparison, f"{name}-probability"),
    )
    table = _make_table(comparison, f"{name}-table")
    return [Sentences(lines, f"By {comparison.by}"), *(chart for chart in charts if chart is not None), table]


def _explain_columns(comparison: GroupComparison) -> list[str]:
    """What the columns of the table are."""
    if comparison.ranking is None:
        return []
    return [
        f"values are {comparison.ranking.statistic}s over runs with their 95 % intervals; 'best beats it' is the "
        "probability that a run of the best group beats a run of this group; p tests the difference from the best "
        "group, adjusted for all that is claimed"
    ]


def make_values_chart(comparison: GroupComparison, name: str) -> Chart | None:
    """The mean of each group with both intervals, and its runs, best on top; None without values."""
    groups = comparison.valued_groups[:_MAX_GROUPS]
    measure = comparison.measure
    estimates = {
        place: scale_estimate(group.estimate, measure.is_rate)
        for place, group in enumerate(groups)
        if group.estimate is not None
    }
    if not estimates:
        return None
    runs = [(place, run, value) for place, group in enumerate(groups) for run, value in sorted(group.values.items())]
    values = [100 * value if measure.is_rate else value for _, _, value in runs]
    run_places = [place + _RUNS_BELOW for place, _, _ in runs]
    write = format_share if measure.is_rate else format_number
    hover = [f"run {run}: {write(value)}" for _, run, value in runs]
    means = [estimate.value for estimate in estimates.values()]
    mean_hover = [f"{group.label}: {make_estimate_cell(group.estimate, measure.is_rate).text}" for group in groups]
    layers: list[Layer] = [
        *draw_intervals(
            estimates, "95 % interval by percentiles of the bootstrap", _PERCENTILES, width=7, opacity=0.35
        ),
        *draw_intervals(estimates, "95 % interval"),
        Points(values, run_places, "a run", GREY, "tick", 6, hover=hover),
        Points(means, list(estimates), _name_statistic(comparison), 0, "circle", 8, hover=mean_hover),
    ]
    name_with_unit = f"{measure.name} in %" if measure.is_rate else measure.name
    label = f"{name_with_unit} (lower is better)" if measure.is_lower_better else name_with_unit
    names = [f"{comparison.names[group.label]}  ({len(group.values)})" for group in groups]
    panel = Panel(make_value_axis(label, values, list(estimates.values())), make_row_axis(names), layers)
    note = f"{measure.text}; in brackets: the number of runs" + _describe_omission(
        len(comparison.valued_groups), len(groups)
    )
    height = compute_panel_height(len(groups)) + 30  # for the legend
    return Chart(name, f"{measure.name} by {comparison.by}", [panel], note, height=height, file="comparison_values")


def _describe_omission(num_groups: int, num_drawn: int) -> str:
    return f"; the best {num_drawn} of {num_groups} groups" if num_groups > num_drawn else ""


def _name_statistic(comparison: GroupComparison) -> str:
    return comparison.ranking.statistic if comparison.ranking else MEAN


def make_probability_chart(comparison: GroupComparison, name: str) -> Chart | None:
    """The probability that a run of the best group beats one of each other group; None where none can be told."""
    ranking = comparison.ranking
    if ranking is None:
        return None
    pairs = [pair for label in ranking.labels[1:] if (pair := ranking.against_best(label)) is not None]
    comparable = [(place, pair) for place, pair in enumerate(pairs) if pair.verdict != UNKNOWN]
    if not comparable:
        return None
    layers: list[Layer] = [Rule(0.5)]
    for is_better, symbol, color in ((True, "circle", 0), (False, "hollow", GREY)):
        probabilities = {place: pair.probability for place, pair in comparable if (pair.verdict == BETTER) == is_better}
        if probabilities:
            lows, highs = (
                [getattr(probability, end) for probability in probabilities.values()] for end in ("low", "high")
            )
            hover = [
                f"{pairs[place].second}: {format_probability(probability)}"
                for place, probability in probabilities.items()
            ]
            values = [probability.value for probability in probabilities.values()]
            layers.append(Intervals(list(probabilities), lows, highs, color=color))
            layers.append(Points(values, list(probabilities), "", color, symbol, 9, hover=hover))
    unknown = [place for place, pair in enumerate(pairs) if pair.verdict == UNKNOWN]
    if unknown:
        layers.append(Texts(unknown, ["cannot tell"] * len(unknown), [0.75] * len(unknown)))
    axis = ChartAxis("probability [95 % interval]", low=-0.02, high=1.02)
    panel = Panel(axis, make_row_axis([comparison.names[pair.second] for pair in pairs]), layers)
    left = len(ranking.labels) - 1 - len(pairs)
    note = "full dots: better by more than noise; hollow dots: not" + (
        f"; {left} more groups are left out" * bool(left)
    )
    title = f"probability that a run of {comparison.names[ranking.labels[0]]} beats a run of another group"
    return Chart(name, title, [panel], note, height=compute_panel_height(len(pairs)), file="comparison_probability")


def _make_table(comparison: GroupComparison, name: str) -> Table:
    beats = "the probability that a run of the best group beats a run of this group"
    columns = [
        Column(comparison.by),
        Column("Place", True),
        Column("Value [95 %]", True, f"the {_name_statistic(comparison)} over runs: {comparison.measure.text}"),
        Column("Against the best"),
        Column("Runs", True),
        Column("Settings", True, "the number of settings of the other keys among these runs", is_detail=True),
        Column("Best beats it [95 %]", True, beats),
        Column("p", True, "of no difference to the best group, adjusted for all that is claimed"),
        Column("Not counted"),
    ]
    rows = [_make_row(comparison, group) for group in comparison.groups]
    caption = f"Groups by {comparison.by}, best first: {comparison.measure.text}"
    return Table(name, caption, columns, rows, len(rows) > 12, most_rows=15, file="comparison.csv")


def _make_row(comparison: GroupComparison, group: ComparedGroup) -> list[Cell]:
    pair = comparison.ranking.against_best(group.label) if comparison.ranking and group.estimate else None
    excluded = ", ".join(f"{count} {reason}" for reason, count in group.excluded.items())
    return [
        make_text_cell(group.label),
        make_number_cell(group.place or None),
        make_estimate_cell(group.estimate, comparison.measure.is_rate),
        Cell(describe_verdict(pair)),
        make_number_cell(len(group.values)),
        make_number_cell(group.num_settings),
        _make_probability_cell(pair),
        _make_p_cell(pair),
        Cell(excluded or "-"),
    ]


def _make_probability_cell(pair: GroupPair | None) -> Cell:
    if pair is None or pair.verdict == UNKNOWN:
        return Cell("-")
    return Cell(format_probability(pair.probability), pair.probability.value)


def _make_p_cell(pair: GroupPair | None) -> Cell:
    if pair is None or math.isnan(pair.p_value):
        return Cell("-")
    return Cell(format_p_value(pair.p_value), pair.p_value)
