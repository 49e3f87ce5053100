"""The files of a screen in its folder, beside `base/`, from which a second start takes answers and scores."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf_sweeps.record import SCREEN, write_atomically, write_object
from rlhf_sweeps.record.rows import format_row

TABLE, ANSWERS = "screen.csv", "answers.jsonl"
RECORDED = (SCREEN, TABLE, ANSWERS, "base")  # what a screen writes, beside its log and .hydra/


def write_screen(folder: Path, result: Mapping[str, Any], answers: Iterable[Mapping[str, Any]]) -> None:
    """Write the answers with their scores, the curves as a table, and at last the whole result.

    Args:
        result: see `make_result`, with the config.
        answers: a row for each.
    """
    write_atomically(folder / ANSWERS, "".join(map(format_row, answers)))
    write_atomically(folder / TABLE, _format_table(result["curves"]))
    write_object(folder / SCREEN, result, is_kept_twice=False)


def _format_table(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
