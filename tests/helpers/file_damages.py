"""Ways to damage a file of a record."""

import random
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


def _missing(path: Path, _: random.Random) -> bool:
    path.unlink()
    return True


def _empty(path: Path, _: random.Random) -> bool:
    path.write_bytes(b"")
    return True


def _cut(path: Path, _: random.Random) -> bool:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return True


def _nul_tail(path: Path, _: random.Random) -> bool:
    content = path.read_bytes()
    kept = len(content) - max(1, len(content) // 4)
    path.write_bytes(content[:kept] + bytes(len(content) - kept))
    return True


def _garbage_line(path: Path, _: random.Random) -> bool:
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[: len(lines) // 2], b'\x93{"half": \xff', *lines[len(lines) // 2 :]]))
    return True


def _list_for_object(path: Path, _: random.Random) -> bool:
    if path.suffix not in (".json", ".jsonl", ".yaml"):
        return False
    path.write_bytes(b"[1, 2]\n")
    return True


def _text_for_number(path: Path, numbers: random.Random) -> bool:
    if path.suffix not in (".json", ".jsonl", ".yaml"):
        return False
    content = path.read_text(encoding="utf-8")
    found = list(re.finditer(r": (-?\d[\d.e+-]*)", content))
    if not found:
        return False
    one = numbers.choice(found)
    path.write_text(f'{content[: one.start(1)]}"many"{content[one.end(1) :]}', encoding="utf-8")
    return True


def _folder(path: Path, _: random.Random) -> bool:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("a user's", encoding="utf-8")
    return True


def _flipped(path: Path, numbers: random.Random) -> bool:
    content = bytearray(path.read_bytes())
    if not content:
        return False
    content[numbers.randrange(len(content))] ^= 1 << numbers.randrange(7)
    path.write_bytes(content)
    return True


DAMAGES: dict[str, Callable[[Path, random.Random], bool]] = {
    "missing": _missing,
    "empty": _empty,
    "cut": _cut,
    "nul tail": _nul_tail,
    "garbage line": _garbage_line,
    "list for object": _list_for_object,
    "text for number": _text_for_number,
    "folder": _folder,
    "flipped bit": _flipped,
}


def files_of(folder: Path) -> list[str]:
    """The files of a record, what was written for the eye alone left out."""
    found = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    return [str(path) for path in found if path.suffix != ".log" and path.name not in ("README.md", "stop")]


def damaged(whole: Path, target: Path, name: str, how: str, seed: int) -> bool:
    """A copy of a record with one file damaged; False where that cannot be done to the file."""
    shutil.copytree(whole, target)
    return DAMAGES[how](target / name, random.Random(f"{name} {how} {seed}"))


def cases(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every file with every damage."""
    return ((name, how) for name in names for how in DAMAGES)
