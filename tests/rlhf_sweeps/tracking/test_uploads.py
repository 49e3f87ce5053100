"""The printed command gives `wandb sync` the folder of every offline run of a sweep, and no other one."""

from pathlib import Path

import pytest
from helpers.pasting import ALL_ODD, Paste
from helpers.pasting import paste as paste

from rlhf_sweeps.tracking.uploads import write_upload


@pytest.mark.parametrize("name", ["s", ALL_ODD.replace("/", ""), "-x"])
def test_one_command_uploads_all_runs_of_a_sweep(name: str, paste: Paste, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_DIR", raising=False)
    sweep = Path(name)
    (sweep / "0").mkdir(parents=True)
    assert write_upload(sweep) is None
    places = ["wandb/offline-run-1-a", "0/wandb/offline-run-2-b", "1/seed_0/wandb/offline-run-3-c"]
    for place in [*places, "0/wandb/run-4-d"]:
        (sweep / place).mkdir(parents=True)
    command, *folders = paste(str(write_upload(sweep)))
    assert command == "sync"
    assert sorted(Path(folder) for folder in folders) == sorted(sweep / place for place in places)


def test_the_folder_of_wandb_is_taken_where_the_user_names_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    (tmp_path / "wandb" / "offline-run-1-a").mkdir(parents=True)
    assert str(tmp_path) in str(write_upload(Path("elsewhere")))
