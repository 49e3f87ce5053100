"""Charts of what a sweep says about its keys, by their values."""

import re
from itertools import pairwise

import numpy as np
import pytest
from helpers.drawn_charts import charts_of, layers_of
from helpers.studies import with_study
from helpers.sweep_sources import drawn, hill, of, search, swept, trial

from analysis.output.charts import Bars, Chart, Intervals, Line, Points, Span, Surface
from analysis.output.embed import embed_json
from analysis.output.plotly_figures import make_figures
from analysis.records.runs import Source
from analysis.results.results import Results
from analysis.sweep.analysis import analyse_sweep
from analysis.views.parallel import make_parallel_chart
from analysis.views.sweep import make_sweep_tab
from analysis.views.sweep_charts import make_contour_chart, make_front_chart, make_importance_chart, make_slices_chart


def test_importance_is_a_bar_for_each_key_and_method_with_its_range() -> None:
    importance = analyse_sweep(search(hill(-3.3), 24, 0.1, 0)).views[0].importances[0]
    chart = make_importance_chart(importance)
    assert chart is not None
    (panel,) = chart.panels
    assert panel.y.ticks[0] == (0, "ppo.lr")
    assert all(name.endswith(" (within chance)") for _, name in panel.y.ticks[1:])
    bars = layers_of(panel)
    assert list(bars) == ["fANOVA", "PED-ANOVA"]
    ranges = [layer for layer in panel.layers if isinstance(layer, Intervals)]
    for (name, layer), own in zip(bars.items(), ranges, strict=True):
        assert isinstance(layer, Bars)
        assert sum(layer.ends) == pytest.approx(100), name
        assert (np.array(own.low) <= layer.ends).all()
        assert (np.array(own.high) >= layer.ends).all()
    assert len({*bars["fANOVA"].places, *bars["PED-ANOVA"].places}) == 6  # type: ignore[union-attr]


def test_slices_have_settings_means_and_the_fit() -> None:
    analysis = analyse_sweep(search(hill(-3.3), 40, 0.05, 0)).views[0]
    chart = make_slices_chart(analysis, 0)
    assert chart is not None
    rate, _, clip = chart.panels
    layers = layers_of(rate)
    points, fit, likely = (layers[name] for name in ("setting", _FIT, "within noise of the best"))
    assert isinstance(points, Points)
    assert isinstance(fit, Line)
    assert isinstance(likely, Span)
    assert len(points.x) == 40
    top = fit.x[int(np.argmax(fit.y))]
    assert likely.low < top < likely.high
    assert top == pytest.approx((5 - 3.3) / 3, abs=0.05)
    assert [name for _, name in clip.x.ticks] == ["0.1", "0.2", "0.3"]
    assert (rate.y.low, rate.y.high) == (clip.y.low, clip.y.high)
    heights = [setting.objectives[0] for setting in analysis.view.settings]
    assert rate.y.low is not None
    assert rate.y.low < min(heights)
    # Nothing covers the settings of a choice: they lie on top, and its mean and the fit stand beside them.
    assert clip.layers[-1] == layers_of(clip)["setting"]
    places = {float(x) for layer in clip.layers if isinstance(layer, Intervals) for x in layer.places}
    assert len(places) == 6
    assert not places.intersection(place for place, _ in clip.x.ticks)


_FIT = "fit through the best, with 90 % band"


def ticks_of(choices: list[str]) -> list[str]:
    trials = [trial(n, {"key": text}, [float(n)]) for n, text in enumerate(choices)]
    chart = make_slices_chart(analyse_sweep(of(trials, space={"key": f"choice({','.join(choices)})"})).views[0], 0)
    assert chart is not None
    return [name for _, name in chart.panels[0].x.ticks]


def test_every_number_of_a_list_has_its_tick_where_there_is_room() -> None:
    rates = ["1e-05", "3e-05", "0.0001", "0.0003", "0.001", "0.003", "0.01"]
    assert ticks_of(rates) == rates
    assert ticks_of(["0.0001", "0.000101", "0.001"]) == ["0.0001", "0.001"]  # two would be printed over each other


def test_every_name_has_its_tick_however_long_they_are() -> None:
    assert len(set(ticks_of([f"model_{n}_of_many" for n in range(30)]))) == 30
    ticks = ticks_of([f"/models/a_common_start/{name}/a_common_end" for name in "abcdefg"])
    assert all(re.search(rf"\W{name}\W", tick) for name, tick in zip("abcdefg", ticks, strict=True))
    start = "organization-with-a-long-name/reward-model-of-size-"
    names = [f"{start}{size}-tuned-on-helpful-answers" for size in (1, 2, 10)]
    assert max(map(len, ticks_of(names))) <= 16


def test_the_contour_shows_the_surface_where_it_is_known() -> None:
    chart = make_contour_chart(analyse_sweep(with_study(60)).views[0])
    assert chart is not None
    (panel,) = chart.panels
    surface = panel.layers[0]
    assert isinstance(surface, Surface)
    assert (panel.x.label, panel.x.is_log) == ("ppo.lr", True)
    top = surface.x[int(np.array(surface.values).mean(axis=0).argmax())]
    assert np.log10(top) == pytest.approx(-3.3, abs=3 / 29)  # a step of its grid


def front_of(source: Source) -> Chart:
    chart = make_front_chart(analyse_sweep(source).views[0])
    assert chart is not None
    return chart


def test_two_objectives_have_a_front() -> None:
    (panel,) = front_of(with_study(30, num_objectives=2)).panels
    layers = layers_of(panel)
    others, front = layers["others"], layers["Pareto front"]
    assert isinstance(others, Points)
    assert isinstance(front, Points)
    points = [(x, -y) for each in (others, front) for x, y in zip(each.x, each.y, strict=True)]
    unbeaten = {p for p in points if not any(q != p and q[0] >= p[0] and q[1] >= p[1] for q in points)}
    assert len(points) == 30
    assert {(x, -y) for x, y in zip(front.x, front.y, strict=True)} == unbeaten
    assert all(first < second for first, second in pairwise(front.x))  # the line goes from one to the next
    said = [text.split(":")[0] for layer in (others, front) for text in layer.hover]
    assert set(said) == {f"trial {number}" for number in range(30)}
    assert [f"trial {label}" for label in front.labels] == [text.split(":")[0] for text in front.hover]


def test_three_objectives_have_a_panel_for_each_pair() -> None:
    chart = front_of(with_study(30, num_objectives=3))
    axes = [(panel.x.label, panel.y.label) for panel in chart.panels]
    assert axes == [("eval/score", "eval/kl"), ("eval/score", "eval/length"), ("eval/kl", "eval/length")]
    assert not [layer for panel in chart.panels for layer in panel.layers if isinstance(layer, Line)]


def test_one_objective_has_no_front() -> None:
    assert make_front_chart(analyse_sweep(with_study(20)).views[0]) is None


def test_parallel_coordinates_are_lines_in_fifths() -> None:
    """Ten settings: 0 to 9 in the objective, all with one rate but the last."""
    points = [{"ppo.lr": 1e-2 if n == 9 else 1e-5, "ppo.kl_coef": 0.01 + n / 100} for n in range(10)]
    chart = make_parallel_chart(analyse_sweep(swept(points, [[float(n)] for n in range(10)])).views[0])
    assert chart is not None
    (panel,) = chart.panels
    assert [name for _, name in panel.x.ticks] == ["objective", "ppo.lr", "ppo.kl_coef"]
    lines = [layer for layer in panel.layers if isinstance(layer, Line)]
    assert [line.name for line in lines] == ["0 to 1", "2 to 3", "4 to 5", "6 to 7", "8 to 9"]
    assert lines[4].y[:2] == [pytest.approx(8 / 9), pytest.approx(0)]
    assert lines[4].y[4:6] == [1.0, pytest.approx(1)]
    assert np.isnan(lines[4].y[3])
    assert lines[4].hover[4] == "trial 9\nobjective 9\nppo.lr 0.01\nppo.kl_coef 0.1"
    lower = swept(points, [[float(n)] for n in range(10)], directions=("minimize",))
    drawn_lower = make_parallel_chart(analyse_sweep(lower).views[0])
    assert drawn_lower is not None
    assert [layer.name for layer in drawn_lower.panels[0].layers if isinstance(layer, Line)][-1] == "0 to 1"


def test_keys_that_are_not_active_lie_below_their_axis() -> None:
    points = drawn(30, 1)
    for point in points[::2]:
        del point["ppo.kl_coef"]
    chart = make_parallel_chart(analyse_sweep(swept(points, [[hill(-3.3)(point)] for point in points])).views[0])
    assert chart is not None
    (panel,) = chart.panels
    place = [name for _, name in panel.x.ticks].index("ppo.kl_coef")
    lines = [layer for layer in panel.layers if isinstance(layer, Line)]
    heights = [y for line in lines for x, y in zip(line.x, line.y, strict=True) if x == place]
    assert sorted(heights)[:15] == [0.0] * 15
    assert sorted(heights)[15] > 0.1
    said = {text for line in lines for text in line.hover if "ppo.kl_coef not active" in text}
    assert len(said) == 15


def test_categories_with_equal_beginnings_keep_their_place() -> None:
    names = ["c" * 250 + ending for ending in "ab"]
    trials = [trial(n, {"model.path": names[n % 2], "ppo.lr": n / 10}, [float(n)]) for n in range(6)]
    source = of(trials, space={"model.path": f"choice({','.join(names)})", "ppo.lr": "interval(0,1)"})
    chart = make_parallel_chart(analyse_sweep(source).views[0])
    assert chart is not None
    lines = [layer for layer in chart.panels[0].layers if isinstance(layer, Line)]
    assert len({text for line in lines for text in line.hover if "model.path" in text}) == 6


@pytest.mark.slow
def test_no_chart_grows_with_the_sweep() -> None:
    charts = charts_of(make_sweep_tab(Results(with_study(500))))
    sizes = {name: len(embed_json(make_figures(chart))) for name, chart in charts.items()}
    assert max(sizes.values()) < 25_000, sizes
    assert charts["intermediate-values"].title == "eval/score while the trials ran, 40 of 500 trials"
    assert charts["timeline"].title == "when the trials ran, the last 200 of 500"
    assert charts["parallel-0-0"].title == "all settings"
