"""Made-up .wandb files, by a writer of their format of its own."""

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK = 32768
proto: Any = wandb_internal_pb2


def _item(key: str, value: Any, into: Any) -> None:
    entry = into.add()
    *groups, last = key.split("|")
    if groups:
        entry.nested_key.extend([*groups, last])
    else:
        entry.key = last
    entry.value_json = value if isinstance(value, str) else json.dumps(value)


def write_log(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    *,
    config: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
    removed: Sequence[str] = (),
    exit_code: int | None = 0,
    start: int = 1,
    branch: tuple[str, int] | None = None,
    steps: Sequence[int] | None = None,
    **about: Any,
) -> Path:
    """A file with one record for each of these; values that are strings are JSON already, `a|b` is a nested key.

    Args:
        removed: keys of the summary that were taken back.
        branch: the run from which this one goes on, and its last step that counts.
        steps: W&B's own of each row; by default counted from 0.
        about: further fields of the run's own record.
    """
    records = [proto.Record()]
    run = records[0].run
    run.run_id, run.start_time.seconds = about.pop("id", path.stem), start
    for name, value in about.items():
        setattr(run, name, value)
    if branch is not None:
        run.branch_point.run, run.branch_point.value, run.branch_point.metric = *branch, "_step"
    for key, value in (config or {}).items():
        _item(key, value, run.config.update)
    for step, row in zip(range(len(rows)) if steps is None else steps, rows, strict=True):
        records.append(proto.Record())
        records[-1].history.step.num = step
        for key, value in row.items():
            _item(key, value, records[-1].history.item)
    for key, value in (summary or {}).items():
        records.append(proto.Record())
        _item(key, value, records[-1].summary.update)
    for key in removed:
        records.append(proto.Record())
        records[-1].summary.remove.add().key = key
    if exit_code is not None:
        records.append(proto.Record())
        records[-1].exit.exit_code = exit_code
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_framed([record.SerializeToString() for record in records]))
    return path


def _framed(messages: Sequence[bytes]) -> bytes:
    content = b":W&B\xe1\xbe\x00"
    for message in messages:
        rest, is_first = message, True
        while is_first or rest:
            left = BLOCK - len(content) % BLOCK
            if left < 7:
                content += bytes(left)
                left = BLOCK
            part, rest = rest[: left - 7], rest[left - 7 :]
            kind = {(True, False): 1, (True, True): 2, (False, True): 3, (False, False): 4}[is_first, bool(rest)]
            content += struct.pack("<IHB", zlib.crc32(bytes([kind]) + part), len(part), kind) + part
            is_first = False
    return content
