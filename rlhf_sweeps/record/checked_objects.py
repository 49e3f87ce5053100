"""The record's small objects, which everything else depends on: each has a digest, and a copy.

The digest reveals damage, down to a single bit, and the copy replaces a damaged or lost file. Objects of earlier
versions have neither and are read unchecked.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path

from rlhf_sweeps.record.files import remove, write_atomically
from rlhf_sweeps.record.reading import (
    Row,
    name_kind,
    open_record,
    parse_exactly,
    parse_object,
    raise_passing,
    read_bytes,
)

DIGEST = "sha256"  # the key of an object's digest in the object
_COPIES = ".copies"


def locate_copy(path: Path) -> Path:
    """The path of an object's copy."""
    return path.parent / _COPIES / path.name


def write_object(path: Path, content: Mapping[str, object], is_kept_twice: bool = True) -> None:
    """Write an object atomically, then its copy: the copy is never newer than the object."""
    plain = json.loads(json.dumps(content))  # the digest is of the object as it will be read
    text = json.dumps({**content, DIGEST: _digest(plain)}, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, text)
    if is_kept_twice:
        locate_copy(path).parent.mkdir(exist_ok=True)
        write_atomically(locate_copy(path), text)


def remove_object(path: Path) -> None:
    """Remove an object, its copy first: otherwise the copy would restore it if the process died in between."""
    remove(locate_copy(path))
    remove(path)


def salvage_object(path: Path, problems: list[str]) -> Row:
    """The object in a JSON file, or in its copy; empty if neither can be read.

    Args:
        problems: a sentence about damage is added to these; a file that never existed is no problem.
    """
    content, problem = _read(path)
    if content is not None:
        return content
    copy, _ = _read(locate_copy(path))
    if copy is not None:
        problems.append(f"{path.name}: {problem or 'missing'}, read from its copy")
    elif problem is not None:
        problems.append(f"{path.name}: {problem}, left out")
    return copy or {}


def mend_object(path: Path) -> list[str]:
    """Restore an object from its copy if it cannot be read, and the copy from the object.

    A folder or the like in the place of either is renamed and kept, since it may be the user's.

    Returns:
        one sentence for each problem.
    """
    problems = set_aside(path)
    set_aside(locate_copy(path))
    content = salvage_object(path, problems)
    if content and (problems or _read(locate_copy(path))[0] != content):
        write_object(path, content)
    return problems


def set_aside(path: Path) -> list[str]:
    """Rename whatever lies at a file's path but is no file; one sentence if there was such a thing."""
    if not path.exists() or path.is_file():
        return []
    kind, aside = name_kind(path), name_aside(path)
    path.rename(aside)
    return [f"{path.name}: is {kind}, no file; now called {aside.name}"]


def name_aside(path: Path, *others: Path) -> Path:
    """A free name, beside `path`, for a file that makes way and is kept; free in the folders `others`, too."""
    names = (f"{path.name}.set_aside_{number}" for number in itertools.count(1))
    folders = (path.parent, *others)
    return path.with_name(next(name for name in names if not any(os.path.lexists(at / name) for at in folders)))


def digest_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, as `sha256sum` prints it; raises as `open_record`."""
    with open_record(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_differences(folder: Path, digests: Mapping[str, str]) -> list[str]:
    """One sentence for each file of a folder that is missing or does not have its digest any more."""
    problems = []
    for name, digest in digests.items():
        try:
            if digest_file(folder / name) != digest:
                problems.append(f"{name}: damaged, its digest differs")
        except FileNotFoundError:
            problems.append(f"{name}: missing")
        except OSError as error:
            raise_passing(error)
            problems.append(f"{name}: {error.strerror}")
    return problems


def _read(path: Path) -> tuple[Row | None, str | None]:
    """The object, or what is wrong with it; two Nones if there is no file."""
    try:
        text = read_bytes(path)
    except FileNotFoundError:
        return None, None
    except OSError as error:
        raise_passing(error)
        return None, str(error.strerror)
    for parse in (parse_object, parse_exactly):  # only an object with huge numbers needs the slow parser
        if (content := parse(text)) is None:
            return None, "damaged"
        digest = content.pop(DIGEST, None)
        if digest is None or digest == _digest(content):
            return content, None
    return None, "damaged, its digest differs"


def _digest(content: Row) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
