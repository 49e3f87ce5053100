"""Every layer of a chart is drawn by both renderers, and no text of a record is taken for a formula or a tag."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import matplotlib
import matplotlib.colors
import numpy as np
import pytest

from analysis.output.charts import (
    Band,
    Bars,
    Cells,
    Chart,
    ChartAxis,
    ColorScale,
    Intervals,
    Layer,
    Line,
    Panel,
    Points,
    Rule,
    Span,
    Surface,
    Texts,
)
from analysis.output.colors import COLORS, VIRIDIS, pick_color
from analysis.output.images import _say_once, draw_chart, save_chart
from analysis.output.plotly_figures import make_figures

HOSTILE = "$x_{$ <b>&"  # matplotlib would take it for a formula, Plotly for tags
X = np.array([1.0, 2.0, 3.0])
# Layer -> artists of matplotlib, and the kinds of Plotly's traces and shapes that show it.
LAYERS: Mapping[str, tuple[Layer, int, list[str]]] = {
    "Points": (Points(X, X, HOSTILE, labels=[HOSTILE] * 3), 4, ["scatter", "scatter"]),
    "Line": (Line(X, X, HOSTILE, dash="dashdot"), 1, ["scatter"]),
    "Band": (Band(X, X - 1, X + 1, HOSTILE), 1, ["scatter", "scatter"]),
    "Intervals": (Intervals(X, X - 1, X + 1, HOSTILE, has_caps=True), 2, ["scatter"]),
    "Bars": (Bars([0, 1], [0, 1], [2, 3], HOSTILE), 2, ["bar"]),
    "Cells": (Cells([[0.0, 1.0]], [["a", HOSTILE]], framed=[(0, 1)]), 4, ["heatmap", "rect"]),
    "Surface": (Surface(X, X, np.outer(X, X), HOSTILE), 1, ["contour"]),
    "Span": (Span(1, 2, HOSTILE), 1, ["rect", "scatter"]),
    "Rule": (Rule(2.0), 1, ["line"]),
    "Texts": (Texts([1.0], [HOSTILE]), 1, ["scatter"]),
}


def chart_of(*layers: Layer, **options: Any) -> Chart:
    panel = Panel(ChartAxis(HOSTILE), ChartAxis(HOSTILE, ticks=[(1.0, HOSTILE)]), layers, HOSTILE, HOSTILE)
    return Chart("a", HOSTILE, [panel], HOSTILE, **options)


def test_all_layers_are_here() -> None:
    assert set(LAYERS) == {kind.__name__ for kind in get_args(Layer)}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_drawn_in_a_file(name: str, tmp_path: Path) -> None:
    layer, num_artists, _ = LAYERS[name]
    empty, full = draw_chart(chart_of()), draw_chart(chart_of(layer))
    assert len(full.axes[0].get_children()) - len(empty.axes[0].get_children()) == num_artists
    save_chart(chart_of(layer), tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "$x_{$ &lt;b&gt;&amp;" in text


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_drawn_in_the_page(name: str) -> None:
    layer, _, kinds = LAYERS[name]
    figure = make_figures(chart_of(layer))["a-0"]
    drawn = [*figure["data"], *figure["layout"].get("shapes", ())]
    assert sorted(each["type"] for each in drawn) == sorted(kinds)
    assert "<b>" not in str(figure)
    assert figure["layout"]["xaxis"]["title"]["text"] == "$x_{$ &lt;b&gt;&amp;"


def test_the_same_chart_gives_the_same_bytes(tmp_path: Path) -> None:
    chart = chart_of(*[layer for layer, *_ in LAYERS.values() if not isinstance(layer, Cells | Surface)])
    for kind in ("png", "svg", "pdf"):
        first, second = (save_chart(chart, tmp_path / f"{place}.{kind}") for place in range(2))
        assert first.read_bytes() == second.read_bytes()


def legend_texts(chart: Chart) -> list[str]:
    figure = draw_chart(chart)
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def test_a_legend_has_every_name_once_and_none_where_there_is_one_name() -> None:
    lines = [Line(X, X, "a"), Line(X, X), Points(X, X, "a"), Points(X, X, "b", symbol="hollow")]
    assert legend_texts(chart_of(*lines)) == ["a", "b"]
    assert legend_texts(chart_of(*lines[:3])) == []
    assert legend_texts(chart_of(*lines, in_legend=[Line([], [], "only this")])) == ["only this"]


def test_a_legend_stands_in_the_place_of_a_panel_where_one_is_free() -> None:
    panel = Panel(ChartAxis(), ChartAxis(), [Line(X, X, "a"), Line(X, X, "b")])
    free, full = (draw_chart(Chart("a", "", [panel] * num, columns=2)) for num in (3, 4))
    assert free.axes[3].get_legend() is not None
    assert not free.legends
    assert len(full.legends) == 1


def test_titles_stand_at_one_height_above_notes_of_any_length() -> None:
    panels = [Panel(ChartAxis(), ChartAxis(), [], "title", note) for note in ("", "word " * 60)]
    figure = draw_chart(Chart("a", "", panels, columns=2))
    figure.draw_without_rendering()
    heights = {round(axes.title.get_window_extent().y0) for axes in figure.axes}
    assert len(heights) == 1


def test_axes_have_ends_ticks_and_scales_in_both() -> None:
    axis = ChartAxis("x", is_log=True, low=1.0, high=100.0, is_reversed=True)
    chart = Chart("a", "", [Panel(axis, ChartAxis(ticks=[(1.0, "one")]), [Line(X, X)])])
    axes = draw_chart(chart).axes[0]
    assert (axes.get_xscale(), axes.get_xlim()) == ("log", (100.0, 1.0))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one"]
    layout = make_figures(chart)["a-0"]["layout"]
    assert (layout["xaxis"]["type"], layout["xaxis"]["range"]) == ("log", [2.0, 0.0])
    assert (layout["yaxis"]["tickvals"], layout["yaxis"]["ticktext"]) == ([1.0], ["one"])


def test_a_title_stands_beside_the_longest_tick_of_the_page() -> None:
    layout = make_figures(chart_of(Line(X, X)))["a-0"]["layout"]
    assert layout["xaxis"]["title"]["standoff"] == layout["yaxis"]["title"]["standoff"] > 0


def test_letters_that_the_font_lacks_are_one_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _say_once.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ending in ("png", "svg"):
            save_chart(replace(chart_of(Line(X, X)), title="🤖漢字"), tmp_path / f"a.{ending}")
    assert [record.message[:18] for record in caplog.records] == ["figures have boxes"]


def test_colours_on_a_scale() -> None:
    scale = ColorScale("lr", 1e-4, 1e-2, is_log=True)
    assert [pick_color(scale, value) for value in (1e-4, 1e-2, 1.0)] == [VIRIDIS[0], VIRIDIS[-1], VIRIDIS[-1]]
    for share in np.linspace(0, 1, 50):
        expected = matplotlib.colormaps["viridis"](share)
        channels = matplotlib.colors.to_rgb(pick_color(scale, 1e-4 * 100**share))
        np.testing.assert_allclose(channels, expected[:3], atol=0.02)
    assert pick_color(replace(scale, high=1e-4), 1e-4) == VIRIDIS[0]
    assert draw_chart(chart_of(Line(X, X), scale=scale)).axes[-1].get_ylabel() == "lr"
    assert len(set(COLORS)) == 8


def test_an_axis_of_whole_numbers_has_no_ticks_between_them() -> None:
    """From 1 to 3 matplotlib would have a tick at 1.5."""
    for is_whole in (False, True):
        panel = Panel(ChartAxis("update", is_whole=is_whole), ChartAxis(), [Line([1.0, 3.0], [0.0, 1.0])])
        ticks = draw_chart(Chart("a", "t", [panel], width=430)).axes[0].get_xticks()
        assert all(float(tick).is_integer() for tick in ticks) == is_whole
