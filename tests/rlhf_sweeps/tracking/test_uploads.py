"""The printed command gives `wandb sync` the folder of every offline run of a sweep, and no other one."""

from pathlib import Path

import pytest
from helpers.pasting import ALL_ODD, Paste
from helpers.pasting import paste as paste

from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.tracking.uploads import describe_upload


@pytest.mark.parametrize("name", ["s", ALL_ODD.replace("/", ""), "-x"])
def test_one_command_uploads_all_runs_of_a_sweep(name: str, paste: Paste, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_DIR", raising=False)
    sweep = Path(name)
    (sweep / "0").mkdir(parents=True)
    assert describe_upload(sweep) is None
    places = ["wandb/offline-run-1-a", "0/wandb/offline-run-2-b", "1/seed_0/wandb/offline-run-3-c"]
    for place in [*places, "0/wandb/run-4-d"]:
        (sweep / place).mkdir(parents=True)
    start, _, command_line = str(describe_upload(sweep)).partition(": ")
    assert start == "upload all W&B runs of this sweep"
    command, *folders = paste(command_line)
    assert command == "sync"
    assert sorted(Path(folder) for folder in folders) == sorted(sweep / place for place in places)


@pytest.mark.parametrize("place", [".", "0", "1/seed_0"])
def test_the_folder_of_wandb_is_taken_if_the_user_names_it_and_a_run_of_the_sweep_is_there(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, sweep = tmp_path / "all", Sweep(tmp_path / "s")
    monkeypatch.setenv("WANDB_DIR", str(shared))
    run = Run(sweep.folder / place)
    run.folder.mkdir(parents=True)
    sweep.write_start({"id": "ours", "seeds": [0]})
    run_id = "ours" if place == "." else run.begin({})["id"]
    (shared / "wandb" / "offline-run-20260101_000000-theirs").mkdir(parents=True)
    assert describe_upload(sweep.folder) is None
    (shared / "wandb" / f"offline-run-20260101_000000-{run_id}").mkdir()
    line = str(describe_upload(sweep.folder))
    assert line.startswith(f"upload all W&B runs of this sweep (and all others in WANDB_DIR): find {shared} -name ")
