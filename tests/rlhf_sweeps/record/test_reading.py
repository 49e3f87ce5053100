"""Files that hold what none of ours holds, and things that are no files: refused or read in bounds."""

import json
import math
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import optuna
import pytest
import yaml
from conftest import ROOT
from helpers.records import rows, write_run, write_sweep

from analysis import command
from analysis.reading.sources import read
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Run, open_record, parse_object, salvage, salvage_rows, salvage_yaml
from rlhf_sweeps.record import reading as limits
from rlhf_sweeps.sweep.study.storage import make_file_url, open_storage

# A billion nodes in nine lines, and one that holds itself.
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_what_is_no_file_is_refused_and_not_waited_for(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)  # a socket's name must be short
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind("x")
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(OSError, match=r"is .*, no file"):
        open_record(path)


def test_a_run_with_pipes_and_devices_for_files_is_read(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", rows(3))
    for path, other in ((run.metrics_file, None), (run.summary_file, "/dev/zero"), (run.overrides_file, "/dev/zero")):
        path.unlink()
        os.mkfifo(path) if other is None else path.symlink_to(other)
    whole = salvage(run)
    assert whole.rows == []
    assert whole.summary["status"] == "complete"
    assert whole.problems == (
        "summary.json: is a device or the like, no file, read from its copy",
        "metrics.jsonl: is a pipe, no file",
        "overrides.yaml: is a device or the like, no file",
    )
    assert Run(run.folder).new_metrics() == []


def test_a_table_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(AnalysisError, match=r"t.csv: cannot be read as a table \(.*is a pipe, no file"):
        read(tmp_path / "t.csv")


def test_a_line_that_is_too_long_is_left_out_and_not_taken_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlhf_sweeps.record.reading.MOST_LINE", 64)
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"update": 1}\n{"update": 2, "x": "' + "y" * 1000 + '"}\n{"update": 3}\n', encoding="utf-8")
    problems: list[str] = []
    assert salvage_rows(path, problems) == [{"update": 1}, {"update": 3}]
    assert problems == ["metrics.jsonl: 1 line is damaged and left out (line 2)"]


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """Without an end of a line in 5 GB, which take no room on the disk."""
    run = write_run(tmp_path / "run", rows(3), end=None)
    for path in (run.metrics_file, run.start_file, run.overrides_file):
        with path.open("r+b") as file:
            file.truncate(5 * 2**30)
    whole = salvage(run)
    assert whole.rows == []
    assert whole.start["config"]["seed"] == 0
    assert [problem.partition(" MB")[0] for problem in whole.problems] == [
        "run.json: has 5120",
        "metrics.jsonl: has 5120",
        "overrides.yaml: has 5120",
    ]


@pytest.mark.parametrize("text", [BOMB, "a: &a [*a]\n", "a: &a {b: *a}\n", "[" * 2_000, "x: " + "[" * 300 + "]" * 300])
def test_a_yaml_file_that_stands_for_too_much_is_damaged(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    problems: list[str] = []
    assert salvage_yaml(path, problems) is None
    assert problems == ["config.yaml: damaged, left out"]


def test_aliases_that_stand_for_little_are_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    shared = {"lr": 1e-4}
    path.write_text(yaml.safe_dump({"a": shared, "b": [shared, shared]}), encoding="utf-8")
    assert "&id001" in path.read_text(encoding="utf-8")
    assert salvage_yaml(path, []) == {"a": shared, "b": [shared, shared]}


@pytest.mark.parametrize("text", ["1e999", "-1e999", "1" + "0" * 309, "1" + "0" * 400, "-1" + "0" * 5000])
def test_no_number_is_larger_than_a_float_can_be(text: str) -> None:
    found = parse_object(f'{{"x": {text}}}'.encode())
    assert found is not None
    assert not math.isfinite(found["x"])


KEYS = ("update", "episode", "eval/score", "objective/scores", "perf/update_seconds", "tokens/sample")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("number", ["1e999", "1" + "0" * 400])
def test_a_row_with_such_a_number_is_analysed(key: str, number: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", rows(12, every=3), end=None)
    lines = run.metrics_file.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[5])
    lines[5] = json.dumps({**row, key: "HERE"}).replace('"HERE"', number)
    run.metrics_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in ("health", "sweep"):
        assert command.main([name, str(run.folder), "--out", str(tmp_path / "out")]) == 0


def test_no_host_that_a_record_names_is_connected_to(tmp_path: Path) -> None:
    """And no file is made where it names one."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        for number, url in enumerate((
            f"postgresql://127.0.0.1:{port}/x",
            f"sqlite:///{tmp_path / 'made.db'}",
            f"journal:{tmp_path / 'made.log'}",
        )):  # fmt: skip
            sweep = write_sweep(tmp_path / f"sweep_{number}", [{"ppo.lr": 1e-4}], updates=4)
            sweep.study.unlink()
            config = {"hydra": {"sweeper": {"storage": url}}}
            sweep.hydra_file.write_text(yaml.safe_dump(config), encoding="utf-8")
            listener = threading.Thread(target=lambda: heard.append(_first_client(server)))
            listener.start()
            said = read(sweep.folder).problems
            listener.join()
            assert any(url in text and "--storage opens it" in text for text in said)
    assert heard == [None, None, None]
    assert not list(tmp_path.glob("made*"))


def _first_client(server: socket.socket) -> object:
    try:
        return server.accept()[1]
    except TimeoutError:
        return None


def test_a_database_that_is_asked_for_and_is_not_there_is_not_made(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep", [{"ppo.lr": 1e-4}], updates=4)
    missing = tmp_path / "made.db"
    said = read(sweep.folder, storage=f"sqlite:///{missing}").problems
    assert said[0].startswith(f"--storage=sqlite:///{missing}: cannot be read (")
    assert not missing.exists()
    sweep.study.rename(missing)
    assert read(sweep.folder, storage=f"sqlite:///{missing}").problems == ()


def test_a_study_that_is_damaged_is_told_before_anything_is_run(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    open_storage(make_file_url(path))
    with sqlite3.connect(path) as opened:
        (page,) = opened.execute("select rootpage from sqlite_master where name = 'trials'").fetchone()
        (size,) = opened.execute("pragma page_size").fetchone()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : (page - 1) * size + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^hydra.sweeper.storage=sqlite:.*study.db: cannot be opened \(.*") as caught:
        open_storage(make_file_url(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", [b"\xff{\n", b"[1]\n", b'{"op_code": "many"}\n'])
def test_a_journal_with_a_damaged_line_is_told_in_a_line(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    study = optuna.create_study(storage=open_storage(f"journal:{path}"))
    study.add_trial(optuna.trial.create_trial(value=1.0))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], line, *lines[1:]]))
    with pytest.raises(ConfigError, match=r"^hydra.sweeper.storage=journal:.*: cannot be opened \(") as caught:
        open_storage(f"journal:{path}")
    assert "\n" not in str(caught.value)


def test_the_limits_are_far_above_what_a_record_has() -> None:
    assert limits.MOST_LINE >= 10_000 * 1000  # bytes of a row with some kilobytes
    assert limits.MOST_BYTES >= 1000 * 10_000


@pytest.mark.slow
def test_a_line_of_a_gigabyte_takes_no_gigabyte(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", rows(3), end=None)
    with run.metrics_file.open("ab") as file:
        for _ in range(1024):
            file.write(b"x" * 2**20)
        file.write(b"\n")
    script = (
        "import resource, sys; from pathlib import Path; from rlhf_sweeps.record import Run, salvage\n"
        "print(len(salvage(Run(Path(sys.argv[1]))).rows), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-c", script, str(run.folder)]
    output = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout
    num_rows, kilobytes = map(int, output.split())
    assert num_rows == 3
    assert kilobytes < 300_000
