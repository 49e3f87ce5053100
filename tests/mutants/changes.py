"""Small wrong changes to the code, each with the tests that must notice it; a list for each room."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]


@dataclass(frozen=True)
class Change:
    """One change.

    Attributes:
        room: the list that it stands in: ppo, sweep, analysis ...
        file: that it is made to, from the root of the project.
        old, new: the text that stands there once, and what takes its place.
        tests: files, or parts of them as pytest takes them, of which one must fail.
        why: what is wrong with it, in a few words.
        equal: why it changes nothing that anybody could notice; empty for all others.
    """

    room: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    why: str
    equal: str = ""

    @property
    def name(self) -> str:
        """`sweep: rlhf_sweeps/sweep/pruning/pruning_state.py: a falling KL`."""
        return f"{self.room}: {self.file}: {self.why}"

    def made(self) -> str:
        """The file's text with the change.

        Raises:
            ValueError: if the old text does not stand there exactly once.
        """
        text = (ROOT / self.file).read_text(encoding="utf-8")
        if (count := text.count(self.old)) != 1:
            raise ValueError(f"{self.name}: the text to change stands there {count} times, must be once: {self.old!r}")
        return text.replace(self.old, self.new)


def changes(rooms: list[str] | None = None) -> list[Change]:
    """All changes of some rooms, or of all, in the order of the lists."""
    found = []
    for path in sorted(FOLDER.glob("*.toml")):
        if not rooms or path.stem in rooms:
            entries = tomllib.loads(path.read_text(encoding="utf-8"))["change"]
            found += [Change(path.stem, **{**entry, "tests": tuple(entry["tests"])}) for entry in entries]
    return found
