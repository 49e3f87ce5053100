"""A comparison's files: the same bytes for the same record, tables that hold what was found, figures of any size."""

import csv
import json

import numpy as np
import pytest

from analysis.comparison.compare import compare
from analysis.comparison.figures import judges_figure, probability_figure, values_figure, write_comparison
from analysis.comparison.frontier import all_frontiers
from analysis.comparison.kl_figures import frontier_figure, matched_figure
from analysis.comparison.matched_kl import matched_kl_of
from analysis.records.runs import RunRecord, Source

UPDATES = np.arange(1.0, 7)
KLS = UPDATES**2 / 2


def record(num_groups, num_seeds=3, *, judges=("a", "b"), name="{}"):
    """Groups that are better the later they come, with evaluations under their own reward model and judges."""
    runs = []
    for group in range(num_groups):
        for seed in range(num_seeds):
            random = np.random.default_rng(1000 * group + seed)
            gains = np.sqrt(KLS) * (1 + 0.1 * group - 0.3 * np.log(np.sqrt(KLS))) + 0.05 * random.normal(size=6)
            metrics = {"update": UPDATES, "eval/kl": KLS, "eval/score": gains, "eval/base_score": np.zeros(6)}
            metrics["eval/win_rate"] = np.clip(0.5 + 0.1 * gains, 0, 1)
            for judge in judges:
                metrics |= {f"judge/{judge}/score": gains, f"judge/{judge}/base_score": np.zeros(6)}
                metrics[f"judge/{judge}/win_rate"] = np.clip(0.5 + 0.1 * gains + 0.02 * random.normal(size=6), 0, 1)
            config = {"reward_model.name": name.format(group), "seed": seed}
            summary = {"objective": float(gains.max()), "best_update": float(UPDATES[gains.argmax()])}
            runs.append(RunRecord(f"{group}/seed_{seed}", metrics, config, summary=summary))
    return Source("made up", "sweep", runs)


def texts(figure):
    """Everything that is written in a figure."""
    figure.draw_without_rendering()
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    for axes in figure.axes:
        found += [label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
        found += [axes.get_title(), axes.get_title("left"), axes.get_xlabel(), axes.get_ylabel()]
    return found


def test_files_hold_what_was_found(tmp_path):
    text, paths = write_comparison(record(3), tmp_path, by="reward_model", formats=("svg",))
    names = ["comparison.csv", "comparison.json"]
    names += [f"comparison_{name}.svg" for name in ("values", "probability", "judges", "frontier", "matched_kl")]
    assert [path.name for path in paths] == names
    assert all(path.stat().st_size > 0 for path in paths)
    with (tmp_path / "comparison.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["reward_model"] for row in rows] == ["2", "1", "0"]
    assert [row["place"] for row in rows] == ["1", "2", "3"]
    assert float(rows[0]["low"]) < float(rows[0]["percentile_low"]) <= float(rows[0]["value"])
    assert rows[0]["verdict"] == ""
    content = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert content["measure"] == "win rate under the other judges"
    assert len(content["pairs"]) == 3
    assert set(content["frontiers"]) == {"own reward model", "a", "b"}
    assert len(content["matched_kl"]["levels"]) == 3
    assert content["groups"][0]["estimate"]["num_runs"] == 3
    assert max(map(len, text.splitlines())) <= 120


def test_the_same_record_gives_the_same_bytes(tmp_path):
    written = []
    for name in ("one", "two"):
        text, paths = write_comparison(record(2, judges=("a",)), tmp_path / name, by="reward_model")
        written.append((text, [path.read_bytes() for path in paths]))
    assert written[0] == written[1]
    assert len(written[0][1]) == 12


def test_values_that_are_unknown_are_empty(tmp_path):
    write_comparison(record(2, num_seeds=1), tmp_path, by="reward_model", formats=())
    rows = list(csv.DictReader((tmp_path / "comparison.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["low"], row["adjusted_p"]) for row in rows] == [("", ""), ("", "")]
    content = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert content["groups"][0]["estimate"]["low"] is None
    assert content["winner"] is None


def test_a_record_without_values_still_gives_tables(tmp_path):
    empty = Source("made up", "sweep", [RunRecord("a", {"update": np.empty(0)}, {"key": 1})])
    text, paths = write_comparison(empty, tmp_path, by="key")
    assert [path.name for path in paths] == ["comparison.csv", "comparison.json"]
    assert "nothing to compare" in text


def test_values_in_order_with_their_runs():
    figure = values_figure(compare(record(3), "reward_model"))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["2  (3)", "1  (3)", "0  (3)"]
    low, high = figure.axes[0].get_ylim()
    assert low > high  # the best on top


def test_probabilities_show_what_is_within_noise():
    comparison = compare(record(3), "reward_model")
    figure = probability_figure(comparison)
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    faces = [point.get_markerfacecolor() == "white" for point in points]
    verdicts = [comparison.ranking.against_best(label).verdict for label in comparison.ranking.labels[1:]]
    assert faces == [verdict == "within noise" for verdict in verdicts]
    assert probability_figure(compare(record(3, num_seeds=1), "reward_model")) is None
    assert probability_figure(compare(record(1), "reward_model")) is None


def test_the_heat_map_has_its_numbers_in_the_cells():
    matrix = compare(record(2, name="{}"), "reward_model").matrix
    found = texts(judges_figure(matrix))
    for label in ("0", "1"):
        cell = matrix.cells[label, "a"]
        assert f"{100 * cell.win_rate:.0f} [{100 * cell.low:.0f}, {100 * cell.high:.0f}]" in found
    frames = [patch for patch in judges_figure(matrix).axes[0].patches if not patch.get_fill()]
    assert len(frames) == 2  # own judges


@pytest.mark.parametrize("num_groups", [2, 33])
def test_many_groups_are_cut_and_that_is_said(num_groups):
    comparison = compare(
        record(num_groups, 2, name="a-rather-long-organisation/and-a-long-model-{:03d}"), "reward_model"
    )
    frontiers = all_frontiers(comparison.grouping)
    labels = [group.label for group in comparison.groups]
    matched = matched_kl_of(comparison.grouping)
    figures = [
        values_figure(comparison),
        probability_figure(comparison),
        judges_figure(comparison.matrix),
        frontier_figure(frontiers, labels),
        matched_figure(matched),
    ]
    said = [
        "the best 30 of 33 groups",
        "3 more groups are left out",
        "30 of 33 groups",
        "of the best 8 groups",
        "the best 30 groups",
    ]
    for figure, words in zip(figures, said, strict=True):
        assert figure.get_size_inches().max() < 16
        written = " ".join([*texts(figure), figure.get_supxlabel()])
        assert (words in written) == (num_groups == 33)
        assert all(len(label) <= 34 for label in written.split() if "model-0" in label)


def test_frames_are_not_blown_up_by_wide_intervals():
    source = record(2, 2, judges=())
    for run, objective in zip(source.runs, (1.0, 3.0, 1.1, 1.2), strict=True):
        run.summary["objective"] = objective
        run.config["reward_model.name"] = "one"
        run.config["key"] = run.name[0]
    comparison = compare(source, "key")
    assert comparison.groups[0].estimate.high > 10
    low, high = values_figure(comparison).axes[0].get_xlim()
    assert -2 < low < 1 < 3 < high < 6
