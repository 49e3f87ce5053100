"""W&B's own .wandb files: LevelDB's log format around one protobuf message for each record.

A file is a header of 7 bytes, then blocks of 32 KiB; a record is cut into chunks so that none crosses a block's end
(https://github.com/google/leveldb/blob/main/doc/log_format.md). W&B has no public reader for Python.
"""

import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

_HEADER = struct.Struct("<4sHB")  # ":W&B", 0xBEE1, version
_CHUNK = struct.Struct("<IHB")  # crc32 over type and data, length, type
# The format of LevelDB logs, which W&B uses: bytes of a block, and types of the parts of a record.
_BLOCK = 32768
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_STEP = "_step"


def is_log(content: bytes) -> bool:
    """Whether a file's content begins as W&B's files do."""
    return len(content) >= _HEADER.size and _HEADER.unpack_from(content)[:2] == (b":W&B", 0xBEE1)


def read_contents(content: bytes, problems: list[str]) -> dict[str, Any]:
    """The run in a .wandb file as fields of a WandbLog, config, rows and summary always among them.

    Args:
        content: of the whole file, header included.
        problems: gets a sentence about what is damaged.
    """
    fields: dict[str, Any] = {"config": {}, "rows": [], "summary": {}}
    for record in read_records(content, problems):
        kind = record.WhichOneof("record_type")
        if kind == "history":
            row = _read_items(record.history.item)
            row.setdefault(_STEP, record.history.step.num)
            fields["rows"].append(row)
        elif kind == "summary":
            fields["summary"] |= _read_items(record.summary.update)
            for item in record.summary.remove:
                fields["summary"].pop(_make_key(item), None)
        elif kind == "run":
            fields |= _describe_run(record.run)
            if record.run.HasField("branch_point"):
                fields["branch"] = (record.run.branch_point.run, record.run.branch_point.value)
            _configure(fields["config"], record.run.config)
        elif kind == "config":
            _configure(fields["config"], record.config)
        elif kind == "environment" and record.environment.root:
            fields["root"] = record.environment.root
        elif kind == "exit":
            fields["exit_code"] = record.exit.exit_code
    return fields


def _describe_run(run: Any) -> dict[str, Any]:
    return {
        "id": run.run_id,
        "name": run.display_name,
        "group": run.run_group,
        "job_type": run.job_type,
        "project": run.project,
        "start_time": run.start_time.seconds + run.start_time.nanos / 1e9,
        "is_resumed": run.resume or run.resumed,
    }


def _make_key(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def _read_items(items: Iterable[Any]) -> dict[str, Any]:
    """Key -> value; a nested key as `samples.path`. A file holds a hundred thousand: each field is looked at once."""
    values = {}
    for item in items:
        path = item.nested_key
        values[path[0] if len(path) == 1 else item.key or ".".join(path)] = _parse_json(item.value_json)
    return values


def _parse_json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            return json.loads(text)  # NaN and Infinity
        except (ValueError, RecursionError):
            return None


def _configure(config: dict[str, Any], change: Any) -> None:
    for item in change.update:
        *groups, last = [item.key] if item.key else list(item.nested_key) or [""]
        place = config
        for group in groups:
            inner = place.get(group)
            place[group] = inner = inner if isinstance(inner, dict) else {}
            place = inner
        place[last] = _parse_json(item.value_json)
    for item in change.remove:
        config.pop(_make_key(item), None)


def read_records(content: bytes, problems: list[str]) -> Iterator[Any]:
    """The readable records (wandb_internal.Record) of a .wandb file, oldest first.

    A file that ends within a record is that of a killed run, and no problem. Damage costs the rest of its block.

    Args:
        content: of the whole file, header included.
        problems: gets a sentence about what is damaged.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from wandb.proto import wandb_internal_pb2

    make_record = vars(wandb_internal_pb2)["Record"]  # the module gets its names when it is imported
    num_damaged = 0
    for message in _split_messages(content):
        if message is None:
            num_damaged += 1
            continue
        record = make_record()
        try:
            record.ParseFromString(message)
        except DecodeError:
            num_damaged += 1
            continue
        yield record
    if num_damaged:
        where = "1 place, which is" if num_damaged == 1 else f"{num_damaged} places, which are"
        problems.append(f"damaged in {where} left out")


def _split_messages(content: bytes) -> Iterator[bytes | None]:
    """One message for each record; None wherever something is damaged."""
    position = _HEADER.size
    parts: list[bytes] | None = None  # of a record that has begun
    while True:
        left = _BLOCK - position % _BLOCK
        if left < _CHUNK.size:  # padding
            position += left
        if position + _CHUNK.size > len(content):
            return
        checksum, length, kind = _CHUNK.unpack_from(content, position)
        start, end = position + _CHUNK.size, position + _CHUNK.size + length
        fits = end <= position - position % _BLOCK + _BLOCK
        if fits and end > len(content):
            return
        data = content[start:end]
        if not fits or zlib.crc32(data, zlib.crc32(bytes([kind]))) != checksum:
            # Where the next chunk would begin is not known, where the next block does is.
            position += _BLOCK - position % _BLOCK
            parts = None
            yield None
            continue
        position = end
        if kind in (_FULL, _FIRST):
            parts = []
        if parts is None:  # the rest of a record whose beginning is lost
            continue
        parts.append(data)
        if kind in (_FULL, _LAST):
            yield b"".join(parts)
            parts = None
