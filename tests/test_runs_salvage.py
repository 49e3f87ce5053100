"""Damaged, unfinished and foreign records: what can be read is, and what cannot is said."""

from pathlib import Path

import pytest
from records import rows, write_run, write_sweep

from rlhf_sweeps.runs import (
    Run,
    Sweep,
    alive,
    analysis_folder,
    found,
    is_run,
    is_sweep,
    natural,
    owner,
    restarts,
    runs_of,
    salvage,
    salvage_samples,
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
    run = write_run(tmp_path / "run", rows(3))
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


def test_what_lies_in_a_folder(tmp_path: Path) -> None:
    write_run(tmp_path / "outputs" / "b", rows(1))
    write_sweep(tmp_path / "outputs" / "a", [{"ppo.lr": 1e-4}], updates=2, study=False)
    write_run(tmp_path / "outputs" / "old" / "c", rows(1))
    (tmp_path / "outputs" / "empty").mkdir()
    places = list(found(tmp_path / "outputs"))
    assert [(type(place), place.folder.name) for place in places] == [(Sweep, "a"), (Run, "b"), (Run, "c")]


def test_numbered_runs_alone_are_a_sweep_and_an_empty_folder_is_nothing(tmp_path: Path) -> None:
    write_run(tmp_path / "sweep" / "0", rows(1))
    assert is_sweep(tmp_path / "sweep")
    assert not is_sweep(tmp_path / "sweep" / "0")
    assert is_run(tmp_path / "sweep" / "0")
    (tmp_path / "nothing").mkdir()
    assert not is_sweep(tmp_path / "nothing")
    assert list(found(tmp_path / "nothing")) == []


def test_runs_of_a_sweep_with_seeds_and_tests(tmp_path: Path) -> None:
    for name in ("0/seed_0", "0/seed_10", "0/seed_2", "10", "2", "test/0_seed_7"):
        write_run(tmp_path / name, rows(1))
    (tmp_path / "test" / "notes").mkdir()
    places = [(one.trial, one.seed, one.is_test) for one in runs_of(Sweep(tmp_path))]
    assert places == [
        (0, 0, False),
        (0, 2, False),
        (0, 10, False),
        (2, None, False),
        (10, None, False),
        (0, 7, True),
    ]


HISTORY = '{"step": 100, "reward": 2.0, "timing": {"update": 1}}\n{"step": 200, "reward": 3.0}\n'
ROW = '{"update": 1, "x": 2}'
SAMPLE = '{"update": 1, "prompt": "p", "response": "r"}'


@pytest.mark.parametrize(
    ("name", "content", "is_record"),
    [
        ("metrics.jsonl", HISTORY, False),
        ("metrics.jsonl", f"{ROW}\n", True),
        ("metrics.jsonl", f'{{"upd\n{ROW}\n', True),  # its first line is damaged
        ("metrics.jsonl", ROW[:-3], True),  # cut off
        ("metrics.jsonl", "", False),
        ("summary.json", '[{"step": 1, "reward": 2.0}, {"step": 2, "reward": 3.0}]', False),
        ("summary.json", '{"log_history": [{"step": 1, "reward": 2.0}]}', False),
        ("summary.json", '{"reward": 2.0}', False),
        ("summary.json", '{"schema_version": 1, "status": "complete"}', True),
        ("summary.json", '{"schema_version": 1, "sta', True),
        ("run.json", '{"model": "gpt2"}', False),
        ("run.json", '{"schema_version": 1, "id": "a", "config": {}}', True),
        ("run.json", "", True),
        ("samples.jsonl", '{"step": 1, "response": "r"}\n', False),
        ("samples.jsonl", f"{SAMPLE}\n", True),
        ("comparison.json", '[{"update": 1, "x": 2}]', False),
        ("comparison.json", '{"schema_version": 1}', True),
        ("sweep.json", '{"method": "bayes"}', False),
        ("sweep.json", '{"schema_version": 1}', True),
    ],
)
def test_a_file_that_is_called_like_one_of_ours_is_so_by_what_it_holds(
    tmp_path: Path, name: str, content: str, is_record: bool
) -> None:
    """Naming the file and naming its folder say the same."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    place = owner(tmp_path / name)
    assert (place is not None) == is_record
    assert place is None or place.folder == tmp_path
    if name != "samples.jsonl":  # alone, it is nothing that was recorded of a run
        assert [one.folder for one in found(tmp_path)] == ([tmp_path] if is_record else [])


def test_another_trainers_files_are_no_run_together(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("lr: 1\n", encoding="utf-8")
    for name, content in (("metrics.jsonl", HISTORY), ("summary.json", "[]"), ("samples.jsonl", HISTORY)):
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert [owner(tmp_path / name) for name in ("metrics.jsonl", "summary.json", "samples.jsonl")] == [None] * 3
    assert list(found(tmp_path)) == []


@pytest.mark.parametrize(
    ("here", "file"),
    [
        ("run/.hydra", "overrides.yaml"),
        ("run/.hydra", "config.yaml"),
        ("run/.hydra", "./hydra.yaml"),
        ("run/.hydra/deep", "../overrides.yaml"),
        ("run", ".hydra/overrides.yaml"),
        ("run", "metrics.jsonl"),
        (".", "run/.hydra/overrides.yaml"),
    ],
)
def test_a_file_of_the_record_is_known_from_wherever_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str, file: str
) -> None:
    write_run(tmp_path / "run", rows(1))
    (tmp_path / "run" / ".hydra" / "deep").mkdir()
    monkeypatch.chdir(tmp_path / here)
    place = owner(Path(file))
    assert isinstance(place, Run)
    assert place.folder.absolute() == tmp_path / "run"


def test_what_the_analysis_wrote_is_no_record(tmp_path: Path) -> None:
    write_sweep(tmp_path / "a", [{"ppo.lr": 1e-4}])
    write_sweep(tmp_path / "b", [{"ppo.lr": 1e-4}])
    analysis_folder(tmp_path).mkdir()
    (analysis_folder(tmp_path) / "comparison.json").write_text("{}", encoding="utf-8")
    assert [place.folder.name for place in found(tmp_path)] == ["a", "b"]


def places_in(folder: Path) -> list[tuple[str, str]]:
    return [(type(place).__name__, place.folder.relative_to(folder).as_posix()) for place in found(folder)]


@pytest.mark.parametrize(
    ("runs", "files", "expected"),
    [
        (["2024/runA"], [], [("Run", "2024/runA")]),
        (["2024/runA", "2025/runB"], [], [("Run", "2024/runA"), ("Run", "2025/runB")]),
        (["2024/0001/a", "1²/b"], [], [("Run", "1²/b"), ("Run", "2024/0001/a")]),
        (["2024-11-29/12-00-00"], [], [("Run", "2024-11-29/12-00-00")]),
        (["2024-11-29/12-00-00/0"], ["2024-11-29/12-00-00/multirun.yaml"], [("Sweep", "2024-11-29/12-00-00")]),
        (["2024/0", "2024/1"], ["2024/sweep.json"], [("Sweep", "2024")]),
        (["1", "2", "baseline"], [], [("Run", "1"), ("Run", "2"), ("Run", "baseline")]),
        (["0", "2024/runA"], [], [("Run", "0"), ("Run", "2024/runA")]),
        (["lr=0.1", "lr=0.2"], ["multirun.yaml"], [("Run", "lr=0.1"), ("Run", "lr=0.2")]),
        (["a/0", "b/0"], ["study.db"], [("Sweep", "a"), ("Sweep", "b")]),
        (["007", "08/seed_01"], [], [("Run", "007"), ("Run", "08/seed_01")]),
        (["0/seed_0", "test/0_seed_7"], [], [("Sweep", ".")]),
    ],
)
def test_a_folder_of_digits_is_a_trial_only_where_it_is_one(
    tmp_path: Path, runs: list[str], files: list[str], expected: list[tuple[str, str]]
) -> None:
    for name in runs:
        write_run(tmp_path / name, rows(1))
    for name in files:
        (tmp_path / name).write_text("{}", encoding="utf-8")
    assert places_in(tmp_path) == expected


def test_a_sweeps_trials_are_those_that_hold_something_of_a_run(tmp_path: Path) -> None:
    write_run(tmp_path / "0", rows(1))
    (tmp_path / "1" / ".hydra").mkdir(parents=True)
    (tmp_path / "1" / ".hydra" / "config.yaml").write_text("seed: 0\n", encoding="utf-8")
    (tmp_path / "2" / "seed_5" / ".hydra").mkdir(parents=True)
    (tmp_path / "2" / "seed_5" / ".hydra" / "config.yaml").write_text("seed: 5\n", encoding="utf-8")
    write_run(tmp_path / "2024" / "notes", rows(1))
    (tmp_path / "3").mkdir()
    (tmp_path / "0004").mkdir()
    (tmp_path / "sweep.json").write_text("{}", encoding="utf-8")
    assert places_in(tmp_path) == [("Sweep", ".")]
    assert [(one.trial, one.seed) for one in runs_of(Sweep(tmp_path))] == [(0, None), (1, None), (2, 5)]


def test_names_are_in_the_order_in_which_people_count(tmp_path: Path) -> None:
    names = ["run_1", "run_2", "run_10", "run_10b", "run_a"]
    for name in reversed(names):
        write_run(tmp_path / name, rows(1))
    assert [place.folder.name for place in found(tmp_path)] == names
    ordered = ["", "10", "9" * 5000, "a10c2", "a10c10", "b02", "b2", "b10", "lr=1e-05", "lr=0.02", "lr=0.1", "lr=10"]
    assert sorted({*ordered}, key=natural) == ordered


@pytest.mark.parametrize(
    "ordered",
    [
        ["v0.9", "v0.10", "v1", "v1.9", "v1.10", "v2"],  # versions
        ["run_1.2", "run_1.10", "run_1.10.1"],
        ["llama-3.2", "llama-3.10"],
        ["1.5.9", "1.5.10", "1.5.10e"],
        ["1.25", "1.5"],  # decimal numbers
        ["lr=1e-05", "lr=0.02", "lr=0.1", "lr=1.25", "lr=1.5"],
        ["lr0.02", "lr0.1", "lr_0.02", "lr_0.1"],
        ["-10", "-2", "-0.5", "3"],  # below zero
        ["seed=-10", "seed=-2", "seed=1"],
        ["run-2", "run-10"],  # a dash
        ["2024-11-9", "2024-11-29"],
        ["-1.5.2", "1.5.9e3", "v1.5e3"],
    ],
)
def test_versions_decimal_numbers_and_signs_are_ordered_as_such(ordered: list[str]) -> None:
    assert sorted({*ordered}, key=natural) == ordered


def test_what_a_run_recorded_beyond_the_update_it_went_on_from_is_dead(tmp_path: Path) -> None:
    """Updates 1 to 6, then 4 and 5 again: 6 was never part of the run that went on."""
    recorded = [{"update": update, "x": x} for x, update in enumerate([1, 2, 3, 4, 5, 6, 4, 5])]
    content = salvage(write_run(tmp_path / "run", recorded))
    assert [(row["update"], row["x"]) for row in content.rows] == [(1, 0), (2, 1), (3, 2), (4, 6), (5, 7)]
    assert content.problems == (
        "the updates go back from 6 to 4: read as a run that was continued, so the later values count",
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
    assert alive(updates, restarts(updates)) == kept
