"""Where the cache lies, and what stays in it; test_races has many at once, test_death a machine that dies."""

from pathlib import Path

import pytest

from rlhf_sweeps.files.cache import cache_dir, make_once


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    """As asked for, else in the user's cache folder, wherever that is."""
    for name in ("RLHF_SWEEPS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_dir() == Path.home() / ".cache" / "rlhf_sweeps"
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_dir() == Path("/somewhere/rlhf_sweeps")
    monkeypatch.setenv("RLHF_SWEEPS_CACHE", "/else")
    assert cache_dir() == Path("/else")


def test_only_what_was_made_stays(tmp_path: Path) -> None:
    """Neither the rest of its making, nor that of killed processes, whatever signs the name holds; others' is kept."""
    target = tmp_path / "kept[1]"
    for left in ("kept[1].0123abcd.unfinished", "kept1.0123abcd.unfinished"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "part").write_text("half")

    def make(scratch: Path) -> Path:
        (scratch / "rest").write_text("to be thrown away")
        (scratch / "made").write_text("whole")
        return scratch / "made"

    assert make_once(target, make).read_text() == "whole"
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"kept[1]", "kept[1].digests", "kept[1].lock", "kept1.0123abcd.unfinished"}


def test_a_making_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(scratch: Path) -> Path:
        (scratch / "part").write_text("half")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        make_once(tmp_path / "kept", fail)
    assert {path.name for path in tmp_path.iterdir()} == {"kept.lock"}
