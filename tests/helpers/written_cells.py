"""Tables written as text, and what is read of them."""

from pathlib import Path

from analysis.reading.sources import read
from analysis.records.runs import Source


def source_of(tmp_path: Path, text: str, name: str = "t.csv") -> Source:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read(tmp_path / name)
