"""The live table: what it says of records at every stage, what it reads again, how it fits, how it ends."""

import io
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from helpers.records import axes, lose, rows, summary, write_run, write_sweep
from rich.console import Console

from analysis.reading.folders import read_folder
from analysis.reading.sources import read
from analysis.results.ranking import rank
from analysis.watch.liveness import claimant, is_swept
from analysis.watch.places import Places
from analysis.watch.remaining import seconds_left, span
from analysis.watch.rows import Row, Seen
from analysis.watch.run import FollowedRun
from analysis.watch.sparkline import sparkline
from analysis.watch.table import Page, _best_text, draw
from analysis.watch.watch import watch
from analysis.wording.errors import AnalysisError
from analysis.wording.statements import listed
from rlhf_sweeps.record import Run, Sweep, SweepPlan, in_new_form, read_plan
from rlhf_sweeps.record.axes import as_data
from rlhf_sweeps.record.files import claim

HERE = socket.gethostname()
POINTS = [{"ppo.lr": 1e-4}, {"ppo.lr": 5e-4}, {"ppo.lr": 1e-3}]


@pytest.fixture(autouse=True)
def _from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are told as they are given; the long ones of tests would fill the lines."""
    monkeypatch.chdir(tmp_path)


def see(folder: Path) -> Seen:
    (seen,) = Places(folder.relative_to(Path.cwd())).look()
    return seen


def text(seen: Sequence[Seen], width: int = 120, height: int | None = None, is_ascii: bool = False) -> list[str]:
    """What is drawn, line by line."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(draw(seen, Page(width, height, is_ascii)))
    output = console.file
    assert isinstance(output, io.StringIO)
    return [line.rstrip() for line in output.getvalue().splitlines()]


def change(path: Path, **content: Any) -> None:
    """Set keys of a JSON file, which then has no digest, as those of earlier versions."""
    old = json.loads(path.read_text(encoding="utf-8"))
    old.pop("sha256", None)
    path.write_text(json.dumps({**old, **content}), encoding="utf-8")


def unfinish(run: Run, updates: int, *, old: bool = False) -> None:
    """Have a run stand after so many updates."""
    path = run.folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:updates]), encoding="utf-8")
    lose(run.summary_file)
    if old:
        for name in ("metrics.jsonl", "run.json"):
            os.utime(run.folder / name, (1e9, 1e9))


def swept_by(folder: Path, process: int, host: str = HERE) -> None:
    (folder / "sweeper.json").write_text(json.dumps({"process": process, "host": host}), encoding="utf-8")


@pytest.fixture
def dead_process() -> int:
    """The number of a process that has been."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


# One run


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


# Sweeps


def plan_of(folder: Path, **plan: Any) -> None:
    """Have the record say all that a sweeper's does: by default, all trials that are planned are there."""
    told = {"arguments": ["-m", "ppo.lr=1,2", "hydra.sweeper.seed=1"], "num_trials": len(Sweep(folder).trials())}
    change(folder / "sweep.json", **{**told, **plan})


@pytest.mark.parametrize("study", [True, False])
def test_a_finished_grid(tmp_path: Path, study: bool) -> None:
    sweep = write_sweep(tmp_path / "s", POINTS, heights=[1.0, 3.0, 2.0], study=study)
    plan_of(sweep.folder)
    seen = see(sweep.folder)
    assert (seen.num_planned, seen.counts()) == (3, "3 complete")
    assert (seen.has_ended, seen.is_complete, seen.note) == (True, True, None)
    assert [row.label for row in seen.ranking()] == ["1", "2", "0"]
    assert seen.ranking()[0].settings == {"ppo.lr": "0.0005"}
    assert seen.ranking()[0].objectives == [pytest.approx(rows(30, seed=1, height=3.0)[29]["eval/score"])]
    lines = text([seen])
    assert lines[0] == "s: 3/3 trials done: 3 complete; 0:01:00"
    assert re.fullmatch(r"best so far: objective 2\.8\d+, trial 1: ppo.lr=0\.0005", lines[1])
    assert re.fullmatch(r"trial +lr +update +score +KL +objective +trend +s/update +state", lines[2])
    assert re.fullmatch(r" +1 +0\.0005 +30/30 +2\.8\d? +\d\.\d+ +2\.8\d+ +▁[▁-█]{9} +0\.5 +complete", lines[3])


def test_the_study_knows_of_trials_what_their_runs_do_not(tmp_path: Path) -> None:
    import optuna

    sweep = write_sweep(tmp_path / "s", POINTS)
    unfinish(sweep.run(2, None), 7)
    study = optuna.load_study(study_name="made", storage=f"sqlite:///{sweep.study}")
    study.add_trial(  # of the same setting as another: it has no folder
        optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED, user_attrs={"settings": {"ppo.lr": "1e-4"}})
    )
    lost = optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs={"cause": "lost_process"})
    study.add_trial(lost)
    unfinish(write_run(sweep.trial(4)), 3)
    seen = see(sweep.folder)
    assert seen.counts() == "3 complete, 1 pruned, 1 failed (lost_process)"
    assert seen.trials[3].settings == {"ppo.lr": "1e-4"}
    assert [row.state for row in seen.trials][4] == "failed"


def test_the_study_is_read_while_it_grows(tmp_path: Path) -> None:
    import optuna

    sweep = write_sweep(tmp_path / "s", POINTS[:2])
    places = Places(sweep.folder)
    assert len(places.look()[0].trials) == 2
    time.sleep(0.01)
    study = optuna.load_study(study_name="made", storage=f"sqlite:///{sweep.study}")
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED))
    deadline = time.monotonic() + 20  # it is not looked at all the time
    while len(places.look()[0].trials) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_running_sweep(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", POINTS, study=False)
    plan_of(sweep.folder, num_workers=2, num_trials=4, seconds=100.0)
    unfinish(sweep.run(1, None), 12)
    swept_by(sweep.folder, os.getpid())
    with claim(sweep.folder, ""):
        seen = see(sweep.folder)
    assert (seen.counts(), seen.num_planned, seen.has_ended) == ("2 complete, 1 running", 4, False)
    assert 100.0 <= seen.elapsed < 105.0  # and since its last word
    # Two took 15 s each; one has gone on for 6 s of its 15, one is to come; two at a time.
    assert seen.left == pytest.approx(15)
    assert seen.trials[1].left == pytest.approx(18 * 0.5)
    lines = text([seen], height=6)
    assert re.fullmatch(r" +1 +0\.0005 +12/30 +\S+ +\S+ +[▁-█]{10} +0\.5 +0:00:09 +running", lines[3])
    assert len(lines) == 6
    assert lines[-1] == "and 1 more"


def test_seeds_and_test_seeds(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "s")
    sweep.folder.mkdir()
    plan = SweepPlan(axes({"ppo.lr": "choice(1,2)"}), ["eval/score"], ["maximize"], [0, 1], [7, 8], 2, num_tests=2)
    sweep.write_start(plan.as_data())
    for seed in (0, 1):
        assert seed == 0 or see(sweep.folder).trials[0].is_open  # one of two seeds is no value yet
        write_run(sweep.run(0, seed).folder, rows(30, height=2.0 + seed), overrides=["ppo.lr=1", f"seed={seed}"])
    write_run(sweep.run(1, 0).folder, end="diverged", overrides=["ppo.lr=2", "seed=0"])
    seen = see(sweep.folder)
    mean = np.mean([rows(30, height=height)[29]["eval/score"] for height in (2.0, 3.0)])
    assert seen.trials[0].objectives == [pytest.approx(mean)]
    assert seen.counts() == "1 complete, 1 failed (diverged)"
    assert not seen.is_complete  # two test runs are to come
    write_run(sweep.test_run(0, 7).folder, overrides=["ppo.lr=1", "seed=7"])
    unfinish(write_run(sweep.test_run(0, 8).folder, overrides=["ppo.lr=1", "seed=8"]), 10)
    seen = see(sweep.folder)
    lines = text([seen])
    assert "2/2 trials done: 1 complete, 1 failed (diverged); 1/2 test runs done" in lines[0]
    assert any(re.match(r"0 test +1 +10/30", line) for line in lines)
    assert any(re.match(r" +0 +1 +30/30 \(2/2\)", line) for line in lines)
    sweep.test_run(0, 8).write_summary(summary(rows(30)))
    assert see(sweep.folder).is_complete


def test_the_tests_of_a_setting_are_those_of_all_its_trials(tmp_path: Path) -> None:
    """As an earlier version left them, a trial for each seed: (1 + 3 + 5) / 3 = 3, before the 2.9 of the other one."""

    def row(label: str, lr: str, seed: str, worth: float, *tests: float) -> Row:
        values = [[value] for value in tests]
        return Row(label, {"ppo.lr": lr, "seed": seed}, [], "complete", objectives=[worth], tests=values)

    rows_ = [row("0", "1", "0", 2.0, 1.0, 3.0), row("1", "1", "1", 2.0, 5.0), row("2", "2", "0", 9.0, 2.9)]
    seen = Seen("s", tmp_path, rows_)
    assert _best_text(seen) == (
        "best so far: objective 3 on 3 test seeds, chosen by objective 2, trials 0 and 1: ppo.lr=1"
    )


def test_a_sweep_with_few_complete_trials_has_few_tests(tmp_path: Path) -> None:
    """Three settings are tested at most on two seeds each; of one complete trial it is one."""
    sweep = Sweep(tmp_path / "s")
    sweep.folder.mkdir()
    plan = SweepPlan(axes({"ppo.lr": "choice(1,2)"}), ["eval/score"], ["maximize"], [0], [7, 8], 2, num_tests=6)
    sweep.write_start(plan.as_data())
    write_run(sweep.trial(0), overrides=["ppo.lr=1"])
    write_run(sweep.trial(1), end="diverged", overrides=["ppo.lr=2"])
    for seed in (7, 8):
        assert not see(sweep.folder).is_complete
        write_run(sweep.test_run(0, seed).folder, overrides=["ppo.lr=1", f"seed={seed}"])
    assert see(sweep.folder).is_complete


def test_constraints_and_pareto_fronts(tmp_path: Path) -> None:
    def row(label: str, *objectives: float, **violations: float) -> Row:
        return Row(label, {}, [], "complete", objectives=list(objectives), violations=violations)

    one = [row("0", 1.0), row("1", 3.0, length=0.5), row("2", 2.0), row("3", 2.0)]
    seen = Seen("s", tmp_path, one)
    assert [row.label for row in seen.best()] == ["2"]
    assert [row.label for row in seen.ranking()] == ["2", "3", "0"]
    several = [row("0", 1.0, 5.0), row("1", 2.0, 6.0), row("2", 0.5, 7.0), row("3", 1.0, 5.0), row("4", 3.0)]
    seen = Seen("s", tmp_path, several, ("a", "b"), ("maximize", "minimize"))
    assert {row.label for row in seen.best()} == {"0", "1"}
    assert "best so far (Pareto front): trials 1, 0" in text([seen])


# Is anybody there?


def test_a_claim_is_seen_without_being_touched(tmp_path: Path) -> None:
    assert claimant(tmp_path) is None
    with claim(tmp_path, ""):
        assert claimant(tmp_path) == os.getpid()
        assert is_swept(tmp_path, {}) is True
    assert claimant(tmp_path) is None
    assert claimant(tmp_path / "nowhere") is None


def test_whether_a_sweeper_is_at_work(tmp_path: Path, dead_process: int) -> None:
    assert is_swept(tmp_path, {"process": dead_process, "host": HERE}) is False
    # The number of a process that has claimed nothing was given again.
    assert is_swept(tmp_path, {"process": os.getppid(), "host": HERE}) is False
    assert is_swept(tmp_path, {"process": dead_process, "host": "elsewhere"}) is None
    for holder in ({}, {"process": "x", "host": HERE}, {"process": -1, "host": HERE}, {"process": None}):
        assert is_swept(tmp_path, holder) is None


def test_a_sweeper_that_died(tmp_path: Path, dead_process: int) -> None:
    sweep = write_sweep(tmp_path / "s", POINTS, study=False)
    plan_of(sweep.folder)
    unfinish(sweep.run(2, None), 5)
    swept_by(sweep.folder, dead_process)
    seen = see(sweep.folder)
    command = "python -m rlhf_sweeps -m ppo.lr=1,2 hydra.sweeper.seed=1 hydra.sweep.dir=s"
    assert seen.note == f"no sweeper is running: continue with {command}"
    assert (seen.trials[2].state, seen.left) == ("unfinished", None)
    assert not seen.has_ended  # its last sign is young: it may live where its process cannot be seen
    os.utime(sweep.folder / "sweep.json", (1e9, 1e9))
    seen = see(sweep.folder)
    assert (seen.has_ended, seen.is_complete) == (True, False)
    lines = text([seen], 60)
    start = lines.index("no sweeper is running: continue with") + 1
    shell = "\n".join(["python() { echo python $@; }", *lines[start : start + 2]])
    pasted = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
    assert pasted.stdout == f"{command}\n"


def test_a_sweep_without_its_command_does_not_invent_one(tmp_path: Path, dead_process: int) -> None:
    sweep = write_sweep(tmp_path / "s", POINTS, study=False)
    unfinish(sweep.run(2, None), 5)
    swept_by(sweep.folder, dead_process)
    note = "no sweeper is running; {}, which has the command that continues, is missing"
    assert see(sweep.folder).note == note.format("multirun.yaml")  # where the versions before had it
    lose(sweep.start_file)
    assert see(sweep.folder).note == note.format("sweep.json")


def test_an_update_that_is_no_number_is_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "0", rows(3), end=None)
    with (run.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"update": 1e999}\n')
    followed = FollowedRun(run)
    followed.look()
    assert followed.update == 3


def test_a_sweeper_on_another_machine_lives_as_long_as_it_gives_signs(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", POINTS, study=False)
    plan_of(sweep.folder)
    unfinish(sweep.run(2, None), 5)
    swept_by(sweep.folder, 1, "elsewhere")
    seen = see(sweep.folder)
    assert (seen.trials[2].state, seen.note) == ("running", None)
    os.utime(sweep.folder / "sweep.json", (1e9, 1e9))
    places = Places(sweep.folder)
    (seen,) = places.look()
    assert seen.trials[2].state == "unfinished"
    assert (seen.note or "").startswith("no sign of a sweeper; if it is gone, continue with python -m rlhf_sweeps")
    assert not seen.has_ended
    change(sweep.folder / "sweep.json", seconds=61.0)  # the clocks of the two machines need not agree
    os.utime(sweep.folder / "sweep.json", (1e9, 1e9))
    (seen,) = places.look()
    assert (seen.trials[2].state, seen.note) == ("running", None)


# Folders


def test_a_folder_with_several_takes_a_line_for_each_that_has_ended(tmp_path: Path) -> None:
    write_sweep(tmp_path / "grid", POINTS[:2], study=False)
    plan_of(tmp_path / "grid")
    write_run(tmp_path / "done")
    run = write_run(tmp_path / "going")
    unfinish(run, 12)
    with run.claim():
        seen = Places(tmp_path).look()
    assert [one.name for one in seen] == ["done", "going", "grid"]
    lines = text(seen)
    assert lines[0].startswith("done: complete, 0:00:15")
    assert lines[1].startswith("grid: 2/2 trials done: 2 complete; 0:01:00")
    assert lines[2] == "going: running, 0:00:06, about 0:00:09 left"
    assert re.match(r"going +12/30", lines[4])
    lines = text([*seen[:1]] * 30 + seen[1:2], height=12)
    assert len(lines) <= 12
    assert lines[0] == "26 more have ended"
    assert text(seen[1:2] * 5, height=12) == ["going: running, 0:00:06, about 0:00:09 left"] * 5  # no room for tables


def test_what_appears_later_is_found_and_what_is_deleted_goes(tmp_path: Path) -> None:
    places = Places(tmp_path / "s")
    assert places.look() == []
    sweep = write_sweep(tmp_path / "s", POINTS, study=False)
    places._due = 0.0
    assert len(places.look()[0].trials) == 3
    for path in sorted(sweep.trial(1).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    sweep.trial(1).rmdir()
    assert [row.label for row in places.look()[0].trials] == ["0", "2"]


def test_what_is_deleted_while_it_is_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sweep(tmp_path / "s", POINTS, study=False)
    write_run(tmp_path / "r")

    def vanish(sweep: Sweep) -> list[Any]:
        raise FileNotFoundError(sweep.folder)

    monkeypatch.setattr("analysis.watch.sweep.runs_of", vanish)
    assert [one.name for one in Places(tmp_path).look()] == ["r"]


def test_what_has_ended_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = write_sweep(tmp_path / "s", POINTS, study=False)
    unfinish(sweep.run(1, None), 12)
    places = Places(sweep.folder)
    read: list[str] = []
    new_metrics = Run.new_metrics
    monkeypatch.setattr(Run, "new_metrics", lambda run: (read.append(run.folder.name), new_metrics(run))[1])
    text(places.look(), height=1)
    assert read == ["1"]
    text(places.look(), height=40)
    assert read == ["1", "0", "2"]
    text(places.look(), height=40)
    assert read == ["1", "0", "2"]


def test_warnings_are_of_runs_that_run(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", POINTS[:2], study=False)
    for number in (0, 1):
        unfinish(sweep.run(number, None), 20)
    path = sweep.run(1, None).folder / "metrics.jsonl"
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps({**row, "objective/kl": 300.0, "eval/kl": 300.0}) + "\n" for row in found))
    places = Places(sweep.folder)
    with claim(sweep.folder, ""):
        (seen,) = places.look()
        places._followed[sweep.folder]._warnings._due = 0.0  # type: ignore[union-attr]
        (seen,) = places.look()
    assert (seen.warning or "").startswith("trial 1: KL blow-up, from update 1 on: ")
    assert seen.warning in text([seen], width=300)
    swept_by(sweep.folder, 1)
    assert places.look()[0].warning is None


def test_nothing_is_written(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", POINTS)
    before = {path: path.stat().st_mtime_ns for path in sweep.folder.rglob("*")}
    sweep.folder.chmod(0o500)
    assert len(see(sweep.folder).trials) == 3
    sweep.folder.chmod(0o700)
    assert {path: path.stat().st_mtime_ns for path in sweep.folder.rglob("*")} == before


JUNK = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"\xff\xfe\x00",
    b'{"space": 3, "config": [], "seeds": 0, "seconds": "x"}',
    b'{"axes": [3, {"key": "x", "low": "y", "when": [1]}], "num_trials": "x", "arguments": 5, "test_seeds": {}}',
)
MORE_JUNK = (b'{"hydra": {"sweeper": 3, "overrides": {"task": 5}}}', b'{"update": 1e999}\n', b'{"status": {}}', b"NaN")


@pytest.mark.parametrize("seed", range(4))
def test_damaged_records_are_no_reason_to_fail(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    sweep = write_sweep(tmp_path / "s", POINTS)
    plan_of(sweep.folder)
    swept_by(sweep.folder, 1)
    for number in sweep.trials():  # as every run has: where all else is another's by what it holds, a run was begun
        sweep.run(number, None).config_file.write_text("{}", encoding="utf-8")
    junk = [*JUNK, *MORE_JUNK]
    places = Places(sweep.folder)
    for _ in range(4):
        for path in sorted(sweep.folder.rglob("*")):
            if path.is_file() and random.random() < 0.3:
                path.write_bytes(junk[random.integers(len(junk))])
            elif path.is_file() and random.random() < 0.05:
                path.unlink()
        places._due = 0.0
        for width in (1, 20, 60, 200):
            (seen,) = places.look()
            lines = text([seen], width, height=10)
            assert max(map(len, lines)) <= width
            assert len(seen.trials) == len(POINTS)


def test_numbers_of_any_size_are_drawn(tmp_path: Path) -> None:
    wild = [-1e308, 1e308, float("inf"), float("nan"), 1e-320, 10**400, True, None, "x", [1]]
    found = [
        {
            "update": index,
            "objective/rlhf_reward": value,
            "eval/score": value,
            "eval/kl": value,
            "perf/update_seconds": value,
        }
        for index, value in enumerate(wild, 1)
    ]
    run = write_run(tmp_path / "r", found, end={"status": "complete", "seconds": 1e300, "updates": 1e300})
    assert text([see(run.folder)], 60)


# How it fits


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("is_ascii", [True, False])
def test_it_fits_any_terminal(tmp_path: Path, width: int, is_ascii: bool) -> None:
    points = [{"ppo.lr": 0.000454273069389333 * n, "ppo.kl_coef": 0.1, "ppo.clip_range": 0.2} for n in range(1, 41)]
    sweep = write_sweep(tmp_path / "s", points, updates=6, study=False)
    for number in (5, 30):
        unfinish(sweep.run(number, None), 3)
    with claim(sweep.folder, ""):
        seen = see(sweep.folder)
    lines = text([seen], width, 24, is_ascii)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= width
    numbers = [line.split()[0] for line in lines if re.match(r" *\d+ ", line)]
    assert numbers[:2] == ["5", "30"]  # those that run
    assert len(numbers) >= 15
    assert all("running" in line for line in lines if re.match(r" *(5|30) ", line)) or width == 40
    if is_ascii:
        assert all(line.isascii() for line in lines)


def test_settings_are_told_apart_and_not_taken_for_markup(tmp_path: Path) -> None:
    settings = {"ppo.lr": "1e-05", "+model.lr": "[red]", "ppo.kl_coef": "0.013578356541284002"}
    seen = Seen("s", tmp_path, [Row("0", settings, [], "waiting"), Row("1", {}, [], "failed", "error")])
    lines = text([seen])
    assert re.match(r"trial +ppo\.lr +\+model\.lr +kl_coef +update", lines[2])
    assert re.match(r" +0 +1e-05 +\[red\] +0\.01358 +waiting", lines[3])
    assert lines[4].endswith("failed (error)")


def test_a_curve_in_one_line() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], is_ascii=False) == "▁▂▃▄▅▆▇█"
    assert sparkline([0, 0, 7, 7], is_ascii=True, width=2) == "_#"
    assert sparkline([3.0], is_ascii=False) == "▅"
    assert sparkline([float("nan"), 1.0, float("inf"), 2.0], is_ascii=False) == "▁█"
    assert sparkline([], is_ascii=False) == ""
    assert len(sparkline(list(range(1000)), is_ascii=False)) == 10


# The command


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nowhere/s", "there is no such folder"),
        ("gird", "there is no such folder; did you mean "),
        ("file", "must be the folder of a run or sweep"),
        ("empty", "holds no run and no sweep yet"),
    ],
)
def test_a_wrong_path_is_one_line(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "grid").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(AnalysisError, match=expected) as caught:
        watch(tmp_path / name, once=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("interval", [0.0, -1.0, float("nan"), float("inf")])
def test_an_interval_is_above_zero(tmp_path: Path, interval: float) -> None:
    with pytest.raises(AnalysisError, match="--interval="):
        watch(tmp_path, interval=interval)


def command(folder: Path, *more: str) -> list[str]:
    """To be run in the folder's parent: a path of any length would break the lines elsewhere."""
    return [sys.executable, "-m", "analysis", "watch", folder.name, *more]


@pytest.mark.parametrize("more", [["--once"], []])
def test_in_a_pipe_it_is_plain_lines(tmp_path: Path, more: list[str]) -> None:
    sweep = write_sweep(tmp_path / "s", POINTS, study=False)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FORCE_COLOR": "1", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command(sweep.folder, *more), cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\x1b" not in done.stdout
    assert len(done.stdout.splitlines()) == 3 + len(POINTS)


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, words: list[str], place: Path) -> None:
        self.process, self.descriptor = pty.fork()
        self.output = ""
        if self.process == 0:
            os.chdir(place)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell has it ignored in the background
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100", "LINES": "20"}
            os.execve(words[0], words, {**environment, "PYTHONUTF8": "1"})

    def read(self, wanted: str, seconds: float = 30) -> None:
        """Read until a text is there; or to the end, if it is empty."""
        deadline = time.monotonic() + seconds
        while not (wanted and wanted in self.output):
            assert time.monotonic() < deadline, self.output[-2000:]
            if not select.select([self.descriptor], [], [], 0.1)[0]:
                continue
            try:
                content = os.read(self.descriptor, 1 << 16)
            except OSError:  # the other end is closed
                content = b""
            if not content:
                assert not wanted, self.output[-2000:]
                return
            self.output += content.decode("utf-8", "replace")

    def end(self) -> int:
        self.read("")
        status = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        self.process = 0
        return status

    def close(self) -> None:
        if self.process:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        os.close(self.descriptor)


@pytest.fixture
def terminal(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Starts a command in a terminal."""
    opened: list[Terminal] = []

    def start(folder: Path, *more: str) -> Terminal:
        opened.append(Terminal(command(folder, *more), folder.parent))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def is_sane(output: str) -> bool:
    """Whether the cursor is back, and the screen as it was."""
    return output.rfind("\x1b[?25h") > output.rfind("\x1b[?25l") and output.rfind("\x1b[?1049l") > output.rfind(
        "\x1b[?1049h"
    )


def test_it_follows_a_sweep_from_before_its_beginning_to_its_end(tmp_path: Path, terminal: Any) -> None:
    shown = terminal(tmp_path / "s", "--interval", "0.1")
    shown.read("nothing there yet; waiting")
    with claim(tmp_path / "s", ""):
        sweep = write_sweep(tmp_path / "s", POINTS, study=False)
        plan_of(sweep.folder)
        unfinish(sweep.run(2, None), 12)
        shown.read("12/30")
        sweep.run(2, None).append_metrics(rows(30)[12])
        shown.read("13/30")
        sweep.run(2, None).write_summary(summary(rows(30)))
        shown.read("the sweeper is finishing")
    assert shown.end() == 0
    assert is_sane(shown.output)
    last = shown.output[shown.output.rfind("\x1b[?1049l") :]
    assert "3/3 trials done: 3 complete" in last  # which stays on the terminal


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_leaves_the_terminal_as_it_was(tmp_path: Path, terminal: Any, number: int, status: int) -> None:
    sweep = write_sweep(tmp_path / "s", POINTS, study=False)
    unfinish(sweep.run(2, None), 12)
    with claim(sweep.folder, ""):
        shown = terminal(sweep.folder)
        shown.read("12/30")
        if number == signal.SIGINT:
            os.write(shown.descriptor, b"\x03")
        else:
            os.kill(shown.process, number)
        assert shown.end() == status
    assert is_sane(shown.output)
    assert "Traceback" not in shown.output


def test_a_sweep_that_has_ended_is_looked_at_again_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = write_sweep(tmp_path / "s", POINTS[:2], study=False)
    plan_of(sweep.folder)
    places = Places(Path("s"))
    assert places.look()[0].has_ended
    unfinish(write_run(sweep.trial(2)), 12)
    assert len(places.look()[0].trials) == 2
    swept_by(sweep.folder, 1)
    with claim(sweep.folder, ""):
        (seen,) = places.look()
    assert (len(seen.trials), seen.has_ended) == (3, False)


# Time left


def busy(left: float, state: str = "running", seconds: float = 0.0) -> Row:
    """A trial that has so many seconds left by its own speed."""
    return Timed("0", {}, [], state, still=left, took=seconds)


class Timed(Row):
    """A row whose times are given."""

    def __init__(self, *arguments: Any, still: float | None, took: float) -> None:
        super().__init__(*arguments)
        self._still, self._took = still, took

    left = property(lambda self: self._still)  # type: ignore[assignment]
    seconds = property(lambda self: self._took)  # type: ignore[assignment]
    whole = property(lambda self: None if self._still is None else self._took + self._still)  # type: ignore[assignment]


def diverged(seconds: float) -> Row:
    """A trial whose setting was at fault."""
    return Timed("0", {}, [], "failed", "diverged", still=None, took=seconds)


ENDED = [busy(0.0, "complete", 100.0), busy(0.0, "pruned", 20.0)]


@pytest.mark.parametrize(
    ("trials", "num_new", "workers", "expected"),
    [
        ([*ENDED, busy(270.0, seconds=30.0)], 0, 4, 270.0),  # nobody can help the last one
        ([*ENDED, busy(150.0, seconds=200.0), busy(200.0, seconds=200.0)], 0, 2, 200.0),
        ([*ENDED, busy(10.0, seconds=50.0), busy(30.0, seconds=30.0)], 3, 2, 10.0 + 2 * 60.0),  # 60 s each
        ([*ENDED, busy(10.0, seconds=50.0), busy(40.0, "waiting", 20.0)], 1, 1, 10.0 + 40.0 + 60.0),
        ([*ENDED, busy(10.0, seconds=50.0)], 4, 4, 10.0 + 60.0),  # three idle workers begin at once
        ([busy(90.0, seconds=10.0)], 2, 1, 90.0 + 2 * 100.0),  # nothing has ended: as long as the one that runs
        ([*ENDED, Timed("1", {}, [], "running", still=None, took=30.0)], 0, 2, 100.0 - 30.0),  # no speed yet
        ([Timed("1", {}, [], "running", still=None, took=30.0)], 0, 2, None),
        ([], 3, 2, None),
        # What failed for no fault of its setting tells nothing; what runs does.
        ([busy(0.0, "failed", 2.0), busy(270.0, seconds=30.0)], 10, 1, 270.0 + 10 * 300.0),
        ([diverged(20.0), busy(70.0, seconds=30.0)], 2, 1, 70.0 + 2 * 60.0),
    ],
)
def test_the_time_left_is_that_of_the_last_to_end(
    trials: list[Row], num_new: int, workers: int, expected: float | None
) -> None:
    assert seconds_left(trials, [], num_new, 0, workers) == expected


def test_test_seeds_come_after_all_trials() -> None:
    trials = [*ENDED, busy(50.0, seconds=50.0)]
    assert seconds_left(trials, [], 0, 3, 2) == 50.0 + 2 * 100.0  # three of 100 s, two at a time
    assert seconds_left(ENDED, [busy(70.0)], 0, 1, 2) == 100.0
    # Two seeds a trial: a test run takes half of a trial.
    several = [Timed("0", {}, [], "complete", None, 2, still=0.0, took=100.0)]
    assert seconds_left(several, [], 0, 1, 1) == 50.0


def test_the_time_left_knows_of_tests_of_trials_to_come(tmp_path: Path) -> None:
    """Of 4 trials 2 are complete, one runs and one is to come; each of the best 3 is tested on 2 seeds, 15 s each."""
    sweep = write_sweep(tmp_path / "s", POINTS, study=False)
    plan_of(sweep.folder, num_workers=1, num_trials=4, test_seeds=[7, 8], num_tests=6)
    unfinish(sweep.run(1, None), 12)
    swept_by(sweep.folder, os.getpid())
    with claim(sweep.folder, ""):
        assert see(sweep.folder).left == pytest.approx(9 + 15 + 6 * 15)


def test_very_many_trials_take_no_time_to_count() -> None:
    assert span([], [], [1.0] * 1_000_000, 4) == 250_000.0


def test_constraints_hold_without_a_study(tmp_path: Path) -> None:
    points = [{"ppo.lr": 1e-3}, {"ppo.lr": 1e-4}]
    sweep = write_sweep(tmp_path / "s", points, study=False)
    for number, length in ((0, 40.0), (1, 25.0)):
        metrics = [{**row, "objective/length": length} for row in rows(30, height=3.0 - number)]
        for file in ("run.json", "summary.json"):
            lose(sweep.trial(number) / file)
        settings = {"objective__constraints": ["objective/length<=30"]}
        write_run(sweep.trial(number), metrics, settings=settings, overrides=[f"ppo.lr={points[number]['ppo.lr']}"])
    assert [row.label for row in see(sweep.folder).best()] == ["1"]


@pytest.mark.parametrize("study", [True, False])
@pytest.mark.parametrize(
    ("lengths", "kls", "best"),
    [
        ((60.0, 24.0, 24.0), (3.0, 3.0, 3.0), "trials 3, 4 and 5"),  # 36 in the mean, although trial 1 keeps to 30
        ((24.0, 24.0, 24.0), (99.0, 3.0, 3.0), "trials 0, 1 and 2"),  # seed 0 never stayed within the budget
    ],
)
def test_watch_and_report_have_a_setting_keep_its_limits_in_the_mean_over_the_seeds_that_tell(
    lengths: Sequence[float], kls: Sequence[float], best: str, study: bool, tmp_path: Path
) -> None:
    """Of an earlier version's sweep, with a trial for each seed: 0 to 2 are worth more than 3 to 5."""
    points = [{"ppo.lr": lr, "seed": seed} for lr in (1e-3, 1e-4) for seed in range(3)]
    sweep = write_sweep(tmp_path / "s", points, heights=[3.0] * 3 + [2.0] * 3, study=study)
    for number, point in enumerate(points):
        length, kl = (lengths[number], kls[number]) if number < 3 else (24.0, 3.0)
        told = {"eval/length": length, "eval/kl": kl}
        metrics = [
            {**row, "objective/kl": kl, **{name: value for name, value in told.items() if name in row}}
            for row in rows(30, height=3.0 if number < 3 else 2.0)
        ]
        for file in ("run.json", "summary.json"):
            lose(sweep.trial(number) / file)
        settings = {"objective__constraints": ["eval/length<=30"], "seed": point["seed"]}
        overrides = [f"{key}={value}" for key, value in point.items()]
        write_run(sweep.trial(number), metrics, settings=settings, overrides=overrides)
    assert f", {best}: ppo.lr=" in _best_text(see(sweep.folder))
    winner = rank(read_folder(sweep)).best
    assert winner is not None
    assert best == "trials " + listed([str(number) for number in winner.numbers])


@pytest.mark.parametrize(
    "space",
    [{"+reward_model": "choice(a,b)"}, {"ppo.lr": "choice(1e-4,1e-3) with reward_model=choice(a,b)"}],
)
def test_reward_models_that_are_tied_or_added_are_compared_with_nobody(space: dict[str, str]) -> None:
    assert read_plan(in_new_form({"space": space}, {})).is_comparison


def test_keys_that_are_added_keep_their_settings(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", [{"ppo.lr": 1e-4}], study=False)
    plan_of(sweep.folder, axes=as_data(axes({"+new.key": "choice(3,4) with +other=choice(5,6)"})))
    told = sweep.trial(0) / ".hydra" / "overrides.yaml"
    told.write_text("['+new.key=3', '+other=5', 'ppo.lr=1']", encoding="utf-8")
    assert see(sweep.folder).trials[0].settings == {"new.key": "3", "other": "5"}
    assert read(sweep.folder).trials[0].settings == {"new.key": "3", "other": "5"}


def test_settings_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", [{"ppo.lr": 1.2341e-4}, {"ppo.lr": 1.2344e-4}])
    assert {line.split()[1] for line in text([see(sweep.folder)])[3:5]} == {"0.00012341", "0.00012344"}
