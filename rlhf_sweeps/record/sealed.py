"""The record's small objects, which all else depends on: each with its digest, and kept twice.

A digest tells a flipped bit from what was written, and with the other copy one of the two may be lost. What earlier
versions have written has neither, and is read as it stands.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path

from rlhf_sweeps.record.files import remove, write_atomically
from rlhf_sweeps.record.reading import Row, kind_of, open_record, parse_exactly, parse_object, raise_passing, read_bytes

DIGEST = "sha256"  # the key of an object's own
_COPIES = ".copies"


def copy_of(path: Path) -> Path:
    """Where an object lies a second time."""
    return path.parent / _COPIES / path.name


def write_object(path: Path, content: Mapping[str, object], is_kept_twice: bool = True) -> None:
    """Write an object atomically; its copy comes last, so that it is never the newer one."""
    plain = json.loads(json.dumps(content))  # keys as they will be read
    text = json.dumps({**content, DIGEST: _digest(plain)}, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, text)
    if is_kept_twice:
        copy_of(path).parent.mkdir(exist_ok=True)
        write_atomically(copy_of(path), text)


def remove_object(path: Path) -> None:
    """Remove an object; its copy goes first, or it would come back if the process died in between."""
    remove(copy_of(path))
    remove(path)


def salvage_object(path: Path, problems: list[str]) -> Row:
    """The object in a JSON file, or that in its copy; empty if there is none.

    Args:
        problems: gets what cannot be read, in a sentence; that there never was such a file is none.
    """
    content, problem = _read(path)
    if content is not None:
        return content
    copy, _ = _read(copy_of(path))
    if copy is not None:
        problems.append(f"{path.name}: {problem or 'missing'}, read from its copy")
    elif problem is not None:
        problems.append(f"{path.name}: {problem}, left out")
    return copy or {}


def mend_object(path: Path) -> list[str]:
    """Put an object's copy in the place of one that cannot be read; what was wrong, in sentences.

    What is no file is moved out of the way, since it may be a user's.
    """
    problems = set_aside(path)
    set_aside(copy_of(path))
    content = salvage_object(path, problems)
    if content and (problems or _read(copy_of(path))[0] != content):
        write_object(path, content)
    return problems


def set_aside(path: Path) -> list[str]:
    """Give what lies in a file's place, and is none, another name; says so."""
    if not path.exists() or path.is_file():
        return []
    what, aside = kind_of(path), name_aside(path)
    path.rename(aside)
    return [f"{path.name}: is {what}, no file; now called {aside.name}"]


def name_aside(path: Path, *others: Path) -> Path:
    """A name for what makes way and stays; nothing has it beside the path, nor in some other folders."""
    names = (f"{path.name}.set_aside_{number}" for number in itertools.count(1))
    folders = (path.parent, *others)
    return path.with_name(next(name for name in names if not any(os.path.lexists(at / name) for at in folders)))


def digest_of(path: Path) -> str:
    """Of a file's bytes, as `sha256sum` gives it; raises as `open_record`."""
    with open_record(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differing(folder: Path, digests: Mapping[str, str]) -> list[str]:
    """The files of a folder that are not what they were when their digests were taken, each with what is wrong."""
    problems = []
    for name, digest in digests.items():
        try:
            if digest_of(folder / name) != digest:
                problems.append(f"{name}: damaged, its digest is another")
        except FileNotFoundError:
            problems.append(f"{name}: missing")
        except OSError as error:
            raise_passing(error)
            problems.append(f"{name}: {error.strerror}")
    return problems


def _read(path: Path) -> tuple[Row | None, str | None]:
    """The object, or what is wrong; neither where there is no file."""
    try:
        text = read_bytes(path)
    except FileNotFoundError:
        return None, None
    except OSError as error:
        raise_passing(error)
        return None, str(error.strerror)
    for parse in (parse_object, parse_exactly):  # few have numbers that take the slow way
        if (content := parse(text)) is None:
            return None, "damaged"
        digest = content.pop(DIGEST, None)
        if digest is None or digest == _digest(content):
            return content, None
    return None, "damaged, its digest is another"


def _digest(content: Row) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
