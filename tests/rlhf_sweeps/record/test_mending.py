"""What is damaged is taken from where it is kept a second time; what earlier versions have written is read as it is."""

import json
import shutil
from pathlib import Path

import pytest
from helpers import damage
from helpers.records import lose
from helpers.sweeping import contents, sweep

from rlhf_sweeps.record import Run, Sweep, ownership
from rlhf_sweeps.record.base_record import BaseRecord
from rlhf_sweeps.record.checked_objects import locate_copy, mend_object, salvage_object, set_aside, write_object


def copied(record: Path, tmp_path: Path) -> Run:
    shutil.copytree(record, tmp_path / "record")
    return Run(tmp_path / "record")


def as_of_an_earlier_version(run: Run) -> None:
    """Without digests, copies, rows in the checkpoint, and a checkpoint before the newest."""
    shutil.rmtree(run.folder / ".copies")
    old, newest = sorted(run.checkpoint.iterdir())
    shutil.rmtree(old)
    for name in ("metrics.jsonl", "samples.jsonl"):
        (newest / name).unlink()
    for file in (run.start_file, run.summary_file, newest / "state.json"):
        content = json.loads(file.read_bytes())
        file.write_text(json.dumps({k: v for k, v in content.items() if k not in ("sha256", "files")}), "utf-8")
    for file in run.folder.glob("base/*.jsonl"):
        file.write_text("".join(f"{line}\n" for line in file.read_text("utf-8").split("\n")[:-2]), "utf-8")


def test_a_run_of_an_earlier_version_goes_on(interrupted: Path, complete: Path, tmp_path: Path) -> None:
    run = copied(interrupted, tmp_path)
    as_of_an_earlier_version(run)
    told = damage.train_again(run.folder)
    assert (told.status, told.failure) == (0, "")
    assert "damaged" not in told.text
    assert "continuing after update 3" in told.text
    assert damage.result_of_run(run.folder) == damage.result_of_run(complete)


@pytest.mark.parametrize("row", ["", "{\n"])
def test_a_bad_row_of_it_costs_that_row_alone(row: str, interrupted: Path, complete: Path, tmp_path: Path) -> None:
    """Its checkpoint does not have it, but is sound."""
    run = copied(interrupted, tmp_path)
    as_of_an_earlier_version(run)
    lines = run.metrics_file.read_text("utf-8").splitlines(keepends=True)
    run.metrics_file.write_text("".join([lines[0], row, *lines[2:]]), "utf-8")
    told = damage.train_again(run.folder)
    assert told.status == 0, told
    assert "continuing after update 3" in told.text
    what = "1 line is damaged and left out (line 2)" if row else "lacks rows before update 3"
    assert f"metrics.jsonl: {what}, and the run continues without" in told.text
    (_, rows, samples, weights), expected = damage.result_of_run(run.folder), damage.result_of_run(complete)
    assert rows == [row for row in expected[1] if row["update"] != 2]
    assert (samples, weights) == expected[2:]


def test_missing_rows_are_taken_from_the_checkpoint(interrupted: Path, complete: Path, tmp_path: Path) -> None:
    run = copied(interrupted, tmp_path)
    lines = run.metrics_file.read_text("utf-8").splitlines(keepends=True)
    run.metrics_file.write_text("".join([lines[0], *lines[2:]]), "utf-8")
    told = damage.train_again(run.folder)
    assert "metrics.jsonl: damaged or missing, taken from 0000003 of checkpoint/" in told.text
    assert "continuing after update 3" in told.text
    assert damage.result_of_run(run.folder) == damage.result_of_run(complete)


@pytest.mark.parametrize("num_damaged", [1, 2])
def test_the_run_goes_on_from_the_newest_sound_checkpoint(
    num_damaged: int,
    interrupted: Path,
    complete: Path,
    tmp_path: Path,
) -> None:
    run = copied(interrupted, tmp_path)
    newest, before = sorted(run.checkpoint.iterdir(), reverse=True)
    for folder in (newest, before)[:num_damaged]:
        (folder / "optimizer.safetensors").unlink()
    told = damage.train_again(run.folder)
    assert "checkpoint 0000003/optimizer.safetensors: missing" in told.text
    assert ("continuing after update 2" in told.text) == (num_damaged == 1)
    assert ("begins again from its start" in told.text) == (num_damaged == 2)
    assert damage.result_of_run(run.folder) == damage.result_of_run(complete)


def test_settings_that_nothing_tells_any_more_are_not_guessed(interrupted: Path, tmp_path: Path) -> None:
    run = copied(interrupted, tmp_path)
    lose(run.start_file)
    told = damage.train_again(run.folder)
    assert told.status == 2
    assert "nothing shows that it was begun by this command" in told.text
    run.hydra_file.parent.mkdir()
    run.hydra_file.write_text(json.dumps({"hydra": {"callbacks": {"preflight": {"_target_": ownership.RUNS[0]}}}}))
    told = damage.train_again(run.folder)
    assert told.status == 2
    assert "run.json is missing or damaged" in told.text
    assert len(list(run.checkpoint.iterdir())) == 2


def test_a_damaged_model_is_exported_again_and_a_users_files_in_it_stay(complete: Path, tmp_path: Path) -> None:
    run = copied(complete, tmp_path)
    (run.model / "quantized").mkdir()
    (run.model / "quantized" / "weights.gguf").write_bytes(b"the user's")
    (run.model / "model.safetensors").write_bytes(b"")
    assert "made again from the checkpoint" in damage.train_again(run.folder).text
    assert (run.model / "quantized" / "weights.gguf").read_bytes() == b"the user's"
    assert damage.result_of_run(run.folder) == damage.result_of_run(complete)
    # They are none of ours afterwards, either.
    (run.model / "quantized" / "weights.gguf").write_bytes(b"changed")
    assert "is complete already" in damage.train_again(run.folder).text


def test_a_complete_run_whose_policy_is_damaged_and_has_no_checkpoint_says_so(
    complete: Path,
    tmp_path: Path,
) -> None:
    run = copied(complete, tmp_path)
    shutil.rmtree(run.checkpoint)
    assert damage.train_again(run.folder).status == 0
    (run.model / "model.safetensors").write_bytes(b"")
    told = damage.train_again(run.folder)
    assert told.status == 2
    assert "model/model.safetensors: damaged, its digest differs; no checkpoint is left" in told.text


# Objects


def test_an_object_is_read_from_its_copy_and_put_back(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_object(path, {"id": "x", 1: [0.1, None]})
    whole, problems = path.read_bytes(), []
    path.write_bytes(whole.replace(b'"x"', b'"y"'))
    assert salvage_object(path, problems) == {"id": "x", "1": [0.1, None]}
    assert problems == ["run.json: damaged, its digest differs, read from its copy"]
    assert mend_object(path) == problems
    assert path.read_bytes() == whole
    locate_copy(path).write_bytes(b"")
    assert mend_object(path) == []
    assert locate_copy(path).read_bytes() == whole


@pytest.mark.parametrize("number", [2**63, 2**64, 2**64 + 1, -(2**63) - 1, 10**30])
def test_whole_numbers_beyond_64_bits_are_read_as_they_were_written(number: int, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_object(path, {"config": {"seed": number}, "loss": 0.1})
    problems: list[str] = []
    assert salvage_object(path, problems) == {"config": {"seed": number}, "loss": 0.1}
    assert problems == []


def test_what_is_no_file_is_moved_and_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for number in (1, 2):
        path.mkdir()
        (path / "a").write_text(str(number), "utf-8")
        assert set_aside(path) == [f"metrics.jsonl: is a folder, no file; now called metrics.jsonl.set_aside_{number}"]
        assert (tmp_path / f"metrics.jsonl.set_aside_{number}" / "a").read_text("utf-8") == str(number)
    assert set_aside(path) == []
    path.write_text("", "utf-8")
    assert set_aside(path) == []


def test_rows_of_the_base_policy_with_a_flipped_digit_are_found_out_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record, file = BaseRecord(tmp_path), tmp_path / "base" / "scores.jsonl"
    record.write("scores", [{"score": 1.5}, {"score": 2.5}])
    assert record.read("scores") == [{"score": 1.5}, {"score": 2.5}]
    file.write_bytes(file.read_bytes().replace(b"2.5", b"2.7"))
    assert record.read("scores") == []
    assert "base/scores.jsonl: damaged, its digest differs; determined again" in caplog.text
    file.write_text('{"score": 1.5}\n', "utf-8")  # as earlier versions wrote it, or cut at a line's end
    assert record.read("scores") == []
    assert "base/scores.jsonl: ends without a digest, as those of earlier versions do; determined again" in caplog.text
    assert record.read("others") == []


# Sweeps


def test_a_sweep_whose_settings_are_lost_is_refused_and_one_with_a_copy_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    search = ("ppo.lr=interval(1e-4,1e-3)", "hydra.sweeper.n_trials=2")
    sweep(folder, *search)
    whole = contents(folder)
    start_file = Sweep(folder).start_file
    start_file.write_text("[]", "utf-8")
    sweep(folder, *search)
    assert contents(folder) == whole
    assert salvage_object(start_file, []) == Sweep(folder).start()
    lose(start_file)
    told = damage.told(lambda: sweep(folder, *search))
    assert told.status == 2
    assert f"hydra.sweep.dir={folder}: sweep.json is missing or damaged" in told.text
    assert contents(folder) == whole


@pytest.mark.parametrize("wrong", [{"config": {}}, {"config": None}, {"study_name": 3}, {"id": None}, {"seeds": {}},
                                   {"configurations": 3}, {"configurations": [{}]}])  # fmt: skip
def test_a_sweep_whose_record_tells_too_little_is_refused_in_a_line(wrong: dict[str, object], tmp_path: Path) -> None:
    folder = tmp_path / "s"
    search = ("ppo.lr=interval(1e-4,1e-3)", "hydra.sweeper.n_trials=1")
    sweep(folder, *search)
    record = Sweep(folder)
    record.write_start({**(record.start() or {}), "configurations": None, **wrong})
    for more in ((), ("hydra.sweeper.dry_run=true", "hydra.sweeper.retry_failed=true")):
        told = damage.told(lambda more=more: sweep(folder, *search, *more))
        assert (told.status, told.failure) == (2, "")
        assert f"hydra.sweep.dir={folder}: sweep.json is missing or damaged" in told.text
