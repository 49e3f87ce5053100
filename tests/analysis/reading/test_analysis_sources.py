"""What the analysis reads from folders, however they were left, and what it says of a place that it cannot read."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.records import lose, rows, summary, write_run, write_sweep

from analysis.comparison.groups import group_runs
from analysis.reading.sources import read, read_all
from analysis.records.runs import RunRecord, Source
from analysis.wording.errors import AnalysisError


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """Two learning rates by two reward models."""
    points = [{"ppo.lr": lr, "reward_model.name": model} for lr in (1e-4, 1e-3) for model in ("tiny", "length")]
    write_sweep(tmp_path / "grid", points, updates=12, heights=[1.0, 2.0, 3.0, 4.0])
    return tmp_path / "grid"


def test_a_sweep(grid: Path) -> None:
    source = read(grid)
    assert (source.name, source.kind, source.problems) == ("grid", "sweep", ())
    assert [run.name for run in source.runs] == ["0", "1", "2", "3"]
    assert source.axes == ["ppo.lr", "reward_model.name"]
    assert [trial.state for trial in source.trials] == ["complete"] * 4
    assert source.trials[1].settings == {"ppo.lr": "0.0001", "reward_model.name": "length"}
    assert source.trials[3].objectives == [source.runs[3].summary["objective"]]
    assert source.study.best_trial.number == 3
    assert source.seconds == 60.0


def test_columns_are_the_rows(grid: Path) -> None:
    run = read(grid).runs[0]
    expected = rows(12, seed=0, height=1.0, every=2)
    assert run.metrics["objective/kl"].tolist() == [row["objective/kl"] for row in expected]
    updates, scores = run.select_points("eval/score")
    assert updates.tolist() == [2, 4, 6, 8, 10, 12]
    assert scores.tolist() == [row["eval/score"] for row in expected if "eval/score" in row]
    assert run.select_points("cumulative_reward")[1][-1] == pytest.approx(
        sum(row["objective/rlhf_reward"] for row in expected)
    )
    assert run.select_points("nothing")[0].size == 0


def test_without_its_study_a_sweep_has_what_its_runs_tell(grid: Path) -> None:
    whole = read(grid)
    (grid / "study.db").unlink()
    source = read(grid)
    assert [(t.state, t.settings, t.objectives) for t in source.trials] == [
        (t.state, t.settings, t.objectives) for t in whole.trials
    ]
    assert [trial.values for trial in source.study.trials] == [trial.values for trial in whole.study.trials]
    assert source.study.trials[2].params == {"ppo.lr": 1e-3, "reward_model.name": "tiny"}
    assert "study.db: missing" in source.problems[0]


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\x00" + b"x" * 5000])
def test_a_damaged_study_is_said_and_rebuilt(grid: Path, content: bytes) -> None:
    (grid / "study.db").write_bytes(content)
    source = read(grid)
    assert len(source.problems) == 1
    assert source.problems[0].startswith("study.db: cannot be read (")
    assert source.study.best_trial.number == 3


def test_reading_writes_nothing(grid: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in [grid, *grid.rglob("*")]}
    read(grid)
    assert {path: path.stat().st_mtime_ns for path in [grid, *grid.rglob("*")]} == before


def test_numbered_runs_without_anything_of_the_sweep(grid: Path) -> None:
    (grid / "study.db").unlink()
    lose(grid / "sweep.json")
    source = read(grid)
    assert source.axes == ["ppo.lr", "reward_model"]
    assert source.trials[1].settings == {"ppo.lr": "0.0001", "reward_model": "length"}
    assert len(source.problems) == 2


def test_states_of_runs_and_trials_without_a_study(tmp_path: Path) -> None:
    metrics = rows(6, every=2)
    ends = {
        "0": "complete",
        "1": summary(metrics, "stopped", stop_reason="pruned"),
        "2": summary(metrics, "stopped", stop_reason="kl_budget"),
        "3": summary(metrics, "stopped", stop_reason="interrupted"),
        "4": {"status": "failed", "cause": "out_of_memory", "message": "no room", "objective": None},
        "5": {"status": "diverged", "message": "loss is nan", "objective": None},
        "6": None,
        "7": {"status": "strange"},
    }
    for name, end in ends.items():
        write_run(tmp_path / name, metrics, end=end)
    source = read(tmp_path)
    assert [run.state for run in source.runs] == [
        "complete", "pruned", "complete", "stopped", "failed", "diverged", "unfinished", "unfinished",
    ]  # fmt: skip
    assert [trial.state for trial in source.trials] == [
        "complete", "pruned", "complete", "unfinished", "failed", "failed", "unfinished", "unfinished",
    ]  # fmt: skip
    assert [trial.cause for trial in source.trials[4:6]] == ["out_of_memory", "diverged"]
    assert source.trials[4].message == "no room"
    assert source.trials[1].objectives is None


def test_a_trial_is_worth_the_mean_of_its_seeds_and_test_runs_stand_apart(tmp_path: Path) -> None:
    for seed, height in ((0, 1.0), (1, 3.0)):
        write_run(tmp_path / "0" / f"seed_{seed}", rows(6, height=height, every=2), settings={"seed": seed})
    write_run(tmp_path / "test" / "0_seed_9", rows(6, height=9.0, every=2), settings={"seed": 9})
    (trial,) = read(tmp_path).trials
    values = [run.objectives for run in trial.runs]
    assert trial.objectives == [(values[0][0] + values[1][0]) / 2]  # type: ignore[index]
    assert [run.seed for run in trial.runs] == [0, 1]
    assert [run.seed for run in trial.tests] == [9]
    assert trial.tests[0].is_test


def test_a_sweep_in_which_nothing_has_begun(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep", [{"ppo.lr": 1e-4}], updates=2, study=False)
    shutil.rmtree(tmp_path / "sweep" / "0")
    source = read(tmp_path / "sweep")
    assert (list(source.runs), list(source.trials)) == ([], [])


def test_a_folder_with_several(grid: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "one", rows(3))
    source = read(tmp_path)
    assert source.kind == "folder"
    assert [run.name for run in source.runs] == ["grid/0", "grid/1", "grid/2", "grid/3", "one"]
    assert list(source.trials) == []
    together = read_all([grid, tmp_path / "one", tmp_path / "one"])
    assert [run.name for run in together.runs] == ["grid/0", "grid/1", "grid/2", "grid/3", "one(1)", "one(2)"]


def test_a_file_of_a_run_stands_for_it(grid: Path) -> None:
    assert read(grid / "0" / "metrics.jsonl").runs[0].updates.size == 12
    assert len(read(grid / "study.db").runs) == 4


def test_a_named_file_is_read_and_nothing_beside_it(tmp_path: Path) -> None:
    write_run(tmp_path / "proj" / "runA", rows(3))
    write_sweep(tmp_path / "proj" / "sweep", [{"ppo.lr": 1e-4}], updates=2, study=False)
    history = [{"step": step, "objective/kl": step / 10} for step in (10, 20)]
    state = tmp_path / "proj" / "trainer_state.json"
    state.write_text(json.dumps({"log_history": history}), encoding="utf-8")
    lines = "".join(f"{json.dumps(row)}\n" for row in history)
    for name in ("metrics.jsonl", "other.jsonl", "runA/log.jsonl", "sweep/0/log.JSONL"):
        (tmp_path / "proj" / name).write_text(lines, encoding="utf-8")
    for name in ("trainer_state.json", "metrics.jsonl", "other.jsonl", "runA/log.jsonl", "sweep/0/log.JSONL"):
        source = read(tmp_path / "proj" / name)
        assert source.kind == "table"
        assert [run.updates.tolist() for run in source.runs] == [[10, 20]]
    shutil.copy(
        tmp_path / "proj" / "runA" / "metrics.jsonl", tmp_path / "proj" / "metrics.jsonl"
    )  # what is left of ours
    assert [(run.name, run.updates.size) for run in read(tmp_path / "proj" / "metrics.jsonl").runs] == [("proj", 3)]
    (tmp_path / "proj" / "study.yaml").write_text("{}", encoding="utf-8")
    with pytest.raises(AnalysisError, match=r"study.yaml: is no file of a run or sweep"):
        read(tmp_path / "proj" / "study.yaml")


@pytest.mark.parametrize("name", ["metrics.jsonl", "run.json", "summary.json", "samples.jsonl", ".hydra/config.yaml"])
def test_a_file_of_a_trial_stands_for_that_trial_alone(tmp_path: Path, name: str) -> None:
    for trial in range(2):
        folder = write_run(tmp_path / str(trial), rows(3 + trial), texts=[("a", "b", "c")]).folder
        (folder / ".hydra").mkdir(exist_ok=True)
        (folder / ".hydra" / "config.yaml").write_text("seed: 0\n", encoding="utf-8")
    source = read(tmp_path / "1" / name)
    assert (source.kind, source.name, [run.updates.size for run in source.runs]) == ("run", "1", [4])


def test_a_folder_of_digits_holds_the_run_that_lies_in_it(tmp_path: Path) -> None:
    write_run(tmp_path / "out" / "2024" / "runA", rows(4))
    assert [(run.name, run.updates.size) for run in read(tmp_path / "out").runs] == [("runA", 4)]
    write_run(tmp_path / "out" / "2024" / "runB", rows(5))
    source = read(tmp_path / "out")
    assert [(run.name, run.updates.size, run.trial) for run in source.runs] == [
        ("2024/runA", 4, None),
        ("2024/runB", 5, None),
    ]
    assert list(source.trials) == []
    alone = read(write_run(tmp_path / "2023", rows(2)).folder)
    assert (alone.kind, alone.name, [run.updates.size for run in alone.runs]) == ("run", "2023", [2])


def test_places_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(AnalysisError, match=r"nowhere: there is no such file or folder$"):
        read(tmp_path / "nowhere")
    with pytest.raises(AnalysisError, match="for a W&B project write wandb:me/project"):
        read("me/project")
    with pytest.raises(AnalysisError, match="holds no run and no sweep"):
        read(tmp_path / "empty")
    with pytest.raises(AnalysisError, match=r"notes.txt: cannot be read \(allowed: a folder"):
        read(tmp_path / "notes.txt")
    (tmp_path / "other.yaml").write_text("{}", encoding="utf-8")
    with pytest.raises(AnalysisError, match=r"other.yaml: is no file of a run or sweep \(allowed: a folder"):
        read(tmp_path / "other.yaml")


def test_values_that_are_no_numbers(tmp_path: Path) -> None:
    metrics = [{"update": 1, "a": None, "b": "x", "c": True}, {"update": 2, "a": 2, "b": [1], "c": 0.5}]
    run = read(write_run(tmp_path / "run", metrics).folder).runs[0]
    assert sorted(run.metrics) == ["a", "c", "update"]
    np.testing.assert_array_equal(run.metrics["a"], [np.nan, 2.0])
    np.testing.assert_array_equal(run.metrics["c"], [1.0, 0.5])


def _source(*configs: dict[str, object]) -> Source:
    runs = [RunRecord(str(n), {"update": np.empty(0)}, config) for n, config in enumerate(configs)]
    return Source("made", "folder", runs)


def test_axes_are_what_differs_and_a_group_stands_for_its_keys() -> None:
    source = _source(
        {"seed": 0, "name": "a", "ppo.lr": 1e-4, "reward_model.name": "x", "reward_model.path": "p", "device": "cpu"},
        {"seed": 1, "name": "b", "ppo.lr": 1e-3, "reward_model.name": "y", "reward_model.path": "q", "device": "cuda"},
    )
    assert source.axes == ["ppo.lr", "reward_model"]
    assert [run.look_up("reward_model") for run in source.runs] == ["x", "y"]


def test_keys_are_in_the_order_in_which_people_count() -> None:
    keys = ["head_2.lr", "head_10.lr"]
    source = _source(*(dict.fromkeys(keys, n) for n in range(2)))
    assert source.axes == keys
    with pytest.raises(AnalysisError, match=r"lr: could be head_2.lr, head_10.lr"):
        source.find_key("lr")


def test_names_and_places_of_runs_are_no_settings() -> None:
    """Those of other trainers' configs."""
    named = ("name", "run_name", "run_id", "output_dir")
    assert _source(*({key: f"{key} {n}" for key in named} | {"seed": n} for n in range(2))).axes == []


def test_a_key_may_be_given_by_its_end() -> None:
    source = _source({"ppo.lr": 1, "value.lr": 2, "ppo.kl_coef": 1}, {"ppo.lr": 2, "value.lr": 2, "ppo.kl_coef": 1})
    assert source.find_key("kl_coef") == "ppo.kl_coef"
    assert source.find_key("lr") == "ppo.lr"  # of two keys the one that differs
    with pytest.raises(AnalysisError, match=r"beta: no run has such a key \(the runs differ in: ppo.lr\)"):
        source.find_key("beta")


def test_groups_are_in_the_order_in_which_people_count() -> None:
    names = ["model_1", "model_2", "model_10"]
    source = _source(*({"seed": n, "reward_model.name": name} for n, name in enumerate(reversed(names))))
    assert [group.label for group in group_runs(source, "reward_model").groups] == names


def test_a_folder_of_another_trainers_metrics_is_that_table(tmp_path: Path) -> None:
    rows_of = [{"step": 100 * n, "reward": n / 10} for n in range(1, 11)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of), encoding="utf-8")
    by_folder, by_file = read(tmp_path), read(tmp_path / "metrics.jsonl")
    assert by_folder.runs[0].updates.tolist() == by_file.runs[0].updates.tolist() == [100 * n for n in range(1, 11)]


def test_a_folder_that_is_named_by_dots_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "mine")
    (tmp_path / "mine" / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "mine" / "deeper")
    assert read("..").name == "mine"
