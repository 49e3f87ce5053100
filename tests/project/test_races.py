"""Files and folders that several processes write or make at once."""

import errno
import os
import re
import signal
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from helpers.at_once import at_once
from helpers.chat_tokenizers import smollm2

from rlhf_sweeps.data import Encoded
from rlhf_sweeps.files.cache import make_once
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.record import BaseRecord, Run, Sweep, open_atomically, write_atomically
from rlhf_sweeps.training.base_policy import BasePolicy

LONG = 20_000


def test_a_file_that_many_write_is_always_whole(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text("0" * LONG)
    seen = set()

    def write(number: int) -> None:
        for _ in range(60):
            write_atomically(path, str(number) * LONG)

    assert at_once(4, write, lambda: seen.add(path.read_text())) == [0] * 4
    assert seen <= {str(number) * LONG for number in range(4)}
    assert seen
    assert list(tmp_path.iterdir()) == [path]


def test_many_write_the_base_record_of_one_sweep(tmp_path: Path) -> None:
    def write(number: int) -> None:
        record = BaseRecord(tmp_path)
        for position in range(30):
            record.write(f"scores_{position}", [{"score": number}] * 3)
            assert len(record.read(f"scores_{position}")) == 3

    assert at_once(4, write) == [0] * 4
    assert len(list((tmp_path / "base").iterdir())) == 30


def test_the_base_policy_is_asked_by_one_of_those_that_start_at_once(tmp_path: Path) -> None:
    prompts = Encoded([[{"role": "user", "content": "Hello?"}]], [[5, 6]], 0)

    def sample(*_: object) -> Responses:
        with (tmp_path / "asked").open("a") as asked:
            asked.write("x")
        time.sleep(0.2)
        mask = torch.ones(1, 1, dtype=torch.bool)
        return Responses(mask.long(), mask, mask.long(), mask, torch.zeros(1, 1), torch.tensor([False]))

    def ask(_: int) -> None:
        base_policy = BasePolicy(BaseRecord(tmp_path), None, sample, smollm2(), prompts)
        assert base_policy.answers(prompts, "evaluation", 0).tokens == [[1]]

    assert at_once(4, ask) == [0] * 4
    assert (tmp_path / "asked").read_text() == "x"


def test_a_full_disk_is_told_with_the_files_name(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    with pytest.raises(OSError, match="No space left") as refusal, open_atomically(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert refusal.value.filename == str(path)
    assert not list(tmp_path.iterdir())


def test_a_maker_gets_a_folder_that_no_other_ever_had(tmp_path: Path) -> None:
    """A killed maker's child may write on; what it leaves goes with the next maker."""
    folders: list[Path] = []

    def fail(scratch: Path) -> Path:
        folders.append(scratch)
        (scratch / "part").touch()
        raise KeyboardInterrupt

    def make(scratch: Path) -> Path:
        folders.append(scratch)
        assert not list(scratch.iterdir())
        (scratch / "whole").write_text("made")
        return scratch / "whole"

    with pytest.raises(KeyboardInterrupt):
        make_once(tmp_path / "target", fail)
    folders[0].mkdir()  # by the child
    (folders[0] / "late").touch()
    assert make_once(tmp_path / "target", make).read_text() == "made"
    assert folders[0] != folders[1]
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_where_writing_fails_all_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_atomically(path, "old")
    with pytest.raises(TypeError), open_atomically(path) as file:
        file.writelines(["half", None])
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])
    missing = tmp_path / "no" / "summary.json"
    with pytest.raises(FileNotFoundError) as refusal:
        write_atomically(missing, "text")
    assert refusal.value.filename == str(missing)


def test_who_may_read_a_file_is_left_to_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    try:
        write_atomically(tmp_path / "run.json", "{}")
    finally:
        os.umask(umask)
    assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o640


def test_what_a_killed_process_left_is_no_record_and_removed_later(tmp_path: Path) -> None:
    run, base = Run(tmp_path / "0"), tmp_path / "base"
    run.folder.mkdir()
    base.mkdir()
    hour_ago = time.time() - 3601
    for path in (run.summary_file, run.start_file, base / "scores.jsonl", tmp_path / "sweep.json"):
        for name in (f"{path.name}.1a2b3c4d.unfinished", f"{path.name}.unfinished"):
            path.with_name(name).write_text('{"cut')
            os.utime(path.with_name(name), (hour_ago, hour_ago))
        path.with_name(f"{path.name}.5e6f7a8b.unfinished").write_text('{"being writ')
    sweep = Sweep(tmp_path)
    assert (run.start(), run.summary(), sweep.start(), sweep.base.read("scores")) == (None, None, None, [])
    assert sweep.trials() == [0]
    with run.claim(), sweep.claim():
        sweep.base.write("scores", [])
    left = [path.name for path in tmp_path.rglob("*.unfinished")]
    assert len(left) == 4
    assert all("5e6f7a8b" in name for name in left)


def test_one_process_makes_what_all_wait_for(tmp_path: Path) -> None:
    target = tmp_path / "cache" / "model"

    def make(scratch: Path) -> Path:
        with (tmp_path / "makers").open("a") as makers:
            makers.write("x")
        (scratch / "half").mkdir()
        (scratch / "half" / "weights").write_text("whole")
        time.sleep(0.2)
        return scratch / "half"

    def use(_: int) -> None:
        assert (make_once(target, make) / "weights").read_text() == "whole"

    assert at_once(8, use) == [0] * 8
    assert (tmp_path / "makers").read_text() == "x"
    assert sorted(path.name for path in target.parent.iterdir()) == ["model", "model.digests", "model.lock"]


@pytest.mark.parametrize("end", ["killed", "failed"])
def test_the_next_makes_what_the_first_did_not_finish(tmp_path: Path, end: str) -> None:
    target, first = tmp_path / "cache" / "weights", tmp_path / "first"

    def make(scratch: Path) -> Path:
        assert not list(scratch.iterdir())
        (scratch / "weights").write_text("whole")
        try:
            first.touch(exist_ok=False)
        except FileExistsError:
            return scratch / "weights"
        (scratch / "weights").write_text("half")
        if end == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise SystemExit(3)

    def use(_: int) -> None:
        assert make_once(target, make).read_text() == "whole"

    assert sorted(at_once(3, use), key=bool) == [0, 0, -signal.SIGKILL if end == "killed" else 3]
    assert sorted(path.name for path in target.parent.iterdir()) == ["weights", "weights.digests", "weights.lock"]


def test_what_is_there_needs_no_lock(tmp_path: Path) -> None:
    def make(scratch: Path) -> Path:
        (scratch / "made").mkdir()
        return scratch / "made"

    make_once(tmp_path / "model", make)
    (tmp_path / "model.lock").unlink()
    assert make_once(tmp_path / "model", lambda scratch: scratch / "never") == tmp_path / "model"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.digests"]


def test_the_analysis_writes_files_whole() -> None:
    """A sweep writes its report at its end, and its user may ask for it at that moment."""
    in_place = re.compile(r"\.write_text\(|\.write_bytes\(|\.open\(\"[wa]|savefig\(path")
    assert [path for path in (ROOT / "analysis").rglob("*.py") if in_place.search(path.read_text("utf-8"))] == []
