"""The record on disk."""

from pathlib import Path

from rlhf_sweeps.runs import Run


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
