"""Which lines a figure has, their means and what is written."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.curve_runs import SCORES, run, wiggly, write_curves

from analysis.curves.curves import make_curves, select_lasting
from analysis.curves.metrics import choose_metrics, read_curve
from analysis.curves.panels import choose_lines, make_panels
from analysis.curves.thresholds import MAX_LINES
from analysis.records.runs import CUMULATIVE_REWARD, FAILED, REWARD, UNFINISHED, RunRecord, Source
from analysis.results.ranking import list_leaders
from analysis.wording.errors import AnalysisError


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_line_a_run() -> None:
    (first, second) = make_curves(
        [run("a", [1, 2]), run("b", [3.0]), RunRecord("c", {"update": np.empty(0)})], SCORES, None
    )
    assert (first.label, second.label) == ("a", "b")
    assert first.mean.tolist() == [1, 2]
    assert first.num_runs.tolist() == [1, 1]
    assert not first.spread


def test_mean_and_spread_of_groups_by_hand() -> None:
    runs = [run("a", [1, 2], ppo__lr=0.1), run("b", [3, 6], ppo__lr=0.1), run("c", [5, 5], ppo__lr=0.01)]
    small, large = make_curves(runs, SCORES, "ppo.lr")
    assert (small.label, large.label) == ("0.01", "0.1")
    assert large.mean.tolist() == [2, 4]
    assert (large.low.tolist(), large.high.tolist()) == ([1, 2], [3, 6])
    assert large.spread == "lowest to highest run"


def test_quartiles_are_numpys_where_every_group_has_five_runs() -> None:
    values = np.random.default_rng(0).normal(size=(6, 4))
    (curve,) = make_curves([run(str(i), list(row), lr=1) for i, row in enumerate(values)], SCORES, "lr")
    np.testing.assert_allclose(curve.low, np.quantile(values, 0.25, axis=0))
    np.testing.assert_allclose(curve.high, np.quantile(values, 0.75, axis=0))
    assert curve.spread == "middle half of the runs"


def test_a_mean_ends_where_fewer_than_half_of_the_runs_are_left() -> None:
    runs = [run("a", [1, 1, 1, 1]), run("b", [3, 3], state="pruned"), run("c", [5.0], state="failed")]
    (curve,) = make_curves(runs, SCORES, "no key")
    assert curve.updates.tolist() == [1, 2]
    assert curve.mean.tolist() == [3, 2]
    assert curve.num_runs.tolist() == [3, 2]
    assert curve.ends == [(1, "failed"), (2, "pruned")]
    assert [one.name for one in select_lasting(runs, SCORES)] == ["a", "b"]


def test_runs_that_are_never_there_together_have_no_mean_and_that_is_said(tmp_path: Path) -> None:
    apart = [run(name, [1.0, 2, 3, 4, 5], start=start, lr=1) for name, start in (("a", 1), ("b", 11), ("c", 21))]
    (curve,) = make_curves(apart, SCORES, "lr")
    assert (len(curve.updates), curve.is_smoothed, len(curve.runs)) == (0, False, 3)
    text, paths = write_curves(Source("s", "sweep", apart), tmp_path, by="lr", formats=("svg",))
    assert not paths
    assert text == (
        "s: lr=1 has no mean of score and cumulative reward: no update has values of half of its 3 runs "
        "(without --by, each run is a line), so there is nothing to draw"
    )
    together = [run(name, [1.0, 2, 3, 4, 5], lr=2) for name in "de"]
    text, _ = write_curves(Source("s", "sweep", apart + together), tmp_path, by="lr", formats=("svg",))
    assert "lr=1 has no mean of score" in text
    why = "they recorded it at updates that do not overlap"
    assert f"score has no mean of the 2 longest of 3 runs: {why}" in text
    assert {row["group"] for row in read(tmp_path / "curves.csv")} == {"2"}


@pytest.mark.parametrize("by", [None, "lr", "run", "nothing"])
def test_odd_records_are_drawn_as_far_as_they_go(tmp_path: Path, by: str | None) -> None:
    nothing = RunRecord("nothing", {"update": np.empty(0)}, {"lr": 1})
    unknown = run("unknown", [np.nan] * 5, lr=1)
    one = run("one", [1.0], start=40, lr=1)
    whole = run("whole", [1.0, 2, 3], lr=1)
    for some in ([one], [nothing, one], [unknown, one, whole], [unknown], [one, whole, nothing, unknown]):
        text, _ = write_curves(Source("s", "sweep", some), tmp_path, by=by, formats=("svg",))
        assert text


def test_means_are_over_the_seeds_that_choose(tmp_path: Path) -> None:
    chose = [run(f"0/seed_{seed}", [1.0, 1, 1], lr=1) for seed in range(2)]
    tests = [replace(run(f"test/0_seed_{seed}", [7.0, 7, 7], lr=1), is_test=True) for seed in range(3)]
    text, _ = write_curves(Source("s", "sweep", chose + tests), tmp_path, by="lr", formats=("svg",))
    assert {row["value"] for row in read(tmp_path / "curves.csv") if row["metric"] == SCORES} == {"1.0"}
    assert "3 runs on test seeds are left out of the means" in text
    # Where there are no others, and where each line is a run, they are drawn.
    for some, by in ((tests, "lr"), (chose + tests, None), (chose + tests, "run")):
        text, _ = write_curves(Source("s", "sweep", some), tmp_path, by=by, formats=("svg",))
        assert "7.0" in {row["value"] for row in read(tmp_path / "curves.csv")}
        assert "left out" not in text


def test_runs_evaluated_at_other_updates_do_not_make_a_zigzag() -> None:
    """Both runs lie on a line of their own, so their mean does, too, wherever each was evaluated."""
    runs = [run("a", [0, 4, 8, 12], start=1, step=4), run("b", [10, 14, 18, 22], start=3, step=4)]
    (curve,) = make_curves(runs, SCORES, "no key")
    both = curve.num_runs == 2
    updates = curve.updates[both]
    np.testing.assert_allclose(curve.mean[both], ((updates - 1) + (updates + 7)) / 2)
    assert curve.updates.tolist() == [1, 3, 5, 7, 9, 11, 13, 15]


def test_gaps_and_repeated_updates() -> None:
    gap = RunRecord("a", {"update": np.arange(4.0), SCORES: np.array([1, np.nan, np.inf, 4])})
    assert read_curve(gap, SCORES)[0].tolist() == [0, 3]
    twice = RunRecord("b", {"update": np.array([1.0, 1.0, 2.0]), SCORES: np.array([1.0, 3.0, 5.0])})
    assert [column.tolist() for column in read_curve(twice, SCORES)] == [[1, 2], [2, 5]]
    assert read_curve(twice, CUMULATIVE_REWARD)[1].tolist() == [2, 7]


def test_metrics_are_the_panels_patterns_or_all() -> None:
    runs = [wiggly("a")]
    five = [REWARD, CUMULATIVE_REWARD, "loss/policy_avg", "objective/entropy", "objective/kl"]
    assert choose_metrics(runs, None) == five
    assert choose_metrics(runs, ["eval/*", "objective/kl"]) == ["eval/score", "objective/kl"]
    assert choose_metrics(runs, ["eval/*,objective/kl"]) == ["eval/score", "objective/kl"]
    assert choose_metrics(runs, ["all"]) == [*five, "eval/score"]
    assert choose_metrics([run("a", [1.0])], None) == [SCORES, CUMULATIVE_REWARD]
    with pytest.raises(AnalysisError, match=r"metrics: eval/scores: no run has such a metric \(near it: eval/score"):
        choose_metrics(runs, ["eval/scores"])


def test_the_table_holds_what_is_drawn(tmp_path: Path) -> None:
    runs = [wiggly(str(i), ppo__lr=[0.1, 0.2][i % 2], seed=i) for i in range(4)]
    text, paths = write_curves(Source("s", "sweep", runs), tmp_path, by="ppo.lr", smooth=5)
    assert [path.name for path in paths] == ["curves.png", "curves.svg", "curves.csv", "phases.json"]
    rows = [row for row in read(tmp_path / "curves.csv") if row["metric"] == REWARD and row["group"] == "0.2"]
    raw = (runs[1].metrics[REWARD] + runs[3].metrics[REWARD]) / 2
    np.testing.assert_allclose([float(row["value"]) for row in rows], raw)
    inside = np.convolve(raw, np.full(5, 0.2), "valid")
    np.testing.assert_allclose([float(row["smoothed"]) for row in rows][2:-2], inside)
    assert {row["num_runs"] for row in rows} == {"2"}
    assert all(float(row["low"]) <= float(row["smoothed"]) + 1e-9 <= float(row["high"]) + 2e-9 for row in rows)
    assert "ppo.lr=0.1" in text.splitlines()


def test_phases_json_has_sentences_with_their_numbers(tmp_path: Path) -> None:
    text, _ = write_curves(Source("s", "run", [wiggly("a")]), tmp_path, formats=())
    content = json.loads((tmp_path / "phases.json").read_text(encoding="utf-8"))
    kl = next(one for one in content["curves"] if one["metric"] == "objective/kl")
    assert kl["statements"][0]["text"] in text
    assert kl["statements"][0]["evidence"]["KL budget"] == 15
    assert kl["phases"][0]["kind"] == "level"


def test_many_runs_name_the_best_and_few_of_the_rest() -> None:
    runs = [wiggly(str(i), objective=float(i % 17), lr=0.1 * i) for i in range(40)]
    choice = choose_lines(Source("s", "sweep", runs, directions=["maximize"]), [REWARD], None, list_leaders)
    assert list(choice.names) == ["16", "33", "15", "32", "14", "0", "17", "34"]
    assert len(choice.others) == 32
    assert choice.notes == ("named: the 5 best and the 3 worst by objective; grey: the 32 other runs",)
    worst = choose_lines(Source("s", "sweep", runs, directions=["minimize"]), [REWARD], None, list_leaders)
    assert list(worst.names) == ["0", "17", "34", "1", "18", "32", "16", "33"]
    (panel,) = make_panels(choice, [REWARD], None)
    assert len(panel.curves) == 8


@pytest.mark.parametrize(
    ("num_settings", "named"),
    [
        (5, "the best run of each setting, by objective; grey: the 15 other runs"),
        (6, "the best run of each of the 5 best settings and of the worst one, by objective; grey: the 18 other runs"),
        (9, "the best run of each of the 5 best settings and of the 3 worst, by objective; grey: the 28 other runs"),
    ],
)
def test_of_settings_with_several_runs_the_best_run_is_named(num_settings: int, named: str) -> None:
    """Setting i is worth i, and its last seed is the best: of four runs of a setting one has a name."""
    runs = [
        wiggly(f"{i}-{seed}", objective=i + seed / 10, lr=0.1 * i, seed=seed)
        for i in range(num_settings)
        for seed in range(4)
    ]
    choice = choose_lines(Source("s", "table", runs, directions=["maximize"]), [REWARD], None, list_leaders)
    assert next(iter(choice.names)) == f"{num_settings - 1}-3"
    assert choice.notes == (f"named: {named}",)


def test_runs_that_did_not_complete_are_always_drawn() -> None:
    """Of 40 runs ten have no objective. Four of these have a name; the others have a grey line before the rest."""
    incomplete = [*range(4, 40, 4), 39]
    runs = [wiggly(str(i), objective=float(i), lr=0.1 * i) for i in range(40)]
    for place in incomplete:
        runs[place] = replace(runs[place], state=FAILED if place < 30 else UNFINISHED, summary={})
    source = Source("s", "sweep", runs, directions=["maximize"])
    choice = choose_lines(source, [REWARD], None, list_leaders, 8)
    assert list(choice.names) == ["38", "37", "35", "34", "33", "2", "1", "0", "4", "8", "12", "16"]
    assert {str(place) for place in incomplete} <= {*choice.names, *choice.others}
    assert len(choice.others) == 8
    named = "the 5 best and the 3 worst by objective, and 4 of 10 runs that did not complete"
    assert choice.notes == (f"named: {named}; grey: 8 of the 28 other runs",)


def test_many_values_of_a_number_get_a_scale_and_many_names_a_limit() -> None:
    runs = [wiggly(str(i), lr=0.1 * i, model=f"m{i}") for i in range(30)]
    source = Source("s", "sweep", runs)
    assert len(choose_lines(source, [REWARD], "lr").scale) == 30
    by_name = choose_lines(source, [REWARD], "model")
    assert len(by_name.names) < MAX_LINES
    assert len(by_name.names) + len(by_name.others) == 30


def test_drawn_points_are_limited() -> None:
    runs = [RunRecord(str(i), {"update": np.arange(3000.0), SCORES: np.zeros(3000)}) for i in range(300)]
    choice = choose_lines(Source("s", "sweep", runs), [SCORES], None)
    (panel,) = make_panels(choice, [SCORES], None)
    lines = [*panel.curves, *panel.others]
    assert sum(len(line.updates) for line in lines) <= 200_000
    assert all(line.updates[-1] == 2999 for line in lines)
    assert "of the 295 other runs" in choice.notes[0]


@pytest.mark.parametrize("metrics", [None, ["all"]])
@pytest.mark.parametrize("by", [None, "ppo.lr", "no key"])
def test_nothing_recorded_is_said(tmp_path: Path, metrics: list[str] | None, by: str | None) -> None:
    for runs in ([], [RunRecord("a", {"update": np.empty(0)})]):
        text, paths = write_curves(Source("s", "sweep", runs), tmp_path, metrics=metrics, by=by)
        assert (text, paths) == ("s: no run has recorded a metric yet, so there is nothing to draw", [])


@pytest.mark.parametrize("by", [None, "ppo.lr"])
def test_hostile_runs_are_drawn(tmp_path: Path, by: str | None) -> None:
    values = [
        [1.0],
        [1.0, 2.0],
        [np.nan, np.nan],
        [1e300, -1e300, 1.0, 1e300, 5.0, 1e200, 3.0, 2.0],
        [0.0] * 9,
        [1e-300, 2e-300, 3e-300, 9e-300, 1e-299],
    ]
    configs: list[object] = ["a", [1, 2], None, {"b": 1}, True, float("nan")]
    runs = [run(f"${i}_{{", row, ppo__lr=configs[i], state="odd") for i, row in enumerate(values)]
    text, paths = write_curves(Source("s", "sweep", runs), tmp_path, by=by, formats=("png",))
    assert len(paths) == 3
    assert "score has one value: 1 at update 1" in text
