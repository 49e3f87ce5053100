"""One run followed in the live table: what it reads of a record that grows, is cut or damaged, and how it ended."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.records import rows, write_run
from helpers.watched import from_here as from_here
from helpers.watched import see, unfinish

from analysis.watch.run import FollowedRun


def test_a_run_is_followed_line_by_line(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", rows(10), end=None)
    followed = FollowedRun(run)
    followed.look()
    assert (followed.update, followed.num_updates, len(followed.rewards)) == (10, 30, 10)
    row = rows(30)[10]
    with (run.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row)[:50])
        file.flush()
        followed.look()
        assert followed.update == 10  # that line is not whole
        file.write(json.dumps(row)[50:] + "\n")
    followed.look()
    assert followed.update == 11
    assert followed.rewards[-1] == row["objective/rlhf_reward"]
    assert followed.score == rows(10)[9]["eval/score"]
    assert followed.seconds == pytest.approx(5.5)  # half a second each
    assert followed.seconds_per_update == pytest.approx(0.5)


def test_a_run_that_goes_on_from_its_checkpoint_is_followed_from_there(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", rows(10), end=None)
    followed = FollowedRun(run)
    followed.look()
    run.rewind(5)
    followed.look()
    assert followed.update == 5
    run.append_metrics({"update": 6, "objective/rlhf_reward": 7.0})
    followed.look()
    assert (followed.update, followed.rewards[-1], len(followed.rewards)) == (6, 7.0, 6)
    run.rewind(4)  # and grows beyond what was read before the next look
    for row in rows(9)[4:]:
        run.append_metrics(row)
    followed.look()
    assert (followed.update, len(followed.rewards)) == (9, 9)


def test_a_record_that_is_cut_in_place_or_deleted_is_read_anew(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", rows(10), end=None)
    followed = FollowedRun(run)
    followed.look()
    path = run.folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    with path.open("r+", encoding="utf-8") as file:
        file.truncate(len(lines[0]))
    followed.look()
    assert followed.update == 1
    path.unlink()
    followed.look()
    assert followed.update == 0
    path.write_text("".join(lines[:3]), encoding="utf-8")
    followed.look()
    assert followed.update == 3


def test_damaged_lines_cost_themselves_alone(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", rows(3), end=None)
    followed = FollowedRun(run)
    followed.look()
    with (run.folder / "metrics.jsonl").open("ab") as file:
        file.write(b'{"update": 4, "obj\n\xff\xfe\n[1]\n7\n{"update": "x"}\n{"update": 5, "eval/score": "high"}\n')
    followed.look()
    assert (followed.update, len(followed.rewards)) == (5, 4)
    run.append_metrics({"update": 6, "eval/score": 3.0})
    followed.look()
    assert (followed.update, followed.score) == (6, 3.0)


@pytest.mark.parametrize(
    ("end", "state", "cause"),
    [
        ({"status": "complete", "objective": 1.0}, "complete", None),
        ({"status": "diverged", "update": 3}, "failed", "diverged"),
        ({"status": "failed", "cause": "out_of_memory"}, "failed", "out_of_memory"),
        ({"status": "failed"}, "failed", "unknown"),
        ({"status": "stopped", "stop_reason": "pruned"}, "pruned", None),
        ({"status": "stopped", "stop_reason": "timeout"}, "failed", "timeout"),
        ({"status": "stopped", "stop_reason": "kl_budget", "objective": 1.0}, "complete", None),
        ({"status": "stopped", "stop_reason": "kl_budget", "objective": None}, "pruned", None),
        ({"status": "stopped", "stop_reason": "waiting"}, "waiting", None),
        ({"status": "stopped", "stop_reason": "enough"}, "stopped", "enough"),
        ({"status": "stopped", "stop_reason": "interrupted"}, None, None),  # the same command goes on
        ({"status": "stopped", "stop_reason": "budget"}, None, None),
        ({"status": ["?"]}, "unfinished", None),
    ],
)
def test_how_a_run_has_ended(tmp_path: Path, end: dict[str, Any], state: str | None, cause: str | None) -> None:
    followed = FollowedRun(write_run(tmp_path / "r", rows(5), end=end))
    followed.look()
    assert (followed.state, followed.cause) == (state, cause)


def test_a_run_on_its_own(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", end=None, overrides=["ppo.lr=1e-4"])
    with run.claim():
        seen = see(run.folder)
        assert (seen.rows[0].state, seen.has_ended, seen.note) == ("running", False, None)
    unfinished = write_run(tmp_path / "u", overrides=["ppo.lr=1e-4", "name=my run"])
    unfinish(unfinished, 10, old=True)
    seen = see(unfinished.folder)
    assert (seen.rows[0].state, seen.has_ended, seen.is_complete) == ("unfinished", True, False)
    command = "python -m rlhf_sweeps ppo.lr=1e-4 'name=my run' hydra.run.dir=u"
    assert seen.note == f"nothing is training there: continue with {command}"
    with unfinished.claim():  # it may be slow
        assert see(unfinished.folder).rows[0].state == "running"
    seen = see(write_run(tmp_path / "c").folder)
    assert (seen.rows[0].state, seen.has_ended, seen.is_complete) == ("complete", True, True)


def test_an_update_that_is_no_number_is_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "0", rows(3), end=None)
    with (run.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"update": 1e999}\n')
    followed = FollowedRun(run)
    followed.look()
    assert followed.update == 3
