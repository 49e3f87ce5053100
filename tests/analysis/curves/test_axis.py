"""Curves against episodes: runs of unlike batch sizes, side by side where they have seen as much."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.curve_runs import SCORES, noise, write_curves

from analysis.command import main
from analysis.curves.axis import choose_unit, count_episodes, measure_pace, place_along
from analysis.curves.metrics import read_curve
from analysis.curves.sentences import describe_metric, describe_runs
from analysis.output.parts import Block
from analysis.reading.sources import read
from analysis.reading.wandb_runs import make_run
from analysis.records.runs import CUMULATIVE_REWARD, RunRecord, Source
from analysis.results.results import Results
from analysis.views.curve_chooser import make_curve_chooser

KL = "objective/kl"


def batches(size: int | None, trained: int = 960, **columns: list[float]) -> RunRecord:
    """A run whose score is a hundredth of the episodes that it has seen, 32 an update where the size is unknown."""
    updates = np.arange(1.0, trained / (size or 32) + 1)
    metrics = {"update": updates, SCORES: updates * (size or 32) / 100, KL: 5 + 0.2 * noise(len(updates), 1)}
    config = {} if size is None else {"ppo.batch_size": size}
    return RunRecord(f"b{size}", metrics | {key: np.array(x) for key, x in columns.items()}, config)


def rows_of(path: Path, metric: str) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["metric"] == metric]


def test_episodes_are_the_records_own_else_updates_times_the_batch() -> None:
    run = batches(32, 96)
    assert count_episodes(run) == pytest.approx([32, 64, 96])
    own = batches(32, 96, episode=[64, 128, 192])
    assert count_episodes(own) == pytest.approx([64, 128, 192])
    assert measure_pace(own) == 64
    assert count_episodes(batches(None, 96, episodes=[8, 16, 24])) == pytest.approx([8, 16, 24])
    # What is missing is filled by the config's batch, else by the record's own pace; what falls is no count.
    assert count_episodes(batches(32, 96, episode=[32, np.nan, 96])) == pytest.approx([32, 64, 96])
    assert count_episodes(batches(None, 96, episode=[np.nan, 20, 30])) == pytest.approx([10, 20, 30])
    assert count_episodes(batches(32, 96, episode=[5, 4, 3])) == pytest.approx([32, 64, 96])
    assert count_episodes(batches(None)) is None
    assert measure_pace(batches(None)) is None


@pytest.mark.parametrize(
    ("sizes", "wanted", "unit", "why"),
    [
        ((16, 64), None, "episode", "since runs differ in the number of episodes per update: 16 and 64"),
        ((16, 64), "update", "update", ""),
        ((32, 32), None, "update", ""),
        ((32, 32), "episode", "episode", ""),
        ((32, None), None, "update", ""),
        ((16, 64, None), None, "update", "since 1 run has neither episodes nor ppo.batch_size"),
        ((32, None, None), "episode", "update", "since 2 runs have neither episodes nor ppo.batch_size"),
        ((), None, "update", ""),
    ],
)
def test_episodes_are_the_axis_where_batches_differ(
    sizes: tuple[int | None, ...], wanted: str | None, unit: str, why: str
) -> None:
    found = choose_unit([batches(size) for size in sizes], wanted)
    assert found[0] == unit
    assert why in found[1]
    assert bool(found[1]) == bool(why)


def test_a_smaller_last_batch_makes_no_other_axis() -> None:
    short = batches(None, 960, episode=[*(32.0 * np.arange(1, 30)), 950.0])
    assert measure_pace(short) == pytest.approx(918 / 29)  # 31.66, 1.08 % less than 32
    shorter = batches(None, 960, episode=[*(32.0 * np.arange(1, 30)), 954.0])
    assert measure_pace(shorter) == pytest.approx(922 / 29)  # 31.79, 0.65 % less
    assert choose_unit([batches(32), shorter]) == ("update", "")
    assert choose_unit([batches(32), short])[0] == "episode"


@pytest.mark.parametrize("name", ["batch_size", "Batch Size", "ppo/batch_size", "ppo_batch_size"])
def test_batch_sizes_as_tables_call_them(tmp_path: Path, name: str) -> None:
    path = tmp_path / "runs.csv"
    rows = [f"b{size},{size},{update},{size * update / 100}" for size in (16, 64) for update in range(1, 11)]
    path.write_text("\n".join([f"run,{name},update,reward", *rows]) + "\n", encoding="utf-8")
    text, _ = write_curves(read(path), tmp_path, formats=())
    assert "against episodes, since runs differ in the number of episodes per update: 16 and 64" in text
    rows_ = rows_of(tmp_path / "curves.csv", "objective/rlhf_reward")
    assert [float(row["value"]) for row in rows_] == pytest.approx([float(row["episode"]) / 100 for row in rows_])


def test_batches_of_unknown_size_that_differ_are_told() -> None:
    name = "per_device_train_batch_size"
    runs = [replace(batches(None), config={name: size, "ppo.microbatch_size": size}) for size in (4, 8)]
    why = f"against updates, although runs differ in {name}: how many episodes an update takes is unknown"
    assert choose_unit(runs) == ("update", why)
    assert choose_unit(runs, "update") == choose_unit(runs[:1]) == ("update", "")
    known = [replace(batches(32), config={**batches(32).config, **one.config}) for one in runs]
    assert choose_unit(known) == ("update", "")


def test_rows_that_are_counted_by_something_else_take_no_batch() -> None:
    for axis, expected in (("episode", [64, 128, 192]), ("_step", None)):
        rows = [{"_step": n, axis: 64 * (n + 1), SCORES: 1.0} for n in range(3)]
        found = count_episodes(make_run({"batch_size": 64}, rows, {}, "finished"))
        assert (None if found is None else found.tolist()) == expected


def test_a_mean_over_batch_sizes_is_at_equal_episodes(tmp_path: Path) -> None:
    runs = [batches(16), batches(64)]
    text, _ = write_curves(Source("s", "sweep", runs), tmp_path, by="no key", formats=("svg",))
    rows = rows_of(tmp_path / "curves.csv", SCORES)
    # Both are a hundredth of the episodes, and so is their mean; over updates it would be anything else.
    both = [row for row in rows if row["num_runs"] == "2"]
    assert [float(row["value"]) for row in both] == pytest.approx([float(row["episode"]) / 100 for row in both])
    assert (float(both[0]["episode"]), float(both[-1]["episode"])) == (64, 960)
    assert {row["update"] for row in rows} == {""}
    assert "against episodes, since runs differ in the number of episodes per update: 16 and 64" in text
    assert json.loads((tmp_path / "phases.json").read_text(encoding="utf-8"))["axis"] == "episode"
    write_curves(Source("s", "sweep", runs), tmp_path, by="no key", axis="update", formats=())
    first = rows_of(tmp_path / "curves.csv", SCORES)[0]
    assert (first["update"], first["episode"]) == ("1", "")
    assert float(first["value"]) == pytest.approx(0.4)  # the mean of 16 and 64 episodes


def test_single_runs_have_both_columns(tmp_path: Path) -> None:
    for axis in ("update", "episode"):
        write_curves(Source("s", "sweep", [batches(16), batches(64)]), tmp_path, axis=axis, formats=())
        rows = [row for row in rows_of(tmp_path / "curves.csv", SCORES) if row["run"] == "b64"]
        assert [(row["update"], row["episode"]) for row in rows] == [(str(u), str(64 * u)) for u in range(1, 16)]


def test_sums_stay_over_updates_and_sentences_say_episodes() -> None:
    run = batches(32)
    sums = read_curve(run, CUMULATIVE_REWARD)[1]
    on_episodes = place_along(run, "episode")
    assert read_curve(on_episodes, CUMULATIVE_REWARD)[1] == pytest.approx(sums)
    assert read_curve(on_episodes, CUMULATIVE_REWARD)[0][-1] == 960
    level = np.where(np.arange(60) < 30, 1.0, 4.0) + 0.1 * noise(60, 2)
    jump = RunRecord("j", {"update": np.arange(1.0, 61), SCORES: level, KL: 10 * level}, {"ppo.batch_size": 32})
    for metric in (SCORES, KL, CUMULATIVE_REWARD):
        by_update = describe_metric([jump], metric)
        by_episode = describe_metric([place_along(jump, "episode")], metric, "episode")
        assert [phase.kind for phase in by_update.phases] == [phase.kind for phase in by_episode.phases]
        assert [32 * phase.end for phase in by_update.phases] == pytest.approx([one.end for one in by_episode.phases])
        told = [text for one in by_episode.statements for text in (one.text, *one.evidence)]
        assert not any("update" in text for text in told)
    (text, *_) = describe_metric([place_along(jump, "episode")], SCORES, "episode").statements
    assert "at episode 976" in text.text or "at episode 992" in text.text  # between updates 30 and 31


def test_sentences_of_runs_together_are_at_equal_episodes() -> None:
    (text, *_) = describe_runs([batches(16), batches(64)], [SCORES])
    # The last five values of the mean are 0.16 apart and end at 9.6.
    spread = "(mean of the last 5 values, standard deviation 0.253)"
    assert text.text == f"score (mean of 2 runs) rises throughout, from 0.64 to 9.28 {spread}"
    assert text.evidence["last episode"] == 960
    (text, *_) = describe_runs([batches(16)], [SCORES])
    assert text.evidence["last update"] == 60


def test_a_window_in_updates_is_one_of_the_largest_batch(tmp_path: Path) -> None:
    runs = [batches(16), batches(64)]
    write_curves(Source("s", "sweep", runs), tmp_path, smooth=5, formats=())
    windows = json.loads((tmp_path / "phases.json").read_text(encoding="utf-8"))["smoothed_over_episodes"]
    assert windows[KL] == 321  # 5 x 64, and odd


def test_the_commands_axis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("update,episode,reward\n1,8,1.0\n2,16,2.0\n3,24,3.0\n", encoding="utf-8")
    out = tmp_path / "out"
    assert main(["curves", str(path), "--out", str(out), "--format", "svg", "--x", "episodes"]) == 0
    assert "at episode 8" in capsys.readouterr().out
    assert [row["episode"] for row in rows_of(out / "curves.csv", "objective/rlhf_reward")] == ["8", "16", "24"]
    with pytest.raises(SystemExit, match="2"):
        main(["curves", str(path), "--x", "seconds"])


def test_the_reports_curves_have_the_same_axis() -> None:
    source = Source("s", "sweep", [batches(16), batches(64)])
    (block,) = make_curve_chooser(Results(source))
    assert isinstance(block, Block)
    assert block.content["unit"] == "episode"
    assert "against episodes" in block.content["views"][0]["note"]
    (line, _) = block.content["views"][-1]["metrics"][SCORES]
    assert line[0][0] == 16
