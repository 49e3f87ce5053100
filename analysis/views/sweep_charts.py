"""Charts of what a sweep says about its keys: importance, slices, the fitted surface, the Pareto front."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from analysis.output.charts import Band, Bars, Chart, ChartAxis, Intervals, Layer, Line, Panel, Points, Span, Surface
from analysis.output.thinning import pick_evenly
from analysis.records.runs import Floats
from analysis.sweep.analysis import ViewAnalysis
from analysis.sweep.axes import label_choices, label_positions
from analysis.sweep.importance import Importance
from analysis.sweep.optimum import Profile
from analysis.sweep.settings import Setting, View
from analysis.sweep.slices import Slice
from analysis.views.parallel import rank_axes
from analysis.wording.short_labels import shorten_apart
from rlhf_sweeps.figures import format_number, format_share
from rlhf_sweeps.record import Axis

# Chosen by looking at drawings and lists.
_MOST_BARS = 12  # keys
_MOST_SLICES = 9  # panels
_MOST_POINTS = 400  # of a slice
_MOST_SETTINGS = 1000  # of a panel that stands alone
_MOST_NUMBERS = 12  # in a small panel
_NUM_CELLS = 30  # along each side of a heat map
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of an axis: its ticks
_LEAST_GAP = 0.04  # of an axis, between numbers that are written below it
_DARK, _WHITE = "#1b1f24", "#ffffff"
_FIT, _BINS, _PRUNED = "fit through the best, with 90 % band", "mean of a bin, with 95 % interval", "pruned (estimate)"


def make_importance_chart(importance: Importance) -> Chart | None:
    """Shares by both methods, with their ranges over resampled settings; None where no key stands out from chance."""
    if not any(key.is_clear for key in importance.keys):
        return None
    keys = importance.keys[:_MOST_BARS]
    layers: list[Layer] = []
    for shift, name, color in ((-0.18, "fANOVA", 0), (0.18, "PED-ANOVA", 1)):
        shares = [key.fanova if name == "fANOVA" else key.ped_anova for key in keys]
        measured = [(place + shift, share) for place, share in enumerate(shares) if share is not None]
        if measured:
            places = [place for place, _ in measured]
            values, low, high = (
                [100 * getattr(share, end) for _, share in measured] for end in ("value", "low", "high")
            )
            hover = [f"{keys[round(place)].key}: {format_share(share.value)} by {name}" for place, share in measured]
            layers.append(Bars(places, [0] * len(places), values, name, color, 0.34, hover))
            layers.append(Intervals(places, low, high, color="#000000", width=1.5, has_caps=True))
    ticks = [(place, key.key if key.is_clear else f"{key.key} (within chance)") for place, key in enumerate(keys)]
    across = ChartAxis("share of importance in %", low=0, high=100)
    down = ChartAxis(ticks=ticks, low=-0.6, high=len(keys) - 0.4, is_reversed=True)
    fraction = f", {len(keys)} of {len(importance.keys)} keys" if len(keys) < len(importance.keys) else ""
    title = f"importance for {importance.name}, {importance.num_settings} settings{fraction}"
    panel = Panel(across, down, layers)
    note = "thin lines: range over resampled settings"
    return Chart("importance", title, [panel], note, height=110 + 50 * len(keys), file="sweep_importance")


def make_slices_chart(analysis: ViewAnalysis, objective: int) -> Chart | None:
    """The objective against each key: settings, means of bins, and the fitted surface through the best setting."""
    view, slices = analysis.view, analysis.slices[objective]
    if not slices or not view.settings:
        return None
    optimum = analysis.optimum if objective == 0 else None
    profiles = {profile.axis.key: profile for profile in optimum.profiles} if optimum is not None else {}
    up = _make_measured_axis(view, objective)
    panels = []
    for cut in slices[:_MOST_SLICES]:
        profile = profiles.get(cut.axis.key)
        layers = _draw_profile(profile) if profile is not None else []
        layers += _draw_pruned(view, cut.axis) if view.is_single else []
        panels.append(Panel(_make_key_axis(cut), up, [*layers, *_draw_settings(cut)]))
    fraction = f", {len(panels)} of {len(slices)} keys" if len(panels) < len(slices) else ""
    title = f"{view.names[objective]} against each key{fraction}"
    return Chart("slices", title, panels, columns=3, width=350, height=280, file="sweep_slices")


def _make_measured_axis(view: View, objective: int) -> ChartAxis:
    """The scale of what was measured; bands and intervals may go beyond it."""
    values = np.array([float(setting.objectives[objective]) for setting in view.settings])
    low, high = float(values.min()), float(values.max())
    margin = 0.15 * (high - low) or 0.5 * abs(low) or 1.0
    return ChartAxis(view.names[objective], low=low - margin, high=high + margin)


def _make_key_axis(cut: Slice) -> ChartAxis:
    """A tick for every name; of numbers those that leave room for each other."""
    axis = cut.axis
    label = f"{axis.key}{' (log)' if axis.is_log else ''}"
    if axis.is_interval:
        ends = [0.0, 1.0, *cut.positions.tolist()]  # a setting may lie beyond an interval that was changed
        quarters = list(zip(_QUARTERS, label_positions(axis, _QUARTERS), strict=True))
        return ChartAxis(label, ticks=quarters, low=min(ends) - 0.05, high=max(ends) + 0.05)
    places, names = _list_choice_places(axis), shorten_apart(label_choices(axis), 14)
    ticks: list[tuple[float, str]] = []
    for tick in zip(places, names, strict=True):
        if not ticks or not axis.is_numeric or tick[0] - ticks[-1][0] >= _LEAST_GAP:
            ticks.append(tick)
    margin = 0.12 * (max(places) - min(places)) or 0.5
    return ChartAxis(label, ticks=ticks, low=min(places) - margin, high=max(places) + margin)


def _list_choice_places(axis: Axis) -> list[float]:
    return [axis.position(text) for text in axis.choices]


def _beside(places: Sequence[float]) -> float:
    """How far beside a choice a mark stands that would cover the settings of the choice."""
    return 0.03 * ((max(places) - min(places)) or 1.0)


def _draw_profile(profile: Profile) -> list[Layer]:
    """A line with its band, over the part that is within noise of the best; of a list a mark for each choice."""
    if not profile.axis.is_interval:
        choices = _list_choice_places(profile.axis)
        places = np.array(choices) + _beside(choices)
        bars = Intervals(places, profile.low, profile.high, color=2, is_horizontal=False, has_caps=True)
        return [bars, Points(places, profile.mean, _FIT, 2, "diamond", 6)]
    layers: list[Layer] = [
        Band(profile.positions, profile.low, profile.high, color=2),
        Line(profile.positions, profile.mean, _FIT, 2),
    ]
    if len(profile.likely):
        ends = float(profile.likely[0]), float(profile.likely[-1])
        layers.insert(0, Span(*ends, "within noise of the best", 4))
    return layers


def _draw_settings(cut: Slice) -> list[Layer]:
    chosen = pick_evenly(len(cut.values), _MOST_POINTS) if len(cut.values) else []
    hover = [f"trial {cut.numbers[place]}: {format_number(float(cut.values[place]))}" for place in chosen]
    points = Points(cut.positions[chosen], cut.values[chosen], "setting", 0, size=6, hover=hover)
    if len(cut.bins) < 2:
        return [points]
    # The settings of a choice stand at one place, beside which its mean and interval stand on the left.
    shift = 0.0 if cut.axis.is_interval else _beside(_list_choice_places(cut.axis))
    places = [(part.low + part.high) / 2 - shift for part in cut.bins]
    least = 0.02 * (max(places) - min(places))
    half = [max((part.high - part.low) / 2, least) for part in cut.bins]
    means = [part.mean for part in cut.bins]
    x = [end for place, width in zip(places, half, strict=True) for end in (place - width, place + width, np.nan)]
    y = [end for mean in means for end in (mean, mean, np.nan)]
    several = [(place, part) for place, part in zip(places, cut.bins, strict=True) if part.num > 1]
    middles = [place for place, _ in several]
    low, high = [part.mean_low for _, part in several], [part.mean_high for _, part in several]
    intervals = Intervals(middles, low, high, color=1, width=1.2, is_horizontal=False, has_caps=True)
    return [intervals, Line(x, y, _BINS, 1, hover=[""] * len(x)), points]


def _draw_pruned(view: View, axis: Axis) -> list[Layer]:
    """What pruned trials would have been worth, had they gone on."""
    pruned = [view.pruned[place] for place in pick_evenly(len(view.pruned), _MOST_POINTS)] if view.pruned else []
    if not pruned:
        return []
    places = [axis.position(setting.values.get(axis.key)) for setting in pruned]
    values = [float(setting.objectives[0]) for setting in pruned]
    return [Points(places, values, _PRUNED, 3, "cross", 5, 0.7, [_describe_setting(setting) for setting in pruned])]


def _describe_setting(setting: Setting) -> str:
    return f"trial {setting.numbers[0]}: {', '.join(format_number(float(value)) for value in setting.objectives)}"


def make_contour_chart(analysis: ViewAnalysis) -> Chart | None:
    """The fitted surface over the two most important axes of numbers, the others as in the best setting."""
    view, optimum = analysis.view, analysis.optimum
    if optimum is None:
        return None
    axes = optimum.surface.axes
    order = [key.key for key in analysis.importances[0].keys]
    numeric = [place for place in rank_axes(axes, order) if axes[place].is_interval]
    if len(numeric) < 2:
        return None
    first, second = numeric[:2]
    grid = np.linspace(0, 1, _NUM_CELLS)
    points = np.tile(view.compute_positions([optimum.anchor.values])[0], (_NUM_CELLS**2, 1))
    points[:, first], points[:, second] = np.tile(grid, _NUM_CELLS), np.repeat(grid, _NUM_CELLS)
    heights = view.get_sign() * optimum.surface.predict_mean(points).reshape(_NUM_CELLS, _NUM_CELLS)
    values = [_list_values(axes[place], grid) for place in (first, second)]
    settings = [view.settings[place] for place in pick_evenly(len(view.settings), _MOST_SETTINGS)]
    positions = view.compute_positions([setting.values for setting in settings])
    x, y = (_list_values(axes[place], positions[:, place]) for place in (first, second))
    hover = [_describe_setting(setting) for setting in settings]
    layers: list[Layer] = [
        Surface(values[0], values[1], heights, view.names[0], view.get_sign() < 0),
        Points(x, y, color=_WHITE, size=8, hover=[""] * len(settings)),
        Points(x, y, color=_DARK, size=5, hover=hover),
    ]
    across, up = (ChartAxis(axes[place].key, axes[place].is_log) for place in (first, second))
    title = f"fitted {view.names[0]}, with the other keys of trial {optimum.anchor.numbers[0]}"
    return Chart("contour", title, [Panel(across, up, layers)], height=420, file="sweep_contour")


def _list_values(axis: Axis, positions: Floats) -> list[float]:
    return [axis.value(float(position)) if np.isfinite(position) else np.nan for position in positions]


def make_front_chart(analysis: ViewAnalysis) -> Chart | None:
    """Every setting by two objectives, a panel for each pair; None for one objective, or without a Pareto front.

    With two objectives the front is joined by a line. Its settings have their trials' numbers where there is room.
    """
    view, front = analysis.view, sorted(analysis.front, key=lambda setting: tuple(setting.objectives))
    if view.is_single or not front:
        return None
    on_front = {setting.numbers for setting in front}
    others = [setting for setting in view.settings if setting.numbers not in on_front]
    others = [others[place] for place in pick_evenly(len(others), _MOST_SETTINGS)] if others else []
    pairs = list(combinations(range(len(view.directions)), 2))
    is_numbered = len(pairs) == 1 or len(front) <= _MOST_NUMBERS
    panels = [_make_front_panel(view, front, others, pair, is_numbered) for pair in pairs]
    width = 700 if len(pairs) == 1 else 350
    title = f"Pareto front{', with the numbers of its trials' * is_numbered}"
    return Chart("front", title, panels, columns=3, width=width, height=width * 3 // 5 + 20, file="sweep_pareto")


def _make_front_panel(
    view: View, front: Sequence[Setting], others: Sequence[Setting], pair: tuple[int, int], is_numbered: bool
) -> Panel:
    first, second = pair
    layers: list[Layer] = []
    for settings, name, color, size in ((others, "others", 0, 6), (front, "Pareto front", 1, 9)):
        x = [float(setting.objectives[first]) for setting in settings]
        y = [float(setting.objectives[second]) for setting in settings]
        is_front = name == "Pareto front"
        if is_front and len(view.directions) == 2:
            layers.append(Line(x, y, color=color, width=1, dash="dot"))
        labels = [str(setting.numbers[0]) for setting in settings] if is_front and is_numbered else ()
        hover = [_describe_setting(setting) for setting in settings]
        layers.append(Points(x, y, name, color, size=size, hover=hover, labels=labels))
    return Panel(ChartAxis(view.names[first]), ChartAxis(view.names[second]), layers)
