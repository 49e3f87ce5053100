"""Other people's curves in the figure, the files and the sentences of `curves`, but nowhere among our runs."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from helpers.curve_runs import wiggly, write_curves
from helpers.records import write_sweep

from analysis.command import main
from analysis.output.charts import Chart, Line
from analysis.reading.beside import read_beside
from analysis.records.runs import REWARD, UPDATE, RunRecord, Source
from analysis.results.results import Results
from analysis.views.curves import curves_view
from analysis.wording.errors import AnalysisError

KL, ENTROPY = "objective/kl", "objective/entropy"
PUBLISHED = ROOT / "analysis" / "published" / "smollm2_human_like.csv"


def published(start: int = 1, num: int = 30, **metrics: float) -> RunRecord:
    columns = {
        name.replace("__", "/"): np.full(num, value) for name, value in (metrics or {"objective__kl": 9.0}).items()
    }
    return RunRecord("published", {UPDATE: start + np.arange(float(num)), **columns})


def chart_of(runs: list[RunRecord], beside: list[RunRecord], **options: Any) -> Chart:
    parts = curves_view(Results(Source("s", "sweep", runs)), beside=beside, **options)
    (chart,) = [part for part in parts if isinstance(part, Chart)]
    return chart


def dashed(chart: Chart, panel: int) -> list[Line]:
    return [layer for layer in chart.panels[panel].layers if isinstance(layer, Line) and layer.dash == "dash"]


@pytest.mark.parametrize("by", [None, "lr"])
def test_the_file_has_a_line_of_its_own_in_the_panels_that_it_knows(by: str | None) -> None:
    runs = [wiggly("a", lr=1), wiggly("b", lr=1)]
    chart = chart_of(runs, [published()], metrics=[KL, ENTROPY], by=by)
    (line,) = dashed(chart, 0)
    assert (list(line.y), list(line.x)) == ([9.0] * 30, list(range(1, 31)))
    assert dashed(chart, 1) == []
    names = [name for name, _ in chart.legend]
    assert names == [*(["a", "b"] if by is None else ["lr=1 (2 runs)"]), "published"]
    assert "dark and dashed: published, not among our runs" in chart.note


def test_a_run_alone_has_a_legend_then() -> None:
    assert [name for name, _ in chart_of([wiggly("a")], [published()]).legend] == ["a", "published"]
    # A file that is called as the run is.
    twin = replace(published(), name="a")
    assert [name for name, _ in chart_of([wiggly("a")], [twin]).legend] == ["a", "a (beside)"]


def test_several_files_have_lines_that_differ() -> None:
    files = [replace(published(), name=name) for name in "pqrst"]
    looks = {(layer.color, layer.dash) for _, layer in chart_of([wiggly("a")], files).legend if isinstance(layer, Line)}
    assert len(looks) == 6


def test_it_is_smoothed_over_the_same_window_as_ours() -> None:
    """A mean over five updates: 20 / 5 around a single 20."""
    spike = published(num=30)
    spike.metrics[KL][:] = 0
    spike.metrics[KL][14] = 20
    (smooth,) = dashed(chart_of([wiggly("a")], [spike], metrics=[KL], smooth=5), 0)
    assert max(smooth.y) == pytest.approx(4)
    (raw,) = dashed(chart_of([wiggly("a")], [spike], metrics=[KL], smooth=1), 0)
    assert max(raw.y) == 20


def test_what_is_compared_is_what_is_drawn(tmp_path: Path) -> None:
    """A single 20 is 4 in a mean over five updates, below ours, which is about 5."""
    ours = replace(published(objective__kl=5.0), name="a")
    ours.metrics[KL][::2] += 0.1  # a straight line would be left as it is, and so would the panel
    spike = published(objective__kl=0.0)
    spike.metrics[KL][14] = 20
    options: dict[str, Any] = {"metrics": [KL], "beside": [spike]}
    text, _ = write_curves(Source("s", "run", [ours]), tmp_path, (), smooth=5, **options)
    assert "KL divergence of published lies below ours at all 30 updates" in text
    text, _ = write_curves(Source("s", "run", [ours]), tmp_path, (), smooth=1, **options)
    assert "below ours until update 14, above ours at update 15, below ours from update 16 on" in text


def test_each_line_is_compared_with_each_file(tmp_path: Path) -> None:
    lines = [replace(published(objective__kl=level), name=name) for name, level in (("a", 1.0), ("b", 3.0))]
    files = [published(objective__kl=2.0), replace(published(objective__kl=4.0), name="other")]
    text, _ = write_curves(Source("s", "folder", lines), tmp_path, (), metrics=[KL], beside=files)
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("Compared with")]
    assert [(title, sentence.partition(" at all ")[0]) for title, sentence in blocks] == [
        ("Compared with published: a", "  KL divergence of published lies above ours"),
        ("Compared with published: b", "  KL divergence of published lies below ours"),
        ("Compared with other: a", "  KL divergence of other lies above ours"),
        ("Compared with other: b", "  KL divergence of other lies above ours"),
    ]


@pytest.mark.parametrize(
    ("entropy", "is_of_token"),
    [(1.7, True), (40.0, False), (7.0, True), (8.0, False)],  # 7.7 is as far from 1 as from 60, as a ratio
)
def test_an_entropy_is_that_of_ours_whose_size_it_has(entropy: float, is_of_token: bool, tmp_path: Path) -> None:
    both = {"objective__entropy": 60.0, "policy__entropy_avg": 1.0}
    ours = replace(published(objective__kl=1.0, **both), name="a")
    theirs = published(objective__entropy=entropy)
    text, _ = write_curves(Source("s", "run", [ours]), tmp_path, (), beside=[theirs])
    metric = "policy/entropy_avg" if is_of_token else "entropy"
    assert f"  {metric} of published lies {'below' if entropy == 40 or entropy == 8 else 'above'} ours" in text
    note = (
        f"published: its entropy (median {entropy:g}) is compared with policy/entropy_avg, a mean over tokens (ours: 1)"
    )
    assert (note in text.replace("\n    ", " ")) == is_of_token
    # Whoever names the metric gets it.
    named, _ = write_curves(Source("s", "run", [ours]), tmp_path, (), metrics=[ENTROPY], beside=[theirs])
    assert "entropy of published lies below ours at all 30 updates, by" in named


def test_an_entropy_stays_the_sum_where_ours_has_no_other(tmp_path: Path) -> None:
    ours = replace(published(objective__entropy=60.0), name="a")
    text, _ = write_curves(Source("s", "run", [ours]), tmp_path, (), beside=[published(objective__entropy=1.7)])
    assert "  entropy of published lies below ours at all 30 updates, by 58.3" in text


def test_the_first_updates_are_aligned(tmp_path: Path) -> None:
    text, _ = write_curves(Source("s", "run", [wiggly("a")]), tmp_path, (), metrics=[KL], beside=[published(start=0)])
    assert "  published counts updates from 0, our runs from 1: its first one is drawn at 1" in text
    assert "lies above ours at all 30 updates, by" in text
    late, _ = write_curves(Source("s", "run", [wiggly("a")]), tmp_path, (), metrics=[KL], beside=[published(start=11)])
    assert "counts updates from" not in late
    assert "  published covers updates 11 to 40, our runs 1 to 30: only what both cover is compared" in late


def test_every_drawn_number_is_in_the_files(tmp_path: Path) -> None:
    runs = [wiggly(str(i), lr=1) for i in range(3)]
    text, _ = write_curves(
        Source("s", "sweep", runs), tmp_path, (), metrics=[KL, REWARD], by="lr", beside=[published(start=0)]
    )
    with (tmp_path / "curves.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    theirs = [row for row in rows if row["beside"] == "published"]
    assert [(row["update"], row["value"], row["smoothed"]) for row in theirs] == [
        (str(update), "9.0", "9.0") for update in range(1, 31)
    ]
    assert {(row["group"], row["run"], row["num_runs"]) for row in theirs} == {("", "", "")}
    assert len(rows) == 30 * 3  # ours in two metrics
    document = json.loads((tmp_path / "phases.json").read_text(encoding="utf-8"))["beside"]
    (curve,) = document["curves"]
    assert (curve["file"], curve["metric"], curve["phases"][0]["kind"]) == ("published", KL, "level")
    (comparison,) = document["comparisons"]
    assert (comparison["file"], comparison["group"], comparison["metric"]) == ("published", "1", KL)
    assert (
        comparison["level"]["text"] == "KL divergence of published lies above the band of our 3 runs at all 30 updates"
    )
    assert comparison["shape"]["text"] == "both end about where they start"
    assert f"  {comparison['level']['text']}; {comparison['shape']['text']}" in text.splitlines()
    assert "  the band of our runs: lowest to highest run, each smoothed as drawn" in text.splitlines()


def test_without_a_file_nothing_changes(tmp_path: Path) -> None:
    write_curves(Source("s", "run", [wiggly("a")]), tmp_path, ())
    assert "beside" not in (tmp_path / "curves.csv").read_text(encoding="utf-8")
    assert "beside" not in json.loads((tmp_path / "phases.json").read_text(encoding="utf-8"))


def test_what_is_said_of_our_runs_stays(tmp_path: Path) -> None:
    """The file is no run: with it, every sentence on ours and every row of ours is the same."""
    runs = [wiggly(str(i), lr=0.1 * i) for i in range(3)]
    alone, _ = write_curves(Source("s", "sweep", runs), tmp_path / "alone", ())
    both, _ = write_curves(Source("s", "sweep", runs), tmp_path / "both", (), beside=[published()])
    assert both.startswith(alone)
    rows, more = (
        (tmp_path / name / "curves.csv").read_text(encoding="utf-8").splitlines() for name in ("alone", "both")
    )
    assert [f"{row}," for row in rows[1:]] == [row for row in more[1:] if row.endswith(",")]


def test_values_that_cannot_stand_on_a_logarithmic_axis_make_it_linear() -> None:
    wild = wiggly("b")
    wild.metrics[KL][-3:] = 1e5
    assert chart_of([wild], [published()], metrics=[KL]).panels[0].y.is_log
    assert not chart_of([wild], [published(objective__kl=-1.0)], metrics=[KL]).panels[0].y.is_log


def test_an_axis_of_episodes_takes_the_files_episodes() -> None:
    run = wiggly("a", ppo__batch_size=32)
    file = published(num=15, objective__kl=9.0)
    file.metrics["episode"] = 64 * file.updates  # type: ignore[index]
    (line,) = dashed(chart_of([run], [file], metrics=[KL], axis="episode"), 0)
    assert list(line.x) == list(range(64, 961, 64))
    with pytest.raises(AnalysisError, match=r"^--beside published: has no column `episode`, which the axis counts"):
        chart_of([run], [published()], metrics=[KL], axis="episode")
    counted = replace(file, axis="episode")
    with pytest.raises(AnalysisError, match=r"counts its rows by episode, our runs by update .* or --x episodes\)$"):
        chart_of([run], [counted], metrics=[KL], axis="update")


def test_a_file_without_a_drawn_metric_is_refused() -> None:
    with pytest.raises(AnalysisError) as error:
        chart_of([wiggly("a")], [published(loss=1.0)], metrics=[KL])
    assert (
        str(error.value) == "--beside published: none of its columns is drawn (it has: loss; drawn are: objective/kl)"
    )


def test_the_published_run_beside_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sweep(tmp_path / "grid", [{"ppo.kl_coef": 0.01}, {"ppo.kl_coef": 0.02}], updates=12)
    command = ["curves", str(tmp_path / "grid"), "--by", "kl_coef", "--beside", str(PUBLISHED), "--format", "svg"]
    assert main(command) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "Compared with smollm2_human_like: ppo.kl_coef=0.01" in output
    assert "step reward of smollm2_human_like " in output
    assert "smollm2_human_like" in (tmp_path / "grid" / "analysis" / "curves.svg").read_text(encoding="utf-8")


def test_a_missing_file_is_told_before_anything_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curves", str(tmp_path / "no run"), "--beside", str(tmp_path / "no.csv")]) == 2
    assert capsys.readouterr().err == f"error: --beside {tmp_path}/no.csv: there is no such file\n"


def test_a_metric_by_trls_definition_is_laid_beside_the_published_one(tmp_path: Path) -> None:
    """As analysis/published/README.md says: a copy of the file whose column has the full name of the metric."""
    header, *rows = PUBLISHED.read_text(encoding="utf-8").splitlines()
    copy = tmp_path / "renamed.csv"
    copy.write_text("\n".join([header.replace("entropy", "trl_compat/policy/entropy_avg"), *rows]), encoding="utf-8")
    ours = RunRecord("a", {UPDATE: 1 + np.arange(90.0), "trl_compat/policy/entropy_avg": np.linspace(1.7, 0.6, 90)})
    (line,) = dashed(chart_of([ours], read_beside([copy]), metrics=["trl_compat/*"], smooth=1), 0)
    assert (line.y[0], line.y[-1]) == (1.6973, 1.1384)


def write_text(tmp_path: Path, theirs: RunRecord, ours: RunRecord | None = None, **options: Any) -> str:
    text, _ = write_curves(Source("s", "run", [ours or wiggly("a")]), tmp_path, (), beside=[theirs], **options)
    return text.replace("\n    ", " ")


NO_SUM = "p: no cumulative reward is drawn, since its rewards are not at all updates from our first one on"


@pytest.mark.parametrize(
    ("places", "is_summed"),
    [
        (np.arange(1.0, 31), True),
        (np.arange(0.0, 30), True),  # counted from 0
        (np.arange(1.0, 11), True),  # ended early
        (np.arange(1.0, 31, 2), False),  # every second update of ours
        (np.arange(5.0, 31), False),  # begun late
        (np.array([1.0, 2, 3, 5, 6, 7]), False),  # a gap
    ],
)
def test_a_cumulative_reward_is_derived_only_where_no_reward_is_missing(
    tmp_path: Path, places: np.ndarray[Any, Any], is_summed: bool
) -> None:
    ours = RunRecord("a", {UPDATE: np.arange(1.0, 31), REWARD: np.arange(30.0)})
    text = write_text(tmp_path, RunRecord("p", {UPDATE: places, REWARD: np.ones(len(places))}), ours)
    assert ("cumulative reward of p" in text, NO_SUM in text) == (is_summed, not is_summed)
    assert "step reward of p" in text


def test_an_empty_cell_is_a_missing_reward_and_a_column_of_its_own_counts(tmp_path: Path) -> None:
    ours = RunRecord("a", {UPDATE: np.arange(1.0, 31), REWARD: np.arange(30.0)})
    rewards = np.ones(30)
    rewards[7] = np.nan
    theirs = RunRecord("p", {UPDATE: np.arange(1.0, 31), REWARD: rewards})
    assert NO_SUM in write_text(tmp_path, theirs, ours)
    with pytest.raises(AnalysisError, match=f"^--beside {NO_SUM}$"):
        write_text(tmp_path, theirs, ours, metrics=["cumulative_reward"])
    assert NO_SUM not in write_text(tmp_path, theirs, ours, metrics=[REWARD])
    recorded = replace(theirs, metrics={**theirs.metrics, "cumulative_reward": np.arange(30.0)})
    assert "cumulative reward of p" in write_text(tmp_path, recorded, ours)


def test_runs_that_logged_the_same_updates_have_comparable_sums(tmp_path: Path) -> None:
    tens = np.arange(10.0, 310, 10)
    ours, theirs = (RunRecord(name, {UPDATE: tens, REWARD: np.ones(30)}) for name in "ap")
    assert "cumulative reward of p equals ours" in write_text(tmp_path, theirs, ours)


def test_a_column_that_is_not_drawn_is_named(tmp_path: Path) -> None:
    theirs = replace(published(objective__kl=9.0, polcy_loss=1.0), name="p")
    assert "  p: not drawn: polcy_loss" in write_text(tmp_path, theirs).splitlines()
    assert "not drawn" not in write_text(tmp_path, theirs, metrics=[KL])  # the user has chosen
    assert "not drawn" not in write_text(tmp_path, replace(published(), name="p"))


def test_values_that_are_too_large_are_the_reason(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError) as error:
        write_text(tmp_path, published(objective__kl=1e308), metrics=[KL])
    assert str(error.value) == "--beside published: objective/kl: no value can be drawn (all are 1e+100 or larger)"


def test_a_single_update_is_no_range(tmp_path: Path) -> None:
    text = write_text(tmp_path, replace(published(start=4, num=1), name="p"), metrics=[KL])
    assert "  p covers update 4 only, our runs 1 to 30: only what both cover is compared" in text.splitlines()
