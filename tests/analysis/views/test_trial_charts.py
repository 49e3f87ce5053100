"""Charts of trials in their order, by their values."""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import optuna
import pytest
from helpers.drawn_charts import layers_of
from helpers.records import axes, rows, write_run, write_sweep
from helpers.studies import with_study
from helpers.sweep_sources import hill, of, search, trial

from analysis.output.charts import Bars, Chart, Line, Points, Rule
from analysis.output.colors import color_of_state
from analysis.reading.sources import read
from analysis.reading.study import rebuild_study
from analysis.records.runs import RunRecord, Source, TrialRecord
from analysis.results.ranking import rank_source
from analysis.results.results import Results
from analysis.sweep.settings import make_views
from analysis.views.cost import cost_view
from analysis.views.overview import make_overview_parts
from analysis.views.trial_charts import make_history_chart, make_intermediate_values_chart, make_timeline_chart


def history(source: Source) -> Chart:
    ranking = rank_source(source)
    chart = make_history_chart(ranking, ranking.view)
    assert chart is not None
    return chart


def drawn(chart: Chart, name: str, panel: int = 0) -> tuple[list[float], list[float]]:
    layer = layers_of(chart.panels[panel])[name]
    assert isinstance(layer, Points | Line)
    return list(layer.x), list(layer.y)


def numbered(folder: Path) -> Source:
    """Trials 2, 5 and 11 of a sweep; of the others, and of its study, nothing is left."""
    write_sweep(folder, [{"ppo.lr": 10.0**-n} for n in range(2, 14)], updates=12, heights=list(range(12)), study=False)
    for number in set(range(12)) - {2, 5, 11}:
        shutil.rmtree(folder / str(number))
    return read(folder)


def test_a_trial_axis_shows_numbers(tmp_path: Path) -> None:
    source = numbered(tmp_path / "s")
    chart = history(source)
    assert drawn(chart, "complete")[0] == drawn(chart, "best so far")[0] == [2, 5, 11]
    assert [name for _, name in chart.panels[0].x.ticks] == ["2", "5", "11"]
    reports = make_intermediate_values_chart(source, make_views(source)[0])
    assert reports is not None
    said = [text for layer in reports.panels[0].layers if isinstance(layer, Line) for text in layer.hover if text]
    assert {text.split(":")[0] for text in said} == {"trial 2", "trial 5", "trial 11"}


def test_the_chart_is_of_settings_and_its_line_ends_at_the_star() -> None:
    """Two seeds of each; the luckiest run, of 4, is of a setting worth 2.5. Tests change that."""

    def shown(tested: dict[int, float]) -> list[list[float]]:
        runs, trials = [], []
        for number, worth in enumerate([4.0, 1.0, 3.0, 3.2, 2.0, 2.2]):
            setting, seed = number // 2, number % 2
            one = RunRecord(str(number), {"update": np.ones(1)}, {"ppo.lr": setting, "seed": seed}, trial=number)
            one = replace(one, summary={"objectives": [worth]})
            summary = {"objectives": [tested.get(number)]}
            tests = [replace(one, name=f"test/{number}", is_test=True, summary=summary)] * (number in tested)
            runs += [one, *tests]
            settings = {"ppo.lr": str(setting), "seed": str(seed)}
            trials.append(TrialRecord(number, "complete", settings, [worth], runs=[one], tests=tests))
        space = axes({"ppo.lr": "choice(0,1,2)", "seed": "choice(0,1)"})
        chart = history(Source("old", "sweep", runs, trials, space=space))
        assert "test seeds" in chart.note or not tested
        assert drawn(chart, "best")[1][0] == drawn(chart, "best so far")[1][-1]
        return [drawn(chart, name)[1] for name in ("complete", "best so far")]

    assert shown({}) == [[2.5, 3.1, 2.1], [2.5, 3.1, 3.1]]
    assert shown({2: 1.0, 4: 1.5}) == [[2.5, 1.0, 1.5], [2.5, 1.0, 1.5]]


def test_an_axis_of_runs_has_their_names(tmp_path: Path) -> None:
    for name, rate in {"run_2": 0.1, "run_10": 0.2, "run_1": 0.3}.items():
        write_run(tmp_path / name, rows(12), settings={"ppo__lr": rate})
    source = read(tmp_path)
    entries = {entry.numbers[0]: entry.name for entry in rank_source(source).entries}
    assert dict(history(source).panels[0].x.ticks) == entries


def test_the_best_so_far_keeps_the_constraints() -> None:
    """Trial 1 is the best and breaks one: the line of the best stays at trial 0 until trial 2 beats it."""
    worths = [(1.0, -1.0), (9.0, 1.0), (2.0, -1.0)]
    trials = [trial(n, {"lr": 0.1 * n}, [w], violations={"l<=1": v}) for n, (w, v) in enumerate(worths)]
    chart = history(of(trials, space={"lr": "interval(0,1)"}))
    assert drawn(chart, "best so far") == ([0, 2], [1.0, 2.0])
    assert drawn(chart, "constraints not kept") == ([1], [9.0])


def test_what_ended_early_stands_at_the_bottom() -> None:
    states = ["complete", "pruned", "complete", "failed", "complete"]
    trials = [
        trial(n, {"lr": 0.1 * n}, [float(n)] if state == "complete" else None, state=state)
        for n, state in enumerate(states)
    ]
    chart = history(of(trials, space={"lr": "interval(0,1)"}))
    assert drawn(chart, "pruned") == ([1], [pytest.approx(-0.24)])  # 6 % of the range of 4
    assert drawn(chart, "failed") == ([3], [pytest.approx(-0.24)])
    layer = layers_of(chart.panels[0])["failed"]
    assert isinstance(layer, Points)
    assert list(layer.hover) == ["Trial 3: failed\nlr=0.3"]


def test_several_objectives_have_a_panel_each() -> None:
    source = with_study(10, num_objectives=2)
    chart = history(source)
    assert [panel.y.label for panel in chart.panels] == ["eval/score", "eval/kl"]
    for place in range(2):
        assert drawn(chart, "complete", place)[1] == [(one.objectives or [])[place] for one in source.trials]


def test_file_and_page_have_the_same_history() -> None:
    results = Results(with_study(20))
    (chart,) = [
        part for part in make_overview_parts(results.source, results.ranking, [], [], []) if part.kind == "chart"
    ]
    assert chart == make_history_chart(results.ranking, results.sweep.views[0].view)


def test_reports_are_lines_by_state_with_the_best_apart() -> None:
    source = with_study(10)
    chart = make_intermediate_values_chart(source, make_views(source)[0])
    assert chart is not None
    (panel,) = chart.panels
    assert panel.x.label == "update"
    assert list(layers_of(panel)) == ["complete", "pruned", "best"]
    x, y = drawn(chart, "best")
    best = max(source.trials, key=lambda one: (one.objectives or [-np.inf])[0])
    assert x[:-1] == [5.0 * step for step in range(1, 41)]
    assert y[-2] == pytest.approx((best.objectives or [0.0])[0] - 1 / 40)
    assert drawn(chart, "pruned")[0][:3] == [5.0, 10.0, pytest.approx(np.nan, nan_ok=True)]


def test_the_ends_of_the_runs_of_several_seeds_are_marked() -> None:
    """Runs of 80 updates; trials report up to update 200, so that a third seed was under way."""
    source = with_study(5)
    config = {"ppo.total_episodes": 32 * 80, "ppo.batch_size": 32}
    runs = [[RunRecord(str(number), {"update": np.ones(1)}, config)] for number in range(5)]
    trials = [replace(each, runs=own) for each, own in zip(source.trials, runs, strict=True)]
    several = replace(source, trials=trials)
    chart = make_intermediate_values_chart(several, make_views(several)[0])
    assert chart is not None
    assert [layer.place for layer in chart.panels[0].layers if isinstance(layer, Rule)] == [80, 160]
    assert chart.panels[0].x.label == "update, counted over a trial's seeds"
    assert "the mean over the seeds so far" in chart.note


def test_reports_of_runs_that_differ_in_length_are_compared_by_share() -> None:
    """Trial 0 is planned with 200 updates, all others with 400."""
    source = with_study(5)
    config = [{"ppo.total_episodes": 32 * (400 if number else 200), "ppo.batch_size": 32} for number in range(5)]
    trials = [
        replace(each, runs=[RunRecord(str(number), {"update": np.ones(1)}, config[number])])
        for number, each in enumerate(source.trials)
    ]
    uneven = replace(source, trials=trials)
    chart = make_intermediate_values_chart(uneven, make_views(uneven)[0])
    assert chart is not None
    assert chart.panels[0].x.label == "per cent of the run"
    ends = {
        text.split(":")[0]: x
        for layer in chart.panels[0].layers
        if isinstance(layer, Line)
        for x, text in zip(layer.x, layer.hover, strict=True)
        if text
    }
    assert ends["trial 0"] == 100
    assert ends["trial 1"] == 50


def test_the_timeline_is_a_bar_for_each_trial() -> None:
    """Trials begin 10 s after each other and run 20 s."""
    chart = make_timeline_chart(with_study(10))
    assert chart is not None
    bars = layers_of(chart.panels[0])
    assert list(bars) == ["complete", "pruned"]
    complete, pruned = bars.values()
    assert isinstance(complete, Bars)
    assert isinstance(pruned, Bars)
    assert list(pruned.places) == [4, 9]
    assert list(pruned.starts) == pytest.approx([40, 90])
    assert list(pruned.ends) == pytest.approx([60, 110])
    assert complete.hover[0] == "trial 0: complete, 20 s"
    assert chart.panels[0].x.label == "seconds since the first trial began"
    assert chart.title == "when the trials ran, from 2026-01-01 00:00 on"
    assert not chart.note


def test_a_timeline_of_one_state_names_it_and_one_without_lengths_is_none() -> None:
    """Of one state there is no legend."""
    source = with_study(10)
    frozen = source.study.get_trials()

    def timeline(seconds: float) -> Chart | None:
        study = optuna.create_study(direction="maximize")
        for each in frozen[:4]:
            each.datetime_complete = each.datetime_start + timedelta(seconds=seconds)
            study.add_trial(each)
        return make_timeline_chart(replace(source, study=study))

    assert timeline(0) is None
    chart = timeline(7200)
    assert chart is not None
    assert chart.note == "state of all trials: complete"
    assert chart.panels[0].x.label == "minutes since the first trial began"


def test_a_state_has_one_colour_in_all_charts_and_none_has_that_of_the_best() -> None:
    source = with_study(10)
    costs = Results(source).costs
    (cost,) = [part for part in cost_view(costs) if isinstance(part, Chart)]
    timeline = make_timeline_chart(source)
    assert timeline is not None
    bars = [
        {name: layer.color for name, layer in chart.legend if isinstance(layer, Bars)} for chart in (cost, timeline)
    ]
    assert bars[0] == bars[1]
    best = layers_of(history(source).panels[0])["best"]
    assert isinstance(best, Points)
    states = ("complete", "pruned", "failed", "test", "diverged", "unfinished")
    assert best.color not in {color_of_state(state) for state in states}
    assert len({color_of_state(state) for state in states[:4]}) == 4


def test_a_study_rebuilt_from_runs_has_no_timeline() -> None:
    sweep = search(hill(-3.3), 20, 0.1, 0)
    source = of(sweep.trials, study=rebuild_study(sweep.trials, sweep))
    assert make_timeline_chart(source) is None
    assert history(source)
