"""Tables compared as people keep them: names of runs, bookkeeping, empty cells, a KL by token. Expectations by hand."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.comparison.compare import GroupComparison, compare_groups
from analysis.reading.sources import read

FALSE = ("also differ", "no setting has two seeds")
SETTINGS = {"a": 1e-5, "b": 1e-4}
UPDATES = range(1, 5)


def rows(**more: Any) -> list[dict[str, Any]]:
    """Two settings, three seeds each, four updates; `more` gives columns: (setting, seed, update) -> cell."""
    return [
        {"lr": lr, "seed": seed, "update": update, "eval/score": lr * 1e5 + 0.1 * seed + 0.01 * update}
        | {key: cell(name, seed, update) for key, cell in more.items()}
        for name, lr in SETTINGS.items()
        for seed in (0, 1, 2)
        for update in UPDATES
    ]


def compared(tmp_path: Path, table: list[dict[str, Any]], by: str = "lr") -> GroupComparison:
    pd.DataFrame(table).to_csv(tmp_path / "t.csv", index=False)
    return compare_groups(read(tmp_path / "t.csv"), by)


def is_right(found: GroupComparison) -> bool:
    """Two groups of three runs that differ in their seeds alone: 10.14 on average against 1.14."""
    values = {group.label: sorted(round(value, 6) for value in group.values.values()) for group in found.groups}
    assert values == {"0.0001": [10.04, 10.14, 10.24], "1e-05": [1.04, 1.14, 1.24]}
    assert {group.label: group.num_settings for group in found.groups} == {"0.0001": 1, "1e-05": 1}
    return not any(part in note for note in found.notes for part in FALSE)


@pytest.mark.parametrize(
    "column",
    ["run", "name", "run_name", "run_id"],
)
@pytest.mark.parametrize("is_of_setting", [True, False])
def test_a_runs_name_is_no_difference_between_groups(tmp_path: Path, column: str, is_of_setting: bool) -> None:
    """One name for all seeds of a setting, or one for each run."""
    names = rows(**{column: lambda name, seed, update: name if is_of_setting else f"{name}-{seed}"})
    assert is_right(compared(tmp_path, names))


@pytest.mark.parametrize(
    "column", ["id", "ID", "trial", "created_at", "Created", "Runtime", "start_time", "hostname", "State"]
)
@pytest.mark.parametrize("is_text", [True, False])
def test_bookkeeping_is_no_setting(tmp_path: Path, column: str, is_text: bool) -> None:
    def cell(name: str, seed: int, update: int) -> str | int:
        return f"{name}_{seed}" if is_text else 1000 * (name == "b") + seed

    assert is_right(compared(tmp_path, rows(run=lambda name, seed, update: f"{name}-{seed}", **{column: cell})))


def test_a_name_that_says_more_than_the_settings_is_a_difference(tmp_path: Path) -> None:
    """Two methods with each learning rate, the other one more often: the name is all that tells of the method."""
    table = rows(run=lambda name, seed, update: "ours" if seed and name == "b" else "theirs")
    assert any("also differ in run" in note for note in compared(tmp_path, table).notes)
    groups = compared(tmp_path, table, by="run").groups
    assert {group.label: len(group.values) for group in groups} == {"ours": 2, "theirs": 4}


def test_what_the_table_does_not_say_is_no_setting_of_its_own(tmp_path: Path) -> None:
    table = rows(run=lambda name, seed, update: f"{name}-{seed}")
    notes = compared(tmp_path, [row | {"lr": row["lr"] if row["seed"] < 2 else None} for row in table]).notes
    assert "none: the table has no value of lr for 2 runs" in notes


def test_empty_cells_are_neither_settings_nor_values(tmp_path: Path) -> None:
    """A setting that is written now and then, a score that was not measured, a column without any, a last result."""
    table = rows(
        run=lambda name, seed, update: name,
        lr=lambda name, seed, update: SETTINGS[name] if update in (1, 3) else None,
        empty=lambda name, seed, update: None,
        final=lambda name, seed, update: seed if update == 4 else None,
    )
    for row in table:
        row["eval/score"] = None if row["update"] == 2 else row["eval/score"]
    assert is_right(compared(tmp_path, table))
    (first, *_) = read(tmp_path / "t.csv").runs
    assert first.select_points("eval/score")[0].tolist() == [1, 3, 4]
    assert "final" not in first.config
    assert first.select_points("final")[1].tolist() == [0]
