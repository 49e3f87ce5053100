"""comparison.csv and comparison.json: they hold what was found, empty where it is unknown, always the same bytes."""

import csv
import json
from pathlib import Path
from typing import Any

from helpers.judged_groups import judged_groups

from analysis.output.files import write_files
from analysis.records.runs import Source
from analysis.results.results import Results
from analysis.views.compare import compare_view


def written(record: Source, folder: Path, formats: tuple[str, ...] = ()) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """The rows of comparison.csv, and comparison.json."""
    write_files(compare_view(Results(record), "reward_model"), folder, formats)
    rows = list(csv.DictReader((folder / "comparison.csv").read_text(encoding="utf-8").splitlines()))
    return rows, json.loads((folder / "comparison.json").read_text(encoding="utf-8"))


def test_files_hold_what_was_found(tmp_path: Path) -> None:
    rows, content = written(judged_groups(3), tmp_path, ("svg",))
    names = {f"comparison_{name}.svg" for name in ("values", "probability", "judges", "frontier", "matched_kl")}
    assert {path.name for path in tmp_path.glob("[!.]*")} == names | {"comparison.csv", "comparison.json"}
    assert all(path.stat().st_size > 0 for path in tmp_path.glob("[!.]*"))
    assert [row["reward_model"] for row in rows] == ["2", "1", "0"]
    assert [row["place"] for row in rows] == ["1", "2", "3"]
    assert float(rows[0]["low"]) < float(rows[0]["percentile_low"]) <= float(rows[0]["value"])
    assert rows[0]["verdict"] == ""
    assert content["measure"] == "win rate under the other judges"
    assert len(content["pairs"]) == 3
    assert set(content["frontiers"]) == {"own reward model", "a", "b"}
    assert len(content["matched_kl"]["levels"]) == 3
    assert content["groups"][0]["estimate"]["num_runs"] == 3
    counts = [
        (one["num_evaluated_runs"], one["num_with_a_way"]) for one in content["matched_kl"]["levels"][0]["groups"]
    ]
    assert counts == [(3, 3)] * 3


def test_values_that_are_unknown_are_empty(tmp_path: Path) -> None:
    rows, content = written(judged_groups(2, num_seeds=1), tmp_path)
    assert [(row["low"], row["adjusted_p"]) for row in rows] == [("", ""), ("", "")]
    assert content["groups"][0]["estimate"]["low"] is None
    assert content["winner"] is None


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        written(judged_groups(2, judges=("a",)), tmp_path / name, ("png", "svg"))
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).glob("[!.]*")} for name in ("one", "two"))
    assert one == two
    assert len(one) == 12
