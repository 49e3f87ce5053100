"""What lies in a folder, whose a file is, and in which order names are."""

from pathlib import Path

import pytest
from helpers.records import rows, write_run, write_sweep

from rlhf_sweeps.record import (
    Run,
    Sweep,
    analysis_folder,
    find_owner,
    find_records,
    is_run,
    is_sweep,
    list_runs,
    natural_key,
)


def test_what_lies_in_a_folder(tmp_path: Path) -> None:
    write_run(tmp_path / "outputs" / "b", rows(1))
    write_sweep(tmp_path / "outputs" / "a", [{"ppo.lr": 1e-4}], updates=2, study=False)
    write_run(tmp_path / "outputs" / "old" / "c", rows(1))
    (tmp_path / "outputs" / "empty").mkdir()
    places = list(find_records(tmp_path / "outputs"))
    assert [(type(place), place.folder.name) for place in places] == [(Sweep, "a"), (Run, "b"), (Run, "c")]


def test_numbered_runs_alone_are_a_sweep_and_an_empty_folder_is_nothing(tmp_path: Path) -> None:
    write_run(tmp_path / "sweep" / "0", rows(1))
    assert is_sweep(tmp_path / "sweep")
    assert not is_sweep(tmp_path / "sweep" / "0")
    assert is_run(tmp_path / "sweep" / "0")
    (tmp_path / "nothing").mkdir()
    assert not is_sweep(tmp_path / "nothing")
    assert list(find_records(tmp_path / "nothing")) == []


def test_runs_of_a_sweep_with_seeds_and_tests(tmp_path: Path) -> None:
    for name in ("0/seed_0", "0/seed_10", "0/seed_2", "10", "2", "test/0_seed_7"):
        write_run(tmp_path / name, rows(1))
    (tmp_path / "test" / "notes").mkdir()
    places = [(one.trial, one.seed, one.is_test) for one in list_runs(Sweep(tmp_path))]
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
    place = find_owner(tmp_path / name)
    assert (place is not None) == is_record
    assert place is None or place.folder == tmp_path
    if name != "samples.jsonl":  # alone, it is nothing that was recorded of a run
        assert [one.folder for one in find_records(tmp_path)] == ([tmp_path] if is_record else [])


def test_another_trainers_files_are_no_run_together(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("lr: 1\n", encoding="utf-8")
    for name, content in (("metrics.jsonl", HISTORY), ("summary.json", "[]"), ("samples.jsonl", HISTORY)):
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert [find_owner(tmp_path / name) for name in ("metrics.jsonl", "summary.json", "samples.jsonl")] == [None] * 3
    assert list(find_records(tmp_path)) == []


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
    place = find_owner(Path(file))
    assert isinstance(place, Run)
    assert place.folder.absolute() == tmp_path / "run"


def test_what_the_analysis_wrote_is_no_record(tmp_path: Path) -> None:
    write_sweep(tmp_path / "a", [{"ppo.lr": 1e-4}])
    write_sweep(tmp_path / "b", [{"ppo.lr": 1e-4}])
    analysis_folder(tmp_path).mkdir()
    (analysis_folder(tmp_path) / "comparison.json").write_text("{}", encoding="utf-8")
    assert [place.folder.name for place in find_records(tmp_path)] == ["a", "b"]


def places_in(folder: Path) -> list[tuple[str, str]]:
    return [(type(place).__name__, place.folder.relative_to(folder).as_posix()) for place in find_records(folder)]


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
    assert [(one.trial, one.seed) for one in list_runs(Sweep(tmp_path))] == [(0, None), (1, None), (2, 5)]


def test_names_are_in_the_order_in_which_people_count(tmp_path: Path) -> None:
    names = ["run_1", "run_2", "run_10", "run_10b", "run_a"]
    for name in reversed(names):
        write_run(tmp_path / name, rows(1))
    assert [place.folder.name for place in find_records(tmp_path)] == names
    ordered = ["", "10", "9" * 5000, "a10c2", "a10c10", "b02", "b2", "b10", "lr=1e-05", "lr=0.02", "lr=0.1", "lr=10"]
    assert sorted({*ordered}, key=natural_key) == ordered


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
    assert sorted({*ordered}, key=natural_key) == ordered


def test_a_link_leads_to_no_record(tmp_path: Path) -> None:
    """To a folder above it would go round for ever, to one beside it would tell of a run twice."""
    Run(tmp_path / "own" / "one").begin({"seed": 7})
    (tmp_path / "own" / "up").symlink_to(tmp_path / "own", target_is_directory=True)
    (tmp_path / "own" / "two").symlink_to(tmp_path / "own" / "one", target_is_directory=True)
    assert [place.folder for place in find_records(tmp_path / "own")] == [tmp_path / "own" / "one"]
