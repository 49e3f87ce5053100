"""Whether a sweeper is at work, here or elsewhere, and the command that continues where none is."""

import json
import os
import subprocess
from pathlib import Path

from helpers.records import lose, write_sweep
from helpers.watched import HERE, POINTS, change, plan_of, see, swept_by, text, unfinish
from helpers.watched import dead_process as dead_process
from helpers.watched import from_here as from_here

from analysis.watch.liveness import find_claimant, is_swept
from analysis.watch.places import Places
from rlhf_sweeps.record.files import claim


def test_a_claim_is_seen_without_being_touched(tmp_path: Path) -> None:
    assert find_claimant(tmp_path) is None
    with claim(tmp_path, ""):
        assert find_claimant(tmp_path) == os.getpid()
        assert is_swept(tmp_path, {}) is True
    assert find_claimant(tmp_path) is None
    assert find_claimant(tmp_path / "nowhere") is None


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
    (sweep.folder / "multirun.yaml").write_text("hydra: {}", encoding="utf-8")
    assert see(sweep.folder).note == "no sweeper is running; sweep.json does not name the command that continues"
    note = "no sweeper is running; {}, which has the command that continues, is {}"
    old = {"schema_version": 1, "space": {"ppo.lr": "choice(0.0001,0.0005,0.001)"}}
    sweep.start_file.write_text(json.dumps(old), encoding="utf-8")  # the version before left it to Hydra's config
    assert see(sweep.folder).note == note.format("multirun.yaml", "damaged")
    (sweep.folder / "multirun.yaml").unlink()
    assert see(sweep.folder).note == note.format("multirun.yaml", "missing")
    lose(sweep.start_file)
    assert see(sweep.folder).note == note.format("sweep.json", "missing")
    sweep.start_file.write_text("{", encoding="utf-8")
    assert see(sweep.folder).note == note.format("sweep.json", "damaged")


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
