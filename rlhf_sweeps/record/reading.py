"""Reading files whose content cannot be trusted: all files of records, and tables of other programs, are opened here.

A record may come from anybody. So only regular files are read, not folders, pipes or devices; their size is limited;
and a number beyond the range of a float becomes nan.
"""

import errno
import json
import math
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import orjson
import yaml

from rlhf_sweeps.platforms import system

Row = dict[str, Any]

# Limits on what is read: chosen far above our own files, not measured.
MOST_BYTES = 64 * 2**20  # bytes of a JSON object or a YAML file; ours have some kilobytes
MOST_LINE = 16 * 2**20  # bytes of a row; ours have some kilobytes
MOST_FILE = 4 * 2**30  # bytes of a file of rows, or of a table
MOST_NODES = 200_000  # nodes of a YAML file; an alias counts as many as the node that it repeats
_MOST_DEPTH = 200  # nested nodes of a YAML file
# Errors of the operating system that say nothing about the file and may pass, and their causes in words.
PASSING = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EIO: "the disk cannot be read or written",
    errno.EMFILE: "too many files are open (see ulimit -n)",
    errno.ENFILE: "too many files are open on this machine",
    errno.ENOLCK: "no more files can be locked",
    errno.ENOMEM: "no memory is left for another process",
    errno.ENOTCONN: "the file server does not answer",
    errno.ETIMEDOUT: "the file server does not answer",
    errno.EAGAIN: "no more processes may be started (see ulimit -u)",
}
if hasattr(errno, "ESTALE"):
    PASSING[errno.ESTALE] = "the file server has lost the folder"

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader is ten times as fast
_WAIT_FOR_NOBODY = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)


def raise_passing(error: OSError) -> None:
    """Raise the error again if its cause may pass: the file that could not be read is neither missing nor damaged."""
    if error.errno in PASSING:
        raise error


def open_record(path: Path, most: int = MOST_FILE) -> BufferedReader:
    """Open a regular file to read its bytes.

    Args:
        most: the allowed size in bytes.

    Raises:
        FileNotFoundError: if there is none.
        OSError: if it is anything but a regular file, or too large; its `strerror` says so.
    """
    if path.exists() and not path.is_file():  # opening a device or a pipe may have effects
        raise OSError(errno.EISDIR if path.is_dir() else errno.EINVAL, f"is {name_kind(path)}, no file", str(path))
    handle = system.patiently(lambda: os.open(path, os.O_RDONLY | _WAIT_FOR_NOBODY))
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        if status.st_size > most:
            size, limit = (f"{number / 2**20:.4g} MB" for number in (status.st_size, most))
            raise OSError(errno.EFBIG, f"has {size}, and at most {limit} are read", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def name_kind(path: Path) -> str:
    """What a path that is no regular file is, in words."""
    return "a folder" if path.is_dir() else "a pipe" if path.is_fifo() else "a device or the like"


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """A regular file's content; raises as `open_record`."""
    with open_record(path, most) as file:
        return file.read()


def read_lines(path: Path) -> Iterator[bytes | None]:
    """A regular file's lines with their line ends, None for a line that is too long; raises as `open_record`."""
    with open_record(path) as file:
        while line := file.readline(MOST_LINE):
            if len(line) < MOST_LINE or line.endswith(b"\n"):
                yield line
                continue
            while (part := file.readline(MOST_LINE)) and not part.endswith(b"\n"):
                pass
            yield None


def parse_object(text: bytes) -> Row | None:
    """The JSON object in a text; None if there is none. A whole number beyond the range of a float is nan."""
    try:
        content = orjson.loads(text)  # five times as fast as json, and stricter
    except orjson.JSONDecodeError:
        return parse_exactly(text)  # NaN and Infinity
    return content if isinstance(content, dict) else None


def parse_exactly(text: bytes) -> Row | None:
    """As `parse_object`, but whole numbers beyond 2**64 do not become floats."""
    try:
        content = json.loads(text, parse_int=_parse_whole)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def read_yaml(path: Path) -> Any:
    """A YAML file's content, in plain values.

    Raises:
        OSError: as `open_record`.
        ValueError, RecursionError, yaml.YAMLError: if it is not YAML, or has too many nodes.
    """
    text = read_bytes(path).decode("utf-8")
    _check_depth(text)
    loader = _LOADER(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count_nodes(node, {}, 0)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_depth(text: str) -> None:
    """Raise ValueError if nodes are nested too deeply: libyaml's composer would crash the process."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_DEPTH:
            raise ValueError("nested too deeply")


def _parse_whole(digits: str) -> int | float:
    """A whole number of JSON, which may have any number of digits; nan beyond the range of a float."""
    if len(digits) > 400:
        return math.nan
    number = int(digits)
    return number if abs(number) <= sys.float_info.max else math.nan


def _count_nodes(node: yaml.Node, sizes: dict[int, int], depth: int) -> int:
    """The number of nodes, aliases expanded: nine nested aliases can stand for a billion nodes."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in sizes:
        return sizes[id(node)]
    if depth > _MOST_DEPTH:  # the depth is infinite if a node contains itself
        raise ValueError("nested too deeply")
    inner = [child for pair in node.value for child in pair] if isinstance(node, yaml.MappingNode) else node.value
    total = 1
    for child in inner:
        total += _count_nodes(child, sizes, depth + 1)
        if total > MOST_NODES:
            raise ValueError("its aliases expand to too many nodes")
    sizes[id(node)] = total
    return total


def as_mapping(content: Any) -> Mapping[str, Any]:
    """The content if it is a mapping; else an empty mapping."""
    return content if isinstance(content, Mapping) else {}


def salvage_yaml(path: Path, problems: list[str]) -> Any:
    """The content of a YAML file; None if there is no file, which is no problem, or if it cannot be read."""
    try:
        return read_yaml(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append(f"{path.name}: {error.strerror}")
    except (ValueError, RecursionError, yaml.YAMLError):  # a ValueError is raised by a date such as the 45th of May
        problems.append(f"{path.name}: damaged, left out")
    return None
