"""The list of changes that tests must notice is about the code as it stands; `python -m tests.mutants` tries them."""

from collections import Counter
from pathlib import Path

import pytest
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


def test_no_change_stands_there_twice() -> None:
    counts = Counter((change.file, change.old, change.new) for change in CHANGES)
    assert [one for one, count in counts.items() if count > 1] == []
    assert len({change.name for change in CHANGES}) == len(CHANGES)


def test_a_text_that_does_not_stand_there_once_is_told(tmp_path: Path) -> None:
    change = Change("room", "README.md", "no such text", "x", (), "why")
    with pytest.raises(
        ValueError, match=r"room: README.md: why: the text to change stands there 0 times, must be once"
    ):
        change.made()
