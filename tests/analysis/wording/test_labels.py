"""A label is rounded, what it stands for is not: values that differ keep labels that differ."""

from pathlib import Path

import numpy as np
import pytest
from helpers.drawn_charts import charts_of
from helpers.records import axes, rows, summary, write_run
from helpers.sweep_sources import of, trial

from analysis.comparison.groups import group_runs
from analysis.curves.curves import group_by_label
from analysis.health.patterns import find_patterns
from analysis.health.signals import Finding
from analysis.reading.sources import read
from analysis.records.runs import RunRecord, Source
from analysis.results.ranking import rank_source
from analysis.results.results import Results
from analysis.sweep.analysis import analyse_sweep
from analysis.sweep.axes import label_choices, label_position, label_positions, make_axes
from analysis.sweep.settings import make_views
from analysis.views.config import config_view
from analysis.views.sweep import sweep_view
from analysis.views.sweep_sentences import write_view_statements
from analysis.wording.labels import label_settings, label_value, label_values, make_identity
from analysis.wording.short_labels import list_labels, shorten_apart

NEAR = (1.2341e-4, 1.2344e-4)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (20240101, "20240101"),
        (1.2341e-4, "0.0001234"),
        (5e-6, "5e-06"),
        (4.0, "4"),
        (True, "true"),
        (None, "none"),
        ("a", "a"),
        ((1, 2), "(1, 2)"),
    ],
)
def test_a_label(value: object, label: str) -> None:
    assert label_value(value) == label


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (NEAR, ["0.00012341", "0.00012344"]),
        ((1e-4, *NEAR), ["0.0001", "0.00012341", "0.00012344"]),
        ((20240101, 20240102, 7), ["20240101", "20240102", "7"]),
        ((20240101.0, 20240103.0), ["20240101", "20240103"]),
        ((0.1 + 0.2, 0.3), ["0.30000000000000004", "0.3"]),
        ((1, "1", 2), ["1", "'1'", "2"]),
        ((True, "true"), ["True", "'true'"]),
        ((1, "1", "'1'"), ["1", "'1'", "\"'1'\""]),
        ((4, 4.0), ["4", "4"]),
    ],
)
def test_different_values_have_different_labels(values: tuple[object, ...], expected: list[str]) -> None:
    assert label_values(values) == expected


def test_which_values_are_the_same() -> None:
    same = [(1, 1.0), ([1, "a"], (1.0, "a")), (float("nan"), float("nan"))]
    other = [(1, "1"), (1, True), (0, False), (None, "none"), (2**53, 2**53 + 1), ((1,), 1), ("nan", float("nan"))]
    assert all(make_identity(one) == make_identity(two) for one, two in same)
    assert not any(make_identity(one) == make_identity(two) for one, two in other)


def test_settings_as_typed() -> None:
    texts = ["0.00012341", "0.00012344", "0.0001", "20240101", "smollm2"]
    assert list(label_settings(texts).values()) == texts
    assert label_settings(["0.000123412345"]) == {"0.000123412345": "0.0001234"}
    assert label_settings(["0.0001", "0.00010001"]) == {"0.0001": "0.0001", "0.00010001": "0.00010001"}


PATHS = [f"/data/reward_models/run_2026/{name}/final/checkpoint-1000" for name in ("helpful", "harmless", "honest")]


@pytest.mark.parametrize(
    "those",
    [
        PATHS,
        [
            "x" * 60 + "abc" + "y" * 60,
            "x" * 60 + "abd" + "y" * 60,
            "z" * 123,
        ],  # equal ends, and one that shares neither
        [f"{n:03}" + "-" * 80 + "end" + f"{n % 2}" for n in range(20)],
        ["m" * 50 + str(n) + "m" * 50 for n in range(7)] + ["other"],
    ],
)
def test_long_texts_are_shortened_until_they_would_be_alike(those: list[str]) -> None:
    assert len(set(shorten_apart(those, 14))) == len(those)
    assert len(set(shorten_apart(those))) == len(those)


def two_rates(folder: Path) -> Source:
    """Runs at two learning rates that agree in three digits, the second one better, two seeds each."""
    for number, (lr, seed) in enumerate((lr, seed) for lr in NEAR for seed in (20240101, 20240102)):
        metrics = rows(20, seed=number, height=2.0 + (lr == NEAR[1]))
        write_run(folder / f"run_{number}", metrics, settings={"ppo__lr": lr, "seed": seed}, end=summary(metrics))
    return read(folder)


def test_near_settings_are_not_merged(tmp_path: Path) -> None:
    source = two_rates(tmp_path)
    ranking = rank_source(source)
    assert [list(entry.names) for entry in ranking.ranked] == [["run_2", "run_3"], ["run_0", "run_1"]]
    assert [entry.settings_text for entry in ranking.ranked] == ["ppo.lr=0.00012344", "ppo.lr=0.00012341"]
    table = next(part for part in config_view(Results(source)) if getattr(part, "id", "") == "differences")
    (row,) = table.rows  # type: ignore[union-attr]
    assert [cell.text for cell in row] == ["ppo.lr", "0.00012344", "0.00012341 (2) and 0.00012344 (2)", "2"]


def test_curves_group_by_value(tmp_path: Path) -> None:
    runs = two_rates(tmp_path).runs
    assert {label: len(those) for label, those in group_by_label(runs, "ppo.lr").items()} == {
        "0.00012341": 2,
        "0.00012344": 2,
    }
    assert list(group_by_label(runs, "seed")) == ["20240101", "20240102"]


def test_groups_are_in_one_order_everywhere() -> None:
    values = ["rm_10", 2, "rm_2", 10, "rm_1", 1.5]
    runs = [RunRecord(str(n), {"update": np.arange(3.0)}, {"x": value}) for n, value in enumerate(values)]
    expected = ["1.5", "2", "10", "rm_1", "rm_2", "rm_10"]
    assert list(group_by_label(runs, "x")) == expected
    assert [group.label for group in group_runs(Source("s", "table", runs), "x").groups] == expected


def test_a_list_counts_what_it_is_given() -> None:
    assert list_labels(["a", "a", "a", "a", "b"]) == "a, a, a and 2 more"
    assert list_labels(["a", "b", "a"]) == "a, b, a"


def test_findings_belong_to_values() -> None:
    """All eight runs at the one rate have the finding, none at the other, and no order is known of texts."""
    values = [f"{'r' * 40}{n % 2}" for n in range(16)]
    runs = [RunRecord(str(n), {"update": np.arange(3.0)}, {"model": value, "x": n}) for n, value in enumerate(values)]
    found = {str(n): [Finding("KL", 1, "text", {}, "advice")] if n % 2 else [] for n in range(16)}
    (pattern,) = find_patterns(Source("s", "folder", runs), found)
    assert pattern.text.startswith(f"only with model={'r' * 40}1: 8 of 8")


def test_trials_near_each_other_in_the_sweep() -> None:
    trials = [trial(n, {"ppo.lr": lr}, [float(n)]) for n, lr in enumerate(NEAR)]
    (view,) = make_views(of(trials, space={"ppo.lr": f"choice({NEAR[0]},{NEAR[1]})"}))
    (analysis,) = analyse_sweep(of(trials, space={"ppo.lr": f"choice({NEAR[0]},{NEAR[1]})"})).views
    (statement, *_) = write_view_statements(analysis)
    assert statement.text == "leading objective 1 (not decided): trial 1, ppo.lr=0.00012344"
    assert label_choices(view.axes[0]) == ["0.00012341", "0.00012344"]
    assert label_positions(view.axes[0], [0.0, 1.0]) == ["0.00012341", "0.00012344"]


def test_ends_of_a_narrow_interval_are_told_apart() -> None:
    (axis,) = make_axes(axes({"ppo.lr": "interval(0.00012341,0.00012344)"}), {})
    assert label_positions(axis, [0.0, 1.0]) == ["0.00012341", "0.00012344"]
    assert label_position(axis, 0.5) == "0.000123"


def test_reward_models_with_equal_ends_have_their_own_charts() -> None:
    names = [f"{letter}{'-very-long-name' * 4}" for letter in "ab"]
    runs = [RunRecord(str(n), {"update": np.arange(3.0)}, {"reward_model.name": names[n % 2]}) for n in range(4)]
    trials = [
        trial(n, {"reward_model": names[n % 2], "ppo.lr": 0.1 * n}, [float(n)], runs=[run])
        for n, run in enumerate(runs)
    ]
    space = {"reward_model": f"choice({','.join(names)})", "ppo.lr": "interval(0,1)"}
    charts = charts_of(sweep_view(Results(of(trials, space=space)))).values()
    files = [chart.file for chart in charts if chart.file]
    assert len(set(files)) == len(files)
    assert sum("history" in file for file in files) == 2


def test_whole_numbers_are_the_same_however_they_are_written(tmp_path: Path) -> None:
    for name, coefficient, seed in (("a", 1, 0), ("b", 1.0, 1), ("c", 2, 0), ("d", 2.0, 1)):
        metrics = rows(20, seed=seed, height=float(coefficient))
        write_run(tmp_path / name, metrics, settings={"ppo__kl_coef": coefficient, "seed": seed})
    ranking = rank_source(read(tmp_path))
    assert [list(entry.names) for entry in ranking.ranked] == [["c", "d"], ["a", "b"]]
    assert [entry.settings_text for entry in ranking.ranked] == ["ppo.kl_coef=2", "ppo.kl_coef=1"]
