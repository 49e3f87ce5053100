"""The list of changes that tests must notice is about the code as it stands; `python -m tests.mutants` tries them."""

import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from mutants.__main__ import DIES, HANGS, NOTICED, SURVIVED, UNTRIED, outcome_of, run_tests
from mutants.changes import FOLDER, ROOT, Change, changes

CHANGES = changes()


@pytest.mark.parametrize("room", sorted(path.stem for path in FOLDER.glob("*.toml")))
def test_every_change_can_be_made(room: str) -> None:
    for change in changes([room]):
        made = change.made()
        assert made != (ROOT / change.file).read_text(encoding="utf-8"), change.name
        if change.file.endswith(".py"):
            compile(made, change.file, "exec")
        assert change.tests or change.equal, change.name
        missing = [test for test in change.tests if not (ROOT / test.partition("::")[0]).is_file()]
        assert not missing, change.name


def test_the_page_has_the_number_of_changes() -> None:
    page = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    rooms = {path.stem: len(changes([path.stem])) for path in FOLDER.glob("*.toml")}
    assert f"There are {len(CHANGES)} changes: " in page
    assert [f"{count} in {room}" for room, count in rooms.items() if f"{count} in {room}" not in page] == []


def test_no_change_stands_there_twice() -> None:
    counts = Counter((change.file, change.old, change.new) for change in CHANGES)
    assert [one for one, count in counts.items() if count > 1] == []
    assert len({change.name for change in CHANGES}) == len(CHANGES)


def test_the_page_of_the_tests_counts_them() -> None:
    page = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    numbers = {path.stem: len(changes([path.stem])) for path in FOLDER.glob("*.toml")}
    assert f"There are {len(CHANGES)} changes: " in page
    assert {room for room, number in numbers.items() if f"{number} in {room}" not in page} == set()


def test_a_text_that_does_not_stand_there_once_is_told(tmp_path: Path) -> None:
    change = Change("room", "README.md", "no such text", "x", (), "why")
    with pytest.raises(
        ValueError, match=r"room: README.md: why: the text to change stands there 0 times, must be once"
    ):
        change.made()


@pytest.mark.parametrize(
    ("status", "outcome"), [(0, SURVIVED), (1, NOTICED), (2, UNTRIED), (4, UNTRIED), (-10, DIES), (None, HANGS)]
)
def test_what_a_status_of_the_tests_says(status: int | None, outcome: str) -> None:
    assert outcome_of(status) == outcome


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_tests_that_die_by_a_signal_have_noticed(tmp_path: Path) -> None:
    code = "import signal\n\ndef test_it() -> None:\n    signal.raise_signal(signal.SIGUSR1)\n"
    (tmp_path / "test_it.py").write_text(code, encoding="utf-8")
    status, _ = run_tests(tmp_path, ["test_it.py"], 60)
    assert status == -signal.SIGUSR1
    assert outcome_of(status) == DIES
