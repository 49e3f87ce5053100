"""The record on disk."""

import os
import time
from pathlib import Path

import pytest

from rlhf_sweeps.record import Run, find_steps_back, take_stamp, write_atomically


def test_what_begins_a_run_is_written_once(tmp_path: Path) -> None:
    first = Run(tmp_path / "run").begin({"seed": 1})
    again = Run(tmp_path / "run").begin({"seed": 2})
    assert first == again
    assert again["config"] == {"seed": 1}


def test_a_cut_last_line_is_left_out_and_overwritten_by_rewind(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for update in (1, 2, 3):
        run.append_metrics({"update": update, "text": "a\u2028b"})
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"update": 4, "te')
    assert [row["update"] for row in run.metrics()] == [1, 2, 3]
    run.rewind(2)
    run.append_metrics({"update": 3})
    assert [row["update"] for row in run.metrics()] == [1, 2, 3]


def test_rewind_forgets_samples_summary_and_stop(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.append_samples([{"update": 1}, {"update": 2}])
    run.write_summary({"status": "stopped"})
    (tmp_path / "stop").write_text("pruned\n", encoding="utf-8")
    assert run.stop_reason() == "pruned"
    run.rewind(1)
    assert run.samples() == [{"update": 1}]
    assert run.summary() is None
    assert run.stop_reason() is None


def test_a_request_to_stop_that_was_not_met_yet_stands(tmp_path: Path) -> None:
    (tmp_path / "stop").write_text("pruned", encoding="utf-8")
    Run(tmp_path).rewind(0)
    assert Run(tmp_path).stop_reason() == "pruned"


def test_an_empty_folder_is_a_run_that_has_not_begun(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert (run.start(), run.summary(), run.metrics(), run.samples(), run.stop_reason()) == (None, None, [], [], None)


def test_a_reopened_run_has_no_end_and_no_request(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_summary({"status": "stopped"})
    run.ask_to_stop("waiting")
    run.reopen()
    assert (run.summary(), run.stop_reason()) == (None, None)


def test_each_update_is_given_once_and_all_again_after_a_rewind(tmp_path: Path) -> None:
    writer, reader = Run(tmp_path), Run(tmp_path)
    given = []
    for update in (1, 2, 3):
        writer.append_metrics({"update": update})
        given.append([row["update"] for row in reader.new_metrics()])
    assert given == [[1], [2], [3]]
    assert reader.new_metrics() == []
    writer.rewind(2)
    writer.append_metrics({"update": 3, "text": "longer than before"})
    assert [row["update"] for row in reader.new_metrics()] == [1, 2, 3]


def test_what_a_killed_process_left_half_written_goes_after_an_hour(tmp_path: Path) -> None:
    old, new = tmp_path / "summary.json.1.unfinished", tmp_path / "summary.json.2.unfinished"
    for path, seconds in ((old, 3700), (new, 3500)):
        path.write_text("{", encoding="utf-8")
        os.utime(path, (time.time() - seconds, time.time() - seconds))
    with Run(tmp_path).claim():
        assert [path.name for path in tmp_path.iterdir()] == [new.name]


def test_a_content_of_the_same_size_and_time_is_another_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("one", encoding="utf-8")
    before, status = take_stamp(path), path.stat()
    time.sleep(0.02)
    path.write_text("two", encoding="utf-8")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert take_stamp(path) != before
    assert take_stamp(path)[:3] == before[:3]


def test_an_error_names_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        write_atomically(tmp_path / "missing" / "summary.json", "{}")
    assert error.value.filename == str(tmp_path / "missing" / "summary.json")


def test_several_rows_of_an_update_are_no_return() -> None:
    assert find_steps_back([1, 1, 2, 2, 3]) == []
    assert find_steps_back([1, 2, 2, 1, 1, 2]) == [3]
