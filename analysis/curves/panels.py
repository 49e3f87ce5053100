"""Which panels and lines a figure of training curves has, and which runs get a legend entry; the others are grey."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from analysis.curves.axis import EPISODE, choose_unit, measure_pace, place_along
from analysis.curves.curves import MetricCurve, group_by_label, make_curves, select_choosing
from analysis.curves.metrics import find_title, read_curve
from analysis.curves.smoothing import choose_window
from analysis.curves.thresholds import MAX_LABEL, MAX_LINE_POINTS, MAX_LINES, MAX_POINTS, NUM_BEST, NUM_WORST
from analysis.output.thinning import pick_evenly, pick_extremes
from analysis.records.runs import COMPLETE, CUMULATIVE_REWARD, PRUNED, UPDATE, RunRecord, Source, convert_number
from analysis.wording.labels import label_values
from analysis.wording.short_labels import shorten_apart
from analysis.wording.statements import format_count, join_words

# Gives the names of the best runs, what they are the best by, and whether each is the best of several runs.
Leaders = Callable[[Source], tuple[Sequence[str], str, bool]]


@dataclass(frozen=True, eq=False)
class MetricPanel:
    """One metric.

    Attributes:
        metric: its name.
        window: of the smoothing, in the axis's unit; 1 for none.
        curves: lines with a name.
        others: lines without one, drawn grey.
        missing: groups whose runs have no updates in common, so that there is no mean to draw.
        beside: other people's lines; see `beside.lay_beside`.
    """

    metric: str
    window: int
    curves: Sequence[MetricCurve]
    others: Sequence[MetricCurve]
    missing: Sequence[str] = ()
    beside: Sequence[MetricCurve] = ()


@dataclass(frozen=True)
class Choice:
    """Which lines a figure shows.

    Attributes:
        by: the config key whose values the lines are; None: each line is a run.
        names: line -> its text in the legend, in its order.
        scale: line -> its value, where lines are told apart by a colour scale instead.
        others: runs or groups without a name that are drawn.
        notes: sentences on what is left out.
        runs: line -> its runs as they were recorded, in the order of files: named lines first, but the worst and the
            incomplete runs among the others.
        unit: what the axis counts: update or episode.
        described: the named lines that sentences are about; empty: all.
    """

    by: str | None
    names: dict[str, str]
    scale: dict[str, float]
    others: Sequence[str]
    notes: tuple[str, ...]
    runs: dict[str, Sequence[RunRecord]]
    unit: str = UPDATE
    described: Sequence[str] = ()

    @cached_property
    def drawn(self) -> list[RunRecord]:
        """All of their runs, as they were recorded."""
        return list(dict.fromkeys(run for several in self.runs.values() for run in several))


def choose_lines(
    source: Source,
    metrics: Sequence[str],
    by: str | None,
    leaders: Leaders | None = None,
    max_others: int | None = None,
) -> Choice:
    """The lines of a figure: all, if they are few enough to be told apart, else the best runs before all others.

    A mean is over runs on seeds that choose; those on test seeds are left out of it, and a note says so.

    Args:
        leaders: gives the best runs, asked only where not all lines can have a name; without it the first are named.
        max_others: how many lines without a name there may be; by default as many as a file has points for.
    """
    runs = [run for run in source.runs if len(run.updates)]
    if by is None:
        return _choose_among(source, metrics, by, runs, {run.name: [run] for run in runs}, leaders, max_others)
    drawn_runs = runs if by == "run" else select_choosing(runs)
    choice = _choose_among(source, metrics, by, drawn_runs, {**group_by_label(drawn_runs, by)})
    num_left = len(runs) - len(drawn_runs)
    note = f"{format_count(num_left, 'run on a test seed is', 'runs on test seeds are')} left out of the means"
    return replace(choice, notes=(*choice.notes, note)) if num_left else choice


def _choose_among(
    source: Source,
    metrics: Sequence[str],
    by: str | None,
    runs: Sequence[RunRecord],
    lines: dict[str, Sequence[RunRecord]],
    leaders: Leaders | None = None,
    max_others: int | None = None,
) -> Choice:
    if len(lines) <= MAX_LINES:
        names = _name_lines(lines, source, by)
        return Choice(by, names, {}, (), (), lines)
    values = {} if by is None else {name: convert_number(line_runs[0].look_up(by)) for name, line_runs in lines.items()}
    room = max(MAX_LINES, MAX_POINTS // max(sum(_count_points(runs, metric) for metric in metrics), 1))
    if by is not None and all(value is not None for value in values.values()):
        drawn = _pick_names(list(lines), room)
        notes = (f"{len(drawn)} of {len(lines)} groups drawn",) if len(drawn) < len(lines) else ()
        return Choice(by, {}, {name: values[name] or 0.0 for name in drawn}, (), notes, {n: lines[n] for n in drawn})
    line_noun = "runs" if by is None else "groups"
    incomplete = [name for name, own in lines.items() if by is None and own[0].state not in (COMPLETE, PRUNED)]
    named, reason = list(lines)[: MAX_LINES - 1], "the first ones"
    described = named
    if by is None:
        named, num_best, reason = _select_named(source, lines, incomplete, leaders)
        described = named[:num_best]
    max_others = room - len(named) if max_others is None else max_others
    others = _select_others([name for name in lines if name not in named], incomplete, max_others, room)
    num_left = len(lines) - len(named)
    grey_count = f"{len(others)} of the {num_left}" if len(others) < num_left else f"the {num_left}"
    notes = (f"named: {reason}; grey: {grey_count} other {line_noun}",)
    names = _name_lines({name: lines[name] for name in named}, source, by)
    undescribed = {*named, *others} - {*described}
    in_order = [*described, *(name for name in lines if name in undescribed)]
    return Choice(by, names, {}, others, notes, {name: lines[name] for name in in_order}, described=described)


def choose_axis(choice: Choice, wanted: str | None) -> Choice:
    """The lines against updates or episodes, see `axis.choose_unit`, with a note where a reader should know why."""
    unit, why = choose_unit(choice.drawn, wanted)
    return replace(choice, unit=unit, notes=(*choice.notes, *([why] if why else [])))


def make_panels(choice: Choice, metrics: Sequence[str], smooth: float | None) -> list[MetricPanel]:
    """The panels of the metrics, each smoothed by one window for all its lines; those without a value are left out.

    Args:
        smooth: see `smoothing.choose_window`, in updates; by default a tenth of the longest run. On an axis of
            episodes, updates are those of the largest batch.
    """
    drawn_panels = []
    named = [*choice.names, *choice.scale]
    runs = [place_along(run, choice.unit) for run in choice.drawn]
    if smooth is not None and smooth >= 1 and choice.unit == EPISODE:
        smooth *= max((measure_pace(run) or 1.0 for run in choice.drawn), default=1.0)
    for metric in metrics:
        spans = [updates[-1] - updates[0] for run in runs if len(updates := read_curve(run, metric)[0])]
        # A running sum is smooth as it is; smoothing would only round its turns.
        window = 1 if metric == CUMULATIVE_REWARD else choose_window(float(max(spans, default=0.0)), smooth)
        means = {curve.label: thin_curve(curve) for curve in make_curves(runs, metric, choice.by, window)}
        curves = {label: curve for label, curve in means.items() if len(curve.updates)}
        missing = [label for label in means if label not in curves]
        named_curves, others = ([curves[name] for name in group if name in curves] for group in (named, choice.others))
        window = window if any(curve.is_smoothed for curve in curves.values()) else 1
        if named_curves or others or missing:
            drawn_panels.append(MetricPanel(metric, window, named_curves, others, missing))
    return drawn_panels


def explain_missing_means(drawn_panels: Sequence[MetricPanel], choice: Choice) -> list[str]:
    """A sentence for each group that has no mean of some metrics."""
    metrics: dict[str, list[str]] = {}
    for panel in drawn_panels:
        for label in panel.missing:
            metrics.setdefault(label, []).append(find_title(panel.metric))
    return [
        f"{choice.by}={label} has no mean of {join_words(several, 3)}: no update has values of half of its "
        f"{len(choice.runs[label])} runs (without --by, each run is a line)"
        for label, several in metrics.items()
    ]


def _count_points(runs: Sequence[RunRecord], metric: str) -> int:
    """Points of the longest line."""
    return min(max((len(read_curve(run, metric)[0]) for run in runs), default=0), MAX_LINE_POINTS)


def thin_curve(curve: MetricCurve) -> MetricCurve:
    """A curve with fewer of its points, where there are many; its peaks are among them."""
    if len(curve.updates) <= MAX_LINE_POINTS:
        return curve
    chosen = pick_extremes(curve.mean, MAX_LINE_POINTS)
    names = ("updates", "mean", "low", "high", "num_runs", "smoothed")
    return replace(curve, **{name: getattr(curve, name)[chosen] for name in names})


def _select_named(
    source: Source, lines: Mapping[str, Sequence[RunRecord]], incomplete: Sequence[str], leaders: Leaders | None
) -> tuple[list[str], int, str]:
    """The best and the worst runs, then incomplete ones up to MAX_LINES; the number of the best; the same in words.

    Without leaders, the first lines stand for the best.
    """
    leader_names, by, of_several = leaders(source) if leaders is not None else ([], "", False)
    ranked = [name for name in leader_names if name in lines]
    best, worst = ranked[:NUM_BEST] or list(lines)[:NUM_BEST], ranked[NUM_BEST:][-NUM_WORST:]
    reason = _describe_leaders(len(best), len(worst), by, of_several) if ranked else "the first ones"
    unranked = [name for name in incomplete if name not in (*best, *worst)]
    drawn = unranked[: MAX_LINES - len(best) - len(worst)]
    if drawn:
        count = f"{len(drawn)} of {len(unranked)}" if len(drawn) < len(unranked) else str(len(drawn))
        reason += f", and {count} {'run' if len(unranked) == 1 else 'runs'} that did not complete"
    return [*best, *worst, *drawn], len(best), reason


def _describe_leaders(num_best: int, num_worst: int, by: str, of_several: bool) -> str:
    """`the 5 best and the worst by eval/score`, or the same of settings with several runs."""
    worst = f"{num_worst} worst" if num_worst > 1 else "worst"
    if not of_several:
        return f"the {num_best} best and the {worst} by {by}" if num_worst else f"the best by {by}"
    if not num_worst:
        return f"the best run of each setting, by {by}"
    last = f"the {worst}" if num_worst > 1 else "the worst one"
    return f"the best run of each of the {num_best} best settings and of {last}, by {by}"


def _select_others(names: Sequence[str], incomplete: Sequence[str], most: int, room: int) -> list[str]:
    """At most so many lines, evenly spread; but all that are incomplete, as long as the figure has room for them."""
    needed = _pick_names([name for name in names if name in incomplete], room)
    chosen = {*needed, *_pick_names([name for name in names if name not in incomplete], most - len(needed))}
    return [name for name in names if name in chosen]


def _pick_names(names: Sequence[str], most: int) -> list[str]:
    return [names[i] for i in pick_evenly(len(names), max(most, 1))] if names else []


def _name_lines(lines: Mapping[str, Sequence[RunRecord]], source: Source, by: str | None) -> dict[str, str]:
    """Line -> its text in the legend: a run's name and what makes it different, or what a group shares.

    Texts differ as the lines do, and fit the legend.
    """
    texts = list(lines)
    if by is None:
        keys = source.axes[:3]
        columns = [label_values([runs[0].look_up(key) for runs in lines.values()]) for key in keys]
        last = [key.rpartition(".")[2] for key in keys]
        settings = [
            ", ".join(f"{key}={label}" for key, label in zip(last, row, strict=True))
            for row in (zip(*columns, strict=True) if columns else [()] * len(texts))
        ]
        texts = [f"{name} ({setting})" if setting else name for name, setting in zip(texts, settings, strict=True)]
    return dict(zip(lines, shorten_apart(texts, MAX_LABEL), strict=True))
