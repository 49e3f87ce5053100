"""Damaged, unfinished and foreign records: what can be read is, and what cannot is said."""

from pathlib import Path

import pytest
from helpers.records import rows, write_run

from rlhf_sweeps.record import (
    Run,
    find_restarts,
    salvage,
    salvage_samples,
    select_current,
)


def test_a_sound_record_has_no_problems(tmp_path: Path) -> None:
    content = salvage(write_run(tmp_path / "run", rows(4), overrides=["ppo.lr=1e-4"]))
    assert [row["update"] for row in content.rows] == [1, 2, 3, 4]
    assert content.summary["status"] == "complete"
    assert content.start["config"]["ppo"]["lr"] == 5e-4
    assert content.overrides == ("ppo.lr=1e-4",)
    assert content.problems == ()


def test_a_cut_last_line_is_left_out_and_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", rows(3), end=None)
    path = tmp_path / "run" / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    content = salvage(run)
    assert [row["update"] for row in content.rows] == [1, 2]
    assert content.problems == ("metrics.jsonl: its last line is cut off and left out",)
    assert content.summary == {}


def test_a_last_line_that_lacks_nothing_but_its_end_counts(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", rows(3), end=None)
    path = tmp_path / "run" / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    assert len(salvage(run).rows) == 3
    assert salvage(run).problems == ()


def test_damaged_lines_are_counted_and_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", rows(5))
    path = tmp_path / "run" / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1], lines[3] = b"\x00\xff{{\n", b"[1, 2]\n"
    path.write_bytes(b"".join(lines))
    content = salvage(run)
    assert [row["update"] for row in content.rows] == [1, 3, 5]
    assert content.problems == ("metrics.jsonl: 2 lines are damaged and left out (line 2, 4)",)


@pytest.mark.parametrize(
    ("num", "said"),
    [(1, "1 line is damaged and left out (line 1)"), (7, "7 lines are damaged and left out (line 1, 2, 3, 4, 5)")],
)
def test_one_damaged_line_is_one_and_of_many_five_are_named(tmp_path: Path, num: int, said: str) -> None:
    run = write_run(tmp_path / "run", rows(2))
    path = tmp_path / "run" / "metrics.jsonl"
    path.write_bytes(b"{\n" * num + path.read_bytes())
    assert salvage(run).problems == (f"metrics.jsonl: {said}",)


def test_a_damaged_last_line_that_has_its_end_was_not_cut_off(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", rows(2), end=None)
    run.metrics_file.write_bytes(run.metrics_file.read_bytes() + b'{"update": 3\n')
    assert salvage(run).problems == ("metrics.jsonl: 1 line is damaged and left out (line 3)",)


def test_of_two_rows_of_an_update_the_later_counts_and_the_order_is_mended(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run", [{"update": 1, "x": 1}, {"update": 3, "x": 3}, {"update": 2, "x": 2}, {"update": 1, "x": 9}]
    )
    assert salvage(run).rows == [{"update": 1, "x": 9}, {"update": 2, "x": 2}, {"update": 3, "x": 3}]


def test_rows_without_an_update_are_counted(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [{"update": 1}])
    (tmp_path / "run" / "metrics.jsonl").write_text('{"x": 4}\n{"x": NaN}\n', encoding="utf-8")
    assert [row["update"] for row in salvage(run).rows] == [1, 2]


def test_another_trainers_rows_are_numbered_by_its_steps(tmp_path: Path) -> None:
    """As in a folder of a Hydra sweep of another trainer, where something else says that it is a run."""
    run = write_run(tmp_path / "run", [{"update": 1}])
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 100, "x": 4}\n{"step": 200, "x": 5}\n', encoding="utf-8")
    assert salvage(run).rows == [{"x": 4, "update": 100}, {"x": 5, "update": 200}]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'"text"'])
@pytest.mark.parametrize("name", ["run.json", "summary.json"])
def test_a_damaged_object_is_said_and_the_rest_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    run = write_run(tmp_path / "run", rows(3))
    (tmp_path / "run" / name).write_bytes(content)
    salvaged = salvage(run)
    assert salvaged.start["config"]["ppo"]["lr"] == 5e-4
    assert salvaged.summary["status"] == "complete"
    assert salvaged.problems == (f"{name}: damaged, read from its copy",)
    (tmp_path / "run" / ".copies" / name).write_bytes(content)
    salvaged = salvage(run)
    assert len(salvaged.rows) == 3
    assert salvaged.problems == (f"{name}: damaged, left out",)


def test_another_version_of_the_record_is_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", rows(2), end={"schema_version": 7, "status": "complete"})
    assert salvage(run).problems == ("written with version 7 of the record, read as version 1",)


def test_a_run_that_never_began_has_what_hydra_wrote(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("ppo: {lr: 0.1}\n", encoding="utf-8")
    (tmp_path / ".hydra" / "overrides.yaml").write_text("{[", encoding="utf-8")
    content = salvage(Run(tmp_path))
    assert content.start["config"] == {"ppo": {"lr": 0.1}}
    assert content.problems == ("overrides.yaml: damaged, left out",)


def test_samples_that_can_be_read(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", rows(2), texts=[("a", "b", "c\u2028</script>")])
    with (tmp_path / "run" / "samples.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"update": 2, "prom')
    found_samples, problems = salvage_samples(run)
    assert [row["response"] for row in found_samples] == ["c\u2028</script>"]
    assert problems == ["samples.jsonl: its last line is cut off and left out"]


def test_what_a_run_recorded_beyond_the_update_it_went_on_from_is_dead(tmp_path: Path) -> None:
    """Updates 1 to 6, then 4 and 5 again: 6 was never part of the run that went on."""
    recorded = [{"update": update, "x": x} for x, update in enumerate([1, 2, 3, 4, 5, 6, 4, 5])]
    content = salvage(write_run(tmp_path / "run", recorded))
    assert [(row["update"], row["x"]) for row in content.rows] == [(1, 0), (2, 1), (3, 2), (4, 6), (5, 7)]
    assert content.problems == (
        "the updates go back from 6 to 4: taken for a continued run, so the later values count",
    )


def test_what_a_crash_loop_left_is_dead_however_often_the_run_went_back(tmp_path: Path) -> None:
    updates = [1, 2, 3, 4, 5, 4, 5, 4, 5, 4]
    recorded = [{"update": update, "x": x} for x, update in enumerate(updates)]
    run = write_run(tmp_path / "run", recorded)
    assert [(row["update"], row["x"]) for row in salvage(run).rows] == [(1, 0), (2, 1), (3, 2), (4, 9)]
    assert len(salvage(run).problems) == 3
    samples = "".join(f'{{"update": {update}, "response": "{x}"}}\n' for x, update in enumerate(updates))
    run.samples_file.write_text(samples, encoding="utf-8")
    assert [row["response"] for row in salvage_samples(run)[0]] == ["0", "1", "2", "9"]


@pytest.mark.parametrize(
    ("updates", "kept"),
    [
        ([10, 20, 30, 40, 25, 35, 45, 55], [0, 1, 4, 5, 6, 7]),  # no update comes twice; short
        ([10, 20, 30, 40, 35], [0, 1, 2, 4]),
        ([1, 2, 3, 5, 4, 6], [0, 1, 2, 3, 4, 5]),  # in another order: nothing is missing
        ([1, 2, 3, 7, 8, 9, 10, 11, 12, 13, 14, 15, 4, 5, 6], [*range(15)]),
        ([0, 1, 2, 3, 4, 2, 3, 1], [0, 7]),  # twice rewound: 0, and 1 again
        ([*range(10), *range(5, 10), *range(7, 9)], [*range(5), 10, 11, 15, 16]),
        ([10, 20, 30, 40, 50, 60, 70, 80, 90, 85, 95], [0, 1, 2, 3, 4, 5, 6, 7, 9, 10]),  # no update comes twice
        ([3, 2, 1], [0, 1, 2]),  # newest first
        ([2, 1, 2, 1, 3, 3], [0, 1, 2, 3, 4, 5]),  # mixed
        ([1, float("nan"), 3, 2, 3], [0, 1, 3, 4]),
        ([], []),
    ],
)
def test_where_a_run_went_back(updates: list[float], kept: list[int]) -> None:
    assert select_current(updates, find_restarts(updates)) == kept
