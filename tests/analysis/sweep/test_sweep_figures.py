"""The sweep's figures and text: what is there, how large, and the same every time."""

import datetime
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from helpers.records import axes, rows, write_run, write_sweep
from helpers.sweep_sources import SPACE, drawn, hill, of, search, swept, trial

from analysis.reading.sources import read
from analysis.reading.study import rebuilt_study
from analysis.records.runs import RunRecord, Source, Trial
from analysis.results.ranking import rank
from analysis.sweep.figures import figures
from analysis.sweep.text import write_sweep_views
from analysis.views.overview import history
from analysis.wording.short_labels import shorten_apart

DISTRIBUTIONS = {
    "ppo.lr": optuna.distributions.FloatDistribution(1e-5, 1e-2, log=True),
    "ppo.kl_coef": optuna.distributions.FloatDistribution(0.002, 0.5, log=True),
    "ppo.clip_range": optuna.distributions.CategoricalDistribution([0.1, 0.2, 0.3]),
}


def with_study(num: int, num_objectives: int = 1) -> Source:
    """A search as Optuna keeps it: every fifth trial pruned, reports every 5 updates."""
    directions = ["maximize", "minimize"][:num_objectives]
    study = optuna.create_study(directions=directions)
    random = np.random.default_rng(0)
    trials = []
    start = datetime.datetime(2026, 1, 1)
    for number, point in enumerate(drawn(num, 0)):
        values = [hill(-3.3)(point) + 0.1 * random.standard_normal(), float(random.random())][:num_objectives]
        is_pruned = number % 5 == 4 and num_objectives == 1
        reports = {5 * step: values[0] - 1 / step for step in range(1, 3 if is_pruned else 41)}
        one = optuna.trial.create_trial(
            state=optuna.trial.TrialState.PRUNED if is_pruned else optuna.trial.TrialState.COMPLETE,
            values=None if is_pruned else values,
            params=dict(point),
            distributions=DISTRIBUTIONS,
            intermediate_values=reports if num_objectives == 1 else {},
        )
        one.datetime_start = start + datetime.timedelta(seconds=10 * number)
        one.datetime_complete = one.datetime_start + datetime.timedelta(seconds=20)
        study.add_trial(one)
        state = "pruned" if is_pruned else "complete"
        trials.append(trial(number, dict(point), None if is_pruned else values, state=state, seconds=20.0))
    metrics = ["eval/score", "eval/kl"][:num_objectives]
    return of(trials, study=study, metrics=metrics, directions=directions)


def test_a_search_has_all_figures_that_make_sense() -> None:
    assert list(figures(with_study(40))) == [
        "history",
        "importance",
        "slice",
        "contour",
        "parallel_coordinates",
        "intermediate_values",
        "timeline",
    ]


def test_two_objectives_have_a_front() -> None:
    built = figures(with_study(30, num_objectives=2))
    assert "pareto" in built
    assert not {"history", "slice", "contour", "intermediate_values"} & set(built)
    others, front = built["pareto"].data
    points = [(x, -y) for trace in (others, front) for x, y in zip(trace.x, trace.y, strict=True)]
    unbeaten = {p for p in points if not any(q != p and q[0] >= p[0] and q[1] >= p[1] for q in points)}
    assert len(points) == 30
    assert {(x, -y) for x, y in zip(front.x, front.y, strict=True)} == unbeaten
    assert list(front.x) == sorted(front.x)  # the line goes from one to the next
    assert set(front.text) | set(others.text) == {str(number) for number in range(30)}


def test_labels_are_told_apart() -> None:
    assert shorten_apart(["tiny", "vader"], 8) == ["tiny", "vader"]
    assert shorten_apart(["models/a/final", "models/bc/final"], 8) == ["…els/a…", "…els/bc…"]
    assert shorten_apart(["models/one/large/a", "models/two/small/b"], 9) == [
        "mod…ge/a",
        "mod…ll/b",
    ]  # too much differs


def _ticks(axis: Any) -> dict[str, str]:
    return {value.strip("'"): text for value, text in zip(axis.tickvals or (), axis.ticktext or (), strict=True)}


def test_long_choices_are_told_apart_in_few_letters(tmp_path: Path) -> None:
    start = "organization-with-a-long-name/reward-model-of-size-"
    names = [f"{start}{size}-tuned-on-helpful-answers" for size in (1, 2, 10)]
    write_sweep(tmp_path, [{"reward_model.path": name, "ppo.kl_coef": kl} for name in names for kl in (0.01, 0.1)])
    built = figures(read(tmp_path))
    (ticks,) = [ticks for axis in built["slice"].select_xaxes() if names[0] in (ticks := _ticks(axis))]
    assert ticks == dict(zip(names, ["…del-of-size-1…", "…del-of-size-2…", "…del-of-size-10…"], strict=True))
    labels = {d["label"]: d["ticktext"] for d in built["parallel_coordinates"].data[0].dimensions if d["ticktext"]}
    assert labels["reward_model.path"] == ("…d-model-of-size-1…", "…d-model-of-size-2…", "…d-model-of-size-10…")


@pytest.fixture(scope="module")
def large() -> dict[str, Any]:
    """Of 500 trials."""
    return figures(with_study(500))


@pytest.mark.slow
def test_no_figure_grows_with_the_sweep(large: dict[str, Any]) -> None:
    sizes = {name: len(figure.to_json()) for name, figure in large.items()}
    assert max(sizes.values()) < 100_000, sizes
    assert len(large["intermediate_values"].data) == 40


def test_titles_are_plain_and_say_what_is_left_out(large: dict[str, Any]) -> None:
    titles = {name: figure.layout.title.text for name, figure in large.items()}
    assert titles["history"] == "eval/score by trial"
    assert titles["intermediate_values"] == "eval/score by update, 40 of 500 trials"
    assert titles["timeline"] == "Trials over time, the last 200"
    assert titles["parallel_coordinates"] == "All settings"


def test_figures_are_the_same_every_time() -> None:
    first, second = ({name: one.to_json() for name, one in figures(with_study(20)).items()} for _ in range(2))
    assert first == second


def test_the_contour_shows_the_surface_where_it_is_known() -> None:
    contour = figures(with_study(60))["contour"]
    surface = contour.data[0]
    assert contour.layout.xaxis.title.text == "ppo.lr"
    heights = np.array(surface.z)
    top = surface.x[int(heights.mean(axis=0).argmax())]
    assert np.log10(top) == pytest.approx(-3.3, abs=3 / 29)  # a step of its grid


def test_keys_that_are_not_active_lie_below_their_axis() -> None:
    points = drawn(30, 1)
    for point in points[::2]:
        del point["ppo.kl_coef"]
    sweep = swept(points, [[hill(-3.3)(point)] for point in points])
    dimensions = {one.label: one for one in figures(sweep)["parallel_coordinates"].data[0].dimensions}
    kl = dimensions["ppo.kl_coef"]
    assert kl.ticktext[0] == "not active"
    assert sum(value == kl.tickvals[0] for value in kl["values"]) == 15


def test_a_study_rebuilt_from_runs_has_no_timeline() -> None:
    sweep = search(hill(-3.3), 20, 0.1, 0)
    source = of(sweep.trials, study=rebuilt_study(sweep.trials, sweep))
    built = figures(source)
    assert "history" in built
    assert "timeline" not in built


def test_reward_models_have_figures_of_their_own() -> None:
    trials = []
    for number, one in enumerate(search(hill(-3.3), 40, 0.1, 0).trials):
        settings = {**one.settings, "reward_model": "ab"[number % 2]}
        trials.append(trial(number, settings, list(one.objectives or [])))
    built = figures(of(trials, space={**SPACE, "reward_model": "choice(a,b)"}, comparison={"judges": []}))
    assert {"importance-a", "importance-b", "contour-a", "parallel_coordinates-b"} <= set(built)
    assert "history" not in built


def hostile() -> dict[str, Source]:
    points = drawn(20, 0)
    failed = [trial(n, point, None, state="failed", cause="diverged", message="a\nb") for n, point in enumerate(points)]
    return {
        "nothing": Source("x", "folder", []),
        "one": of([trial(0, points[0], [1.0])]),
        "all failed": of(failed),
        "all running": of([trial(n, point, None, state="running") for n, point in enumerate(points)]),
        "all equal": swept(points, [[1.0]] * 20),
        "nan": of([trial(n, point, [float("nan") if n % 2 else 1.0 * n]) for n, point in enumerate(points)]),
        "huge": of([trial(n, point, [1e308 if n == 3 else -1e308 if n == 4 else n]) for n, point in enumerate(points)]),
        "other objectives": of([trial(n, point, [1.0, 2.0]) for n, point in enumerate(points)]),
        "no settings": of([trial(n, {}, [1.0 * n]) for n in range(20)]),
        "words": swept([{"ppo.lr": "abc" if n % 2 else "1e-3"} for n in range(20)], [[1.0 * n] for n in range(20)]),
        "outside": swept([{"ppo.lr": 10.0 ** (n - 10)} for n in range(20)], [[1.0 * n] for n in range(20)]),
        "bad space": swept(points, [[1.0 * n] for n in range(20)], space={"ppo.lr": "interval(a,b)", "x": ")("}),
        "constraints": of([trial(n, point, [1.0 * n], violations={"k<1": n - 10.0}) for n, point in enumerate(points)]),
    }


@pytest.mark.parametrize("name", hostile())
def test_whatever_the_record_holds_there_is_a_text(name: str, tmp_path: Path) -> None:
    source = hostile()[name]
    text, paths = write_sweep_views(source, tmp_path)
    assert text
    assert all(path.exists() for path in paths)
    for figure in figures(source).values():
        json.loads(figure.to_json())


def test_text_and_files_of_a_folder_are_the_same_every_time(tmp_path: Path) -> None:
    points = [{"ppo.lr": lr, "ppo.kl_coef": kl} for lr in (1e-4, 3e-4, 1e-3, 3e-3) for kl in (0.01, 0.02, 0.05)]
    heights = [1.0 + hill(-3.3)(point) for point in points]
    write_sweep(tmp_path / "sweep", points, heights=heights, updates=6)
    first, files = write_sweep_views(read(tmp_path / "sweep"), tmp_path / "a")
    second, again = write_sweep_views(read(tmp_path / "sweep"), tmp_path / "b")
    assert first == second
    assert [path.name for path in files] == [path.name for path in again]
    assert {"trials.csv", "importance.csv", "ledger.json", "sweep_slices.png"} <= {path.name for path in files}
    for one, other in zip(files, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    assert "ppo.lr matters" in first
    assert "best eval/score" in first


def numbered(folder: Path) -> Source:
    """Trials 2, 5 and 11 of a sweep; of the others, and of its study, nothing is left."""
    write_sweep(folder, [{"ppo.lr": 10.0**-n} for n in range(2, 14)], updates=12, heights=list(range(12)), study=False)
    for number in set(range(12)) - {2, 5, 11}:
        shutil.rmtree(folder / str(number))
    return read(folder)


def test_a_trial_axis_shows_numbers(tmp_path: Path) -> None:
    source = numbered(tmp_path / "s")
    assert [trial.number for trial in source.trials] == [2, 5, 11]
    made = figures(source)
    assert list(made["history"].data[0].x) == [2, 5, 11]
    assert {trace.name for trace in made["intermediate_values"].data} == {"Trial2", "Trial5", "Trial11"}
    shown = history(rank(source))
    assert shown is not None
    assert [trace["x"] for trace in shown.data] == [[2, 5, 11], [2, 5, 11]]


def test_the_picture_is_of_settings_and_its_line_ends_at_the_star() -> None:
    """Two seeds of each; the luckiest run, of 4, is of a setting worth 2.5. Tests change that."""

    def shown(tested: dict[int, float]) -> list[tuple[str, list[float]]]:
        runs, trials = [], []
        for number, worth in enumerate([4.0, 1.0, 3.0, 3.2, 2.0, 2.2]):
            setting, seed = number // 2, number % 2
            one = RunRecord(str(number), {"update": np.ones(1)}, {"ppo.lr": setting, "seed": seed}, trial=number)
            one = replace(one, summary={"objectives": [worth]})
            summary = {"objectives": [tested.get(number)]}
            tests = [replace(one, name=f"test/{number}", is_test=True, summary=summary)] * (number in tested)
            runs += [one, *tests]
            settings = {"ppo.lr": str(setting), "seed": str(seed)}
            trials.append(Trial(number, "complete", settings, [worth], runs=[one], tests=tests))
        space = axes({"ppo.lr": "choice(0,1,2)", "seed": "choice(0,1)"})
        figure = history(rank(Source("old", "sweep", runs, trials, space=space)))
        assert figure is not None
        points, line, *_ = figure.data
        star = points["marker"]["symbol"].index("star")
        assert line["y"][-1] == points["y"][star]
        return [(trace["name"], trace["y"]) for trace in (points, line)]

    assert shown({}) == [("complete", [2.5, 3.1, 2.1]), ("best so far", [2.5, 3.1, 3.1])]
    assert shown({2: 1.0, 4: 1.5}) == [("complete", [2.5, 1.0, 1.5]), ("best so far", [2.5, 1.0, 1.5])]


def test_an_axis_of_runs_has_their_names(tmp_path: Path) -> None:
    for name, rate in {"run_2": 0.1, "run_10": 0.2, "run_1": 0.3}.items():
        write_run(tmp_path / name, rows(12), settings={"ppo__lr": rate})
    shown = history(rank(read(tmp_path)))
    assert shown is not None
    axis = shown.layout["xaxis"]
    entries = {entry.numbers[0]: entry.name for entry in rank(read(tmp_path)).entries}
    assert dict(zip(axis["tickvals"], axis["ticktext"], strict=True)) == entries
