"""Reading made-up and damaged .wandb files: what is read, and what is said of the rest."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.wandb_files import BLOCK, write_log

from analysis.reading.wandb_logs import read_log, read_logs, read_runs_from_logs
from analysis.records.runs import COMPLETE, DIVERGED, FAILED, PRUNED, STOPPED, UNFINISHED
from analysis.wording.errors import AnalysisError


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "empty"), (b"not at all what it should be", "not a W&B log"), (b":W&B\xe1\xbe\x00", "holds no metrics yet")],
)
def test_a_file_without_anything_is_a_run_without_updates(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "offline-run-1-abc" / "run-abc.wandb"
    path.parent.mkdir()
    path.write_bytes(content)

    (run,) = read_runs_from_logs([tmp_path])

    assert (run.name, run.state, len(run.updates)) == ("abc", UNFINISHED, 0)
    assert problem in run.problems[0]


def test_what_is_not_there_is_an_error() -> None:
    with pytest.raises(AnalysisError, match=r"^gone: there is no such file or folder$"):
        read_runs_from_logs([Path("gone")])
    with pytest.raises(AnalysisError, match=r"^gone\.wandb: there is no such file$"):
        read_log(Path("gone.wandb"))


def test_a_file_that_may_not_be_read_is_a_run_without_updates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_log(tmp_path / "run-a.wandb", [{"update": 1}])

    def refuse(path: Path, most: int) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("analysis.reading.wandb_logs.read_bytes", refuse)

    (run,) = read_runs_from_logs([path])
    assert (len(run.updates), run.problems) == (0, ("run-a.wandb: Permission denied",))


def test_a_start_whose_beginning_is_damaged_is_still_of_its_run(tmp_path: Path) -> None:
    about = {"id": "a", "project": "ppo", "run_group": "s", "display_name": "lr=1"}
    long = [{"update": update, "x": 2, "_timestamp": 50, "text": json.dumps("x" * 700)} for update in range(1, 100)]
    first = [{"update": update, "x": 1} for update in range(1, 201)]
    write_log(tmp_path / "z" / "run-a.wandb", first, start=40, config={"seed": 3}, **about)
    path = write_log(tmp_path / "a" / "run-a.wandb", long, start=50, exit_code=None, **about)
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)

    (run,) = read_runs_from_logs([tmp_path])

    # The first block is lost: the run's own record, and 43 or so rows.
    start = int(run.updates[np.argmax(run.metrics["x"] == 2)])
    assert 40 < start < 50
    np.testing.assert_array_equal(run.updates, np.arange(1, 100))
    assert (run.seed, run.state, len(run.problems)) == (3, UNFINISHED, 1)


def test_the_same_id_in_two_projects_is_two_runs(tmp_path: Path) -> None:
    for project in ("ppo", "dpo"):
        write_log(tmp_path / project / "run-a.wandb", [{"update": 1}], id="a", project=project, display_name=project)

    assert sorted(run.name for run in read_runs_from_logs([tmp_path])) == ["dpo", "ppo"]


def test_a_folder_without_logs_has_no_runs(tmp_path: Path) -> None:
    assert read_runs_from_logs([tmp_path]) == []
    with pytest.raises(AnalysisError, match="holds no run of W&B"):
        read_logs(tmp_path)


def test_records_that_cross_a_blocks_end_are_put_together(tmp_path: Path) -> None:
    rows = [{"update": update, "text": '"' + "x" * 700 + '"', "objective/kl": update} for update in range(1, 200)]
    log = read_log(write_log(tmp_path / "run-a.wandb", rows))

    assert [row["update"] for row in log.rows] == list(range(1, 200))
    assert log.problems == ()


def test_a_file_that_was_cut_has_all_rows_that_were_written_whole(tmp_path: Path) -> None:
    """Cut within, right before and right after the end of a row: a file of fewer rows is the beginning of this one."""
    rows = [{"update": update, "text": json.dumps("x" * 5000)} for update in range(1, 21)]
    content = write_log(tmp_path / "run-a.wandb", rows, exit_code=None).read_bytes()
    assert len(content) > 3 * BLOCK
    for num in (0, 1, 6, 7, 13, 19, 20):
        end = len(write_log(tmp_path / "run-b.wandb", rows[:num], exit_code=None).read_bytes())
        for cut, whole in ((end - 1, num - 1), (end, num), (end + 3000, num)):
            path = tmp_path / "cut" / "run-a.wandb"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content[:cut])
            assert [row["update"] for row in read_log(path).rows] == list(range(1, max(whole, 0) + 1))


def test_damage_costs_the_rest_of_its_block_and_is_told(tmp_path: Path) -> None:
    rows = [{"update": update, "text": json.dumps(f"{update:04}" * 175)} for update in range(1, 200)]
    path = write_log(tmp_path / "run-a.wandb", rows)
    content = path.read_bytes()
    position = content.index(b"0060" * 175)
    size = content.index(b"0061" * 175) - position
    assert BLOCK < position < 2 * BLOCK - 2 * size
    path.write_bytes(content[:position] + b"!" + content[position + 1 :])

    log = read_log(path)

    # Up to the damage all is there, and so is what begins in the next block.
    assert [row["update"] for row in log.rows[:59]] == list(range(1, 60))
    missing = 199 - len(log.rows)
    assert missing == pytest.approx((2 * BLOCK - position) / size, abs=1)
    assert [row["update"] for row in log.rows[59:]] == list(range(60 + missing, 200))
    assert log.exit_code == 0
    assert log.problems == ("run-a.wandb: damaged in 1 place, which is left out",)


def test_a_record_that_is_damaged_in_its_middle_is_left_out(tmp_path: Path) -> None:
    long = {"update": 2, "text": json.dumps("x" * 3 * BLOCK)}
    path = write_log(tmp_path / "run-a.wandb", [{"update": 1}, long, {"update": 3}])
    whole = read_log(path)
    content = bytearray(path.read_bytes())
    content[BLOCK + BLOCK // 2] ^= 1
    path.write_bytes(content)

    log = read_log(path)

    assert [row["update"] for row in whole.rows] == [1, 2, 3]
    assert [row["update"] for row in log.rows] == [1, 3]
    assert log.problems == ("run-a.wandb: damaged in 1 place, which is left out",)


def test_steps_are_known_and_a_summary_can_be_taken_back(tmp_path: Path) -> None:
    log = read_log(write_log(tmp_path / "run-a.wandb", [{}, {}], summary={"a": 1, "b": 2}, removed=["a"]))

    assert log.rows == [{"_step": 0}, {"_step": 1}]
    assert log.summary == {"b": 2}


def test_a_file_in_two_places_is_read_once(tmp_path: Path) -> None:
    write_log(tmp_path / "wandb" / "offline-run-1-a" / "run-a.wandb", [{"x": 1}], id="a", resume=True)
    (tmp_path / "wandb" / "latest-run").symlink_to("offline-run-1-a")
    (tmp_path / "again").symlink_to("wandb")

    (run,) = read_runs_from_logs([tmp_path / "wandb", tmp_path / "again", tmp_path / "wandb" / "latest-run"])

    assert len(run.updates) == 1


def test_nested_keys_nan_and_bad_values(tmp_path: Path) -> None:
    rows = [{"update": 1, "a|b": 2, "x": "NaN", "y": "{broken", "z": "-Infinity"}, {"update": 2, "x": 1.5, "z": 3}]
    path = write_log(tmp_path / "run-a.wandb", rows, config={"ppo|lr": 0.1, "ppo|deep|er": [1], "_wandb|x": 1})

    (run,) = read_runs_from_logs([path])

    assert run.config == {"ppo.lr": 0.1, "ppo.deep.er": [1]}
    assert set(run.metrics) == {"update", "a.b", "x", "z"}
    np.testing.assert_array_equal(run.metrics["x"], [np.nan, 1.5])
    np.testing.assert_array_equal(run.metrics["z"], [-np.inf, 3])


@pytest.mark.parametrize(
    ("exit_code", "summary", "state"),
    [
        (0, {"status": '"complete"'}, COMPLETE),
        (0, {"status": '"stopped"', "stop_reason": '"pruned"'}, PRUNED),
        (0, {"status": '"stopped"', "stop_reason": '"user"'}, STOPPED),
        (0, {"status": '"diverged"'}, DIVERGED),
        (0, {}, COMPLETE),
        (1, {}, FAILED),
        (None, {}, UNFINISHED),
        (None, {"status": '"complete"'}, UNFINISHED),
    ],
)
def test_state(tmp_path: Path, exit_code: int | None, summary: dict[str, str], state: str) -> None:
    path = write_log(tmp_path / "run-a.wandb", [{"update": 1}], exit_code=exit_code, summary=summary)

    assert read_runs_from_logs([path])[0].state == state


@pytest.mark.parametrize(
    ("folder", "name", "trial", "is_test"),
    [
        ("s/3", "3", 3, False),
        ("s/3/seed_1", "3/seed_1", 3, False),
        ("s/test/3_seed_-7", "test/3_seed_-7", 3, True),
        ("elsewhere", "lr=1", 0, False),
    ],
)
def test_the_place_in_the_sweep_is_read_off_the_folder(
    tmp_path: Path, folder: str, name: str, trial: int, is_test: bool
) -> None:
    path = tmp_path / folder / "wandb" / "offline-run-1-a" / "run-a.wandb"
    write_log(path, [{"update": 1}], run_group="s", display_name="lr=1", job_type="train")

    (run,) = read_logs(path).runs

    assert (run.name, run.trial, run.is_test) == (name, trial, is_test)


def test_several_groups_are_told_apart(tmp_path: Path) -> None:
    for name, group in [("a", "s1"), ("b", "s2"), ("c", "s2"), ("d", "")]:
        write_log(tmp_path / f"run-{name}.wandb", [{"update": 1}], run_group=group, display_name="lr=1")

    source = read_logs(tmp_path)

    assert [run.name for run in source.runs] == ["no group/lr=1", "s1/lr=1", "s2/lr=1 (run-b)", "s2/lr=1 (run-c)"]
    assert [run.config["group"] for run in source.runs] == ["", "s1", "s2", "s2"]
    assert [run.trial for run in source.runs] == [None] * 4
    assert source.trials == ()


def test_without_a_table_trials_are_the_settings_in_their_order(tmp_path: Path) -> None:
    for number, (kl_coef, seed) in enumerate([(0.2, 0), (0.1, 0), (0.2, 1)]):
        config = {"ppo": {"kl_coef": kl_coef}, "seed": seed}
        summary = {"status": '"complete"', "objective": number}
        rows = [{"update": 1, "eval/score": number}]
        path = tmp_path / f"run-{number}.wandb"
        write_log(path, rows, config=config, summary=summary, run_group="s", start=number, display_name=f"{number}")

    source = read_logs(tmp_path)

    assert [(trial.number, trial.settings, trial.objectives) for trial in source.trials] == [
        (0, {"ppo.kl_coef": "0.2"}, [1.0]),  # the mean of runs 0 and 2
        (1, {"ppo.kl_coef": "0.1"}, [1.0]),
    ]


@pytest.mark.parametrize("steps", [range(4, 6), range(2)])  # as the server gives them; offline from 0
@pytest.mark.parametrize("axis", ["update", None])
def test_a_rewind_leaves_no_dead_tail(tmp_path: Path, steps: range, axis: str | None) -> None:
    """Steps 0 to 9, rewound to step 3, then two more: what lay at 4 to 9 is not the run's any more."""

    def row(step: int, x: int) -> dict[str, int]:
        return {"x": x} if axis is None else {"x": x, axis: step}

    write_log(tmp_path / "1" / "run-a.wandb", [row(step, step) for step in range(10)], id="a", start=1)
    again = [row(4, 104), row(5, 105)]
    write_log(tmp_path / "2" / "run-a.wandb", again, id="a", start=2, branch=("a", 3), steps=steps)

    (run,) = read_runs_from_logs([tmp_path])

    assert run.updates.tolist() == [0, 1, 2, 3, 4, 5]
    assert run.metrics["x"].tolist() == [0, 1, 2, 3, 104, 105]


def test_a_rewind_counts_before_anything_is_logged_and_beyond_the_step_where_logging_goes_on(tmp_path: Path) -> None:
    write_log(tmp_path / "1" / "run-a.wandb", [{"update": n, "x": n} for n in range(10)], id="a", start=1)
    path = write_log(tmp_path / "2" / "run-a.wandb", [], id="a", start=2, branch=("a", 3), exit_code=None)
    (run,) = read_runs_from_logs([tmp_path])
    assert run.updates.tolist() == [0, 1, 2, 3]

    write_log(path, [{"update": 8, "x": 108}], id="a", start=2, branch=("a", 3), steps=[4])
    (run,) = read_runs_from_logs([tmp_path])
    assert run.updates.tolist() == [0, 1, 2, 3, 8]


def test_a_fork_says_that_it_has_a_past_elsewhere(tmp_path: Path) -> None:
    rows = [{"update": n, "x": n} for n in range(5)]
    write_log(tmp_path / "run-a.wandb", rows, id="a", start=1, display_name="a")
    write_log(tmp_path / "run-b.wandb", rows[3:], id="b", start=2, branch=("a", 2), steps=[3, 4], display_name="b")

    first, second = read_runs_from_logs([tmp_path])

    assert (first.updates.tolist(), second.updates.tolist()) == ([0, 1, 2, 3, 4], [3, 4])
    assert second.problems == (
        "run-b.wandb: forked from run a at its step 2: the earlier steps are in the file of that run",
    )  # fmt: skip
