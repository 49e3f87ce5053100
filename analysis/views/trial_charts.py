"""Charts of trials in their order: what each is worth, what it reported while it ran, and when it ran."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from analysis.output.charts import Bars, Chart, ChartAxis, Layer, Line, Panel, Points, Rule
from analysis.output.colors import color_of_state
from analysis.output.thinning import pick_evenly, pick_extremes
from analysis.records.runs import COMPLETE, FAILED, PRUNED, Source
from analysis.results.entries import Entry
from analysis.results.ranking import SourceRanking
from analysis.sweep.lengths import find_number, find_run_lengths
from analysis.sweep.settings import View
from analysis.wording.short_labels import shorten_apart
from analysis.wording.statements import format_duration
from rlhf_sweeps.figures import format_number

# Chosen by looking at drawings and lists.
_MOST_POINTS = 2000  # trials
_MOST_NAMES = 20  # of runs below an axis
_MOST_SETTINGS = 12  # that the page names at a point
_MOST_LINES = 40  # trials
_MOST_REPORTS = 50  # of a trial
_MOST_BARS = 200
# An axis of time counts the first unit of which it has two or more: its name, seconds in one, seconds up to which.
_TIME_UNITS = (("seconds", 1, 120), ("minutes", 60, 3 * 3600), ("hours", 3600, math.inf))
# The marks of settings: name, colour, symbol, size.
_COMPLETE, _BROKEN = ("complete", 0, "circle", 8.0), ("constraints not kept", 0, "hollow", 8.0)
_BEST = ("best", 1, "star", 13.0)
_Worths = dict[tuple[int, ...], float]  # by the numbers of a setting's trials


def make_history_chart(ranking: SourceRanking, view: View | None) -> Chart | None:
    """What each setting is worth, by its first trial's number, and the best so far; a panel for each objective.

    Args:
        view: the settings to show, which the ranking ranks.

    Returns:
        None without a view, or if no setting is worth anything.
    """
    if view is None:
        return None
    numbers = {setting.numbers for setting in view.settings}
    settings = [entry for entry in ranking.settings if entry.numbers in numbers and entry.objectives]
    if not settings:
        return None
    ranked = [entry for entry in ranking.ranked if entry.numbers in numbers]
    trials = {trial.number for trial in view.trials}
    ended = [entry for entry in ranking.entries if entry.numbers[0] in trials and not entry.objectives]
    panels = []
    for objective, name in enumerate(view.names[: len(view.directions)]):
        worths = {entry.numbers: _find_worth(ranking, entry, objective) for entry in settings}
        layers = [*_draw_settings(settings, ranked, worths, ranking), *_draw_ended(ended, worths, ranking)]
        best = _draw_best(settings, ranked, worths, ranking) if objective == 0 and ranked else []
        panels.append(Panel(_make_trial_axis(ranking), ChartAxis(name), [*layers, *best]))
    title = f"{view.names[0] if len(panels) == 1 else 'objectives'} of every {_name_point(ranking, settings)}"
    is_tested = any(ranking.is_tested(entry) for entry in settings)
    note = "settings that ran on test seeds are drawn at their mean over these seeds" if is_tested else ""
    return Chart("history", title, panels, note, height=340 if len(panels) == 1 else 260, file="sweep_history")


def _find_worth(ranking: SourceRanking, entry: Entry, objective: int) -> float:
    assert entry.objectives is not None
    return entry.objectives[objective] if objective else ranking.choose_value(entry)


def _name_point(ranking: SourceRanking, settings: Sequence[Entry]) -> str:
    """`setting` where several trials or runs are one, else `trial` or `run`."""
    return "setting" if any(len(entry.names) > 1 for entry in settings) else ranking.word


def _make_trial_axis(ranking: SourceRanking) -> ChartAxis:
    """Trials have numbers; runs have names, which are shown where there is room."""
    if ranking.word == "trial":
        return ChartAxis("trial", ticks=_make_number_ticks([entry.numbers[0] for entry in ranking.entries]))
    if len(ranking.entries) > _MOST_NAMES:
        return ChartAxis("run, in the order of the table")
    names = shorten_apart([entry.name for entry in ranking.entries], 16)
    return ChartAxis(
        "run", ticks=[(entry.numbers[0], name) for entry, name in zip(ranking.entries, names, strict=True)]
    )


def _make_number_ticks(numbers: Sequence[int]) -> list[tuple[float, str]]:
    """Every number of a few trials, which would else stand beside fractions; none of many."""
    return [(place, str(place)) for place in numbers] if len(numbers) <= _MOST_NAMES else []


def _draw_settings(
    settings: Sequence[Entry], ranked: Sequence[Entry], worths: _Worths, ranking: SourceRanking
) -> list[Layer]:
    """All settings that are worth something, those apart that are not known to keep all constraints."""
    places = {entry.numbers for entry in ranked}
    layers: list[Layer] = []
    for is_ranked, look in ((True, _COMPLETE), (False, _BROKEN)):
        entries = [entry for entry in settings if (entry.numbers in places) == is_ranked]
        if entries:
            chosen = [entries[place] for place in pick_evenly(len(entries), _MOST_POINTS)]
            layers.append(_draw_points(chosen, worths, ranking, look))
    return layers


def _draw_best(
    settings: Sequence[Entry], ranked: Sequence[Entry], worths: _Worths, ranking: SourceRanking
) -> list[Layer]:
    """The best of the settings up to each, in the order of the ranking, so that the last of them is the winner."""
    places = {entry.numbers: place for place, entry in enumerate(ranked)}
    allowed = [entry for entry in settings if entry.numbers in places]
    so_far: list[Entry] = []
    for entry in allowed:
        so_far.append(min([*so_far[-1:], entry], key=lambda setting: places[setting.numbers]))
    x, y = [entry.numbers[0] for entry in allowed], [worths[entry.numbers] for entry in so_far]
    line = Line(x, y, "best so far", 1, 1.5, is_step=True, hover=[""] * len(x))
    return [line, _draw_points(ranked[:1], worths, ranking, _BEST)]


def _draw_ended(ended: Sequence[Entry], worths: _Worths, ranking: SourceRanking) -> list[Layer]:
    """Trials that were pruned or failed, which have no objective, as marks at the bottom."""
    lowest, highest = min(worths.values()), max(worths.values())
    bottom = lowest - 0.06 * ((highest - lowest) or 1.0)
    layers: list[Layer] = []
    for state, symbol in ((PRUNED, "tick"), (FAILED, "cross")):
        entries = [entry for entry in ended if entry.state == state][:_MOST_POINTS]
        if entries:
            heights = {entry.numbers: bottom for entry in entries}
            layers.append(_draw_points(entries, heights, ranking, (state, color_of_state(state), symbol, 9.0)))
    return layers


def _draw_points(
    entries: Sequence[Entry], heights: _Worths, ranking: SourceRanking, look: tuple[str, int, str, float]
) -> Points:
    """Marks with a name, a colour, a symbol and a size."""
    x, y = [entry.numbers[0] for entry in entries], [heights[entry.numbers] for entry in entries]
    return Points(x, y, *look, hover=[_describe_entry(entry, ranking) for entry in entries])


def _describe_entry(entry: Entry, ranking: SourceRanking) -> str:
    """A line that says what an entry is worth, and a line for each of its settings."""
    worth = format_number(ranking.choose_value(entry)) if entry.objectives else entry.state
    settings = [f"{key}={value}" for key, value in list(entry.labels.items())[:_MOST_SETTINGS]]
    return "\n".join([f"{entry.title}: {worth}", *settings])


def make_intermediate_values_chart(source: Source, view: View) -> Chart | None:
    """What each trial reported while it ran, a line for each; None where no trial reported more than nothing.

    Runs of different lengths are compared by the share of the run that is done.
    """
    if source.study is None or not view.is_single:
        return None
    lengths = find_run_lengths(source.study, source.trials)
    is_uneven = len(set(lengths.values())) > 1
    length = 100 if is_uneven else next(iter(lengths.values()), None)
    lines: dict[int, list[tuple[float, float]]] = {}
    for trial in source.study.get_trials(deepcopy=False):
        place = find_number(trial)
        unit = 100 / lengths[place] if is_uneven and place in lengths else None if is_uneven else 1
        reports = sorted(trial.intermediate_values.items()) if unit is not None else []
        lines[place] = [(step * (unit or 1), float(value)) for step, value in reports if np.isfinite(value)]
    drawn = [place for place, reports in lines.items() if reports]
    if not drawn:
        return None
    chosen = [drawn[place] for place in pick_evenly(len(drawn), _MOST_LINES)]
    best = view.best.numbers[0] if view.best is not None else None
    states = {trial.number: trial.state for trial in source.trials}
    groups = {
        state: [place for place in chosen if states.get(place, COMPLETE) == state and place != best]
        for state in sorted({states.get(place, COMPLETE) for place in chosen})
    }
    layers = [_draw_reports(places, lines, state) for state, places in groups.items() if places]
    if best is not None and lines.get(best):
        layers.append(_draw_reports([best], lines, "best"))
    left_out = f", {len(chosen)} of {len(drawn)} trials" if len(chosen) < len(drawn) else ""
    title = f"{view.names[0]} while the trials ran{left_out}"
    unit_text = "per cent of the run" if is_uneven else "update"
    ends = _ends_of_runs(length, max(lines[place][-1][0] for place in chosen))
    across = ChartAxis(f"{unit_text}, counted over a trial's seeds" if ends else unit_text, is_whole=True)
    panel = Panel(across, ChartAxis(view.names[0]), [*map(Rule, ends), *layers])
    note = "a vertical line is the end of a seed's run; a point on it is the mean over the seeds so far" if ends else ""
    return Chart("intermediate-values", title, [panel], note, file="sweep_intermediate_values")


def _ends_of_runs(length: float | None, last: float) -> list[float]:
    """Where the run of each seed ends, up to the last report; empty where reports are of one seed, or nobody knows.

    Args:
        length: of a run, on the axis of the reports.
    """
    if not length or last <= length:
        return []
    return [count * length for count in range(1, int(last / length) + 1)]


def _draw_reports(places: Sequence[int], lines: dict[int, list[tuple[float, float]]], name: str) -> Line:
    """The trials' reports as one line with gaps."""
    x: list[float] = []
    y: list[float] = []
    hover: list[str] = []
    for place in places:
        steps, values = np.array(lines[place]).T
        picked = pick_extremes(values, _MOST_REPORTS)
        x += [*steps[picked].tolist(), np.nan]
        y += [*values[picked].tolist(), np.nan]
        hover += [f"trial {place}: {format_number(value)}" for value in values[picked].tolist()] + [""]
    is_best = name == "best"
    color = 1 if is_best else color_of_state(name)
    return Line(x, y, name, color, 2.5 if is_best else 1.2, opacity=1 if is_best else 0.6, has_dots=True, hover=hover)


def make_timeline_chart(source: Source) -> Chart | None:
    """When each trial ran, a bar for each; None where no trial has a length, as in a study rebuilt from runs."""
    trials: list[Any] = [] if source.study is None else source.study.get_trials(deepcopy=False)
    trials = [trial for trial in trials if trial.datetime_start is not None]
    if not trials or any("number" in trial.user_attrs for trial in trials):
        return None
    first = min(trial.datetime_start for trial in trials)
    last = max(trial.datetime_complete or trial.datetime_start for trial in trials)
    recent = trials[-_MOST_BARS:]
    if all(_find_end(trial, last) <= trial.datetime_start for trial in recent):
        return None
    unit, seconds = next((name, size) for name, size, most in _TIME_UNITS if (last - first).total_seconds() < most)
    states = {trial.number: trial.state for trial in source.trials}
    rows: dict[str, list[tuple[int, float, float, str]]] = {}
    for trial in recent:
        state = states.get(trial.number, trial.state.name.lower())
        start, end = ((time - first).total_seconds() for time in (trial.datetime_start, _find_end(trial, last)))
        hover = f"trial {trial.number}: {state}, {format_duration(end - start)}"
        rows.setdefault(state, []).append((trial.number, start / seconds, end / seconds, hover))
    bars = []
    for state in sorted(rows, key=color_of_state):
        places, starts, ends, hovers = zip(*rows[state], strict=True)
        bars.append(Bars(places, starts, ends, state, color_of_state(state), hover=hovers))
    down = ChartAxis("trial", ticks=_make_number_ticks([trial.number for trial in recent]), is_reversed=True)
    panel = Panel(ChartAxis(f"{unit} since the first trial began"), down, bars)
    left_out = f", the last {_MOST_BARS} of {len(trials)}" if len(trials) > _MOST_BARS else ""
    title = f"when the trials ran, from {first:%Y-%m-%d %H:%M} on{left_out}"
    note = f"state of all trials: {bars[0].name}" if len(bars) == 1 else ""
    return Chart("timeline", title, [panel], note, height=min(120 + 14 * len(recent), 500), file="sweep_timeline")


def _find_end(trial: Any, last: datetime) -> datetime:
    """A trial that has not ended is drawn up to the last time that the study knows."""
    end: datetime = trial.datetime_complete or last
    return end
