"""Folders that are watched: what appears, goes and ends there, what is read again, and that nothing is written."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from helpers.records import write_run, write_sweep
from helpers.watched import POINTS, plan_of, see, swept_by, text, unfinish
from helpers.watched import from_here as from_here

from analysis.watch.places import Places
from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.record.files import claim


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

    monkeypatch.setattr("analysis.watch.sweep.list_runs", vanish)
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
    found = [{**row, "objective/kl": 300.0 * (row["update"] > 1), "eval/kl": 300.0} for row in found]
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    places = Places(sweep.folder)
    with claim(sweep.folder, ""):
        (seen,) = places.look()
        places._followed[sweep.folder]._warnings._due = 0.0  # type: ignore[union-attr]
        (seen,) = places.look()
    assert (seen.warning or "").startswith("trial 1: KL blow-up, from update 2 on: ")
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
