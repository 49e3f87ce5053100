"""The view of a sweep: which parts there are, whatever the record holds, and the same every time."""

from pathlib import Path

import pytest
from helpers.drawn_charts import charts_of
from helpers.records import write_sweep
from helpers.studies import with_study
from helpers.sweep_sources import SPACE, drawn, hill, of, search, swept, trial

from analysis.output.files import write_files
from analysis.output.parts import Rows, Sentences, Table
from analysis.output.plotly_figures import make_figures
from analysis.output.terminal import render_text
from analysis.reading.sources import read
from analysis.records.runs import Source
from analysis.results.results import Results
from analysis.views.sweep import make_sweep_tab, sweep_view


def test_a_search_has_all_charts_that_make_sense() -> None:
    results = Results(with_study(40))
    own = ["importance-0-0", "slices-0-0", "contour-0-0", "parallel-0-0", "intermediate-values", "timeline"]
    assert list(charts_of(make_sweep_tab(results))) == own
    drawn_by_command = charts_of(sweep_view(results))
    assert set(drawn_by_command) == {*own, "history-0-0", "cost"}
    assert {chart.file for chart in drawn_by_command.values()} == {
        "sweep_importance",
        "sweep_slices",
        "sweep_contour",
        "sweep_parallel",
        "sweep_intermediate_values",
        "sweep_timeline",
        "sweep_history",
        "",
    }


def test_reward_models_have_charts_of_their_own() -> None:
    trials = []
    for number, one in enumerate(search(hill(-3.3), 40, 0.1, 0).trials):
        settings = {**one.settings, "reward_model": "ab"[number % 2]}
        trials.append(trial(number, settings, list(one.objectives or [])))
    source = of(trials, space={**SPACE, "reward_model": "choice(a,b)"}, comparison={"judges": []})
    charts = charts_of(sweep_view(Results(source)))
    files = {chart.file for chart in charts.values()}
    kinds = ("history", "importance", "slices", "contour", "parallel")
    assert {f"sweep_{kind}_{label}" for kind in kinds for label in "ab"} <= files
    assert charts["slices-1-0"].title == "objective against each key (reward model b)"
    assert not {"intermediate-values", "timeline"} & set(charts)


def test_charts_of_further_objectives_have_numbers() -> None:
    files = {chart.file for chart in charts_of(sweep_view(Results(with_study(15, num_objectives=2)))).values()}
    assert {"sweep_slices", "sweep_slices_2", "sweep_pareto"} <= files


def test_tables_say_what_the_charts_show() -> None:
    """Shares of importance add up to 100; a slice has a row for each choice."""
    parts = make_sweep_tab(Results(search(hill(-3.3), 40, 0.1, 0)))
    tables = {part.id: part for part in parts if isinstance(part, Table)}
    shares = tables["importance-0-0"]
    assert shares.rows[0][0].text == "ppo.lr"
    assert sum(row[1].value or 0 for row in shares.rows) == pytest.approx(1)
    clip = tables["slice-0-0-2"]
    assert clip.is_folded
    assert [row[0].text for row in clip.rows] == ["0.1", "0.2", "0.3"]
    assert sum(row[4].value or 0 for row in clip.rows) == 40


def test_failed_trials_are_listed_with_their_cause() -> None:
    points = drawn(3, 0)
    states = {"state": "failed", "cause": "diverged", "message": "a\nb"}
    source = of([trial(0, points[0], [1.0]), trial(1, points[1], None, **states), trial(2, points[2], None, **states)])
    (table,) = [part for part in sweep_view(Results(source)) if isinstance(part, Table) and part.id == "failed"]
    assert [[cell.text for cell in row] for row in table.rows] == [["1", "diverged", "a b"], ["2", "diverged", "a b"]]
    assert sweep_view(Results(source))[0] == Sentences(["made: 3 trials: 1 complete, 2 failed (diverged)"])


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
def test_whatever_the_record_holds_there_is_a_text_and_every_chart_is_drawn(name: str, tmp_path: Path) -> None:
    parts = sweep_view(Results(hostile()[name]))
    assert render_text(parts)
    assert all(path.exists() for path in write_files(parts, tmp_path, ["png"]))
    for chart in charts_of(parts).values():
        assert make_figures(chart)


def test_text_and_files_of_a_folder_are_the_same_every_time(tmp_path: Path) -> None:
    points = [{"ppo.lr": lr, "ppo.kl_coef": kl} for lr in (1e-4, 3e-4, 1e-3, 3e-3) for kl in (0.01, 0.02, 0.05)]
    heights = [1.0 + hill(-3.3)(point) for point in points]
    write_sweep(tmp_path / "sweep", points, heights=heights, updates=6)
    first, second = (sweep_view(Results(read(tmp_path / "sweep"))) for _ in range(2))
    assert render_text(first) == render_text(second)
    files, again = write_files(first, tmp_path / "a"), write_files(second, tmp_path / "b")
    assert {"trials.csv", "importance.csv", "ledger.json", "sweep_slices.png"} <= {path.name for path in files}
    for one, other in zip(files, again, strict=True):
        assert (one.name, one.read_bytes()) == (other.name, other.read_bytes())


def test_a_sweep_over_reward_models_alone_has_no_view_of_each() -> None:
    trials = [trial(n, {"reward_model": "ab"[n]}, [float(n)]) for n in range(2)]
    source = of(trials, space={"reward_model": "choice(a,b)"}, comparison={"judges": []})
    parts = make_sweep_tab(Results(source))
    assert [type(part) for part in parts] == [Sentences, Rows]
    assert "each reward model has one setting" in render_text(parts)
    assert "The objectives, each under its own reward model: a 0 and b 1" in " ".join(render_text(parts).split())
    assert "the rest is for each" not in render_text(parts)
    assert not [name for name in charts_of(sweep_view(Results(source))) if name.startswith("history")]
    (rows,) = [part for part in sweep_view(Results(source)) if isinstance(part, Rows) and part.file == "trials.csv"]
    assert [row[0] for row in rows.rows] == [0, 1]
