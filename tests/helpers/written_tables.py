"""Ten rows of conversations, as files of each kind."""

import json
from pathlib import Path

import datasets
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from helpers.data_files import assistant, pair, user, write_lines
from rlhf_sweeps.data import PreferencePair

TALK = [user("hi"), assistant("hello"), user("who?")]
ROWS = [
    {**pair(TALK, [assistant("me, 你")], [assistant("no\none")]), "n": 1},
    *({**pair([user(f'"{n}", x')], [assistant("a")], [assistant("b")]), "n": n} for n in range(9)),
]
PAIRS = [PreferencePair(row["prompt"], row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in ROWS]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def write_json(path: Path) -> None:
    path.write_text(json.dumps(ROWS, indent=2, ensure_ascii=False), encoding="utf-8-sig")


def write_lines_of_windows(path: Path) -> None:
    lines = "\r\n\r\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
    path.write_bytes(b"\xef\xbb\xbf" + lines.encode() + b"\r\n")


def write_csv(path: Path) -> None:
    cells = {name: [json.dumps(row[name]) for row in ROWS] for name in ("prompt", "chosen", "rejected")}
    table = pandas.DataFrame(cells)
    if path.name == "index.csv":
        table.to_csv(path)
    else:
        table.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n")


def write_parquet(path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path, row_group_size=4)


def write_folder(path: Path) -> None:
    path.mkdir()
    write_lines(path / "train.jsonl", ROWS)
