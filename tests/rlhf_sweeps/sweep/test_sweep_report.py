"""The report at a sweep's end: written by the analysis beside the package, and never the sweep's undoing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, SMALL, CommandLine
from helpers.sweeping import is_alive, kill, sweep, until

from analysis.command import _make_parser as analysis_parser
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.sweep import SweepFailedError, SweepInterruptedError, report
from rlhf_sweeps.sweep.engine import INTERRUPTED, Engine
from rlhf_sweeps.sweep.report import write_report

WITH_REPORT = "sweep.report=true"
WRITES = "folder = pathlib.Path(sys.argv[2]); (folder / 'report.html').write_text(' '.join(sys.argv[1:]))"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another analysis in the place of the real one, which takes seconds: the file that `python -m analysis` runs."""
    main = tmp_path / "beside" / "analysis" / "__main__.py"
    main.parent.mkdir(parents=True)
    monkeypatch.setattr(report, "PLACE", main.parents[1])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "s").mkdir(parents=True)
    return main


def program(main: Path, *lines: str) -> None:
    (main.parent / "__init__.py").touch()  # without it, a package of that name anywhere else comes first
    main.write_text("\n".join(["import os, pathlib, sys, time", *lines]), encoding="utf-8")


def test_it_is_written_into_the_folder_and_named_from_here(stand_in: Path) -> None:
    program(stand_in, WRITES)
    folder = Path("outputs/s")
    assert write_report(folder) == "report: outputs/s/report.html"
    assert (folder / "report.html").read_text(encoding="utf-8") == "report outputs/s"
    assert write_report(folder.absolute()) == "report: outputs/s/report.html"


def test_a_folder_named_analysis_where_the_user_works_is_not_taken_for_it(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(stand_in, WRITES)
    for place in (Path.cwd(), Path.cwd() / "libraries"):
        (place / "analysis").mkdir(parents=True)
        program(place / "analysis" / "__main__.py", "sys.exit('the wrong one')")
        (place / "analysis.py").write_text("raise SystemExit('the wrong one')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd() / "libraries"))
    assert write_report(Path("outputs/s")) == "report: outputs/s/report.html"


def test_the_package_stands_beside_the_analysis() -> None:
    assert (report.PLACE / "analysis" / "__main__.py").is_file()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("sys.exit('error: outputs/s: holds no run')", "outputs/s: holds no run"),
        ("print('Traceback', file=sys.stderr); sys.exit('ValueError: no such thing')", "ValueError: no such thing"),
        ("sys.exit(3)", "exit status 3"),
        ("os.kill(os.getpid(), 9)", "exit status -9"),
        ("print('written')", "exit status 0"),  # and there is no file
        ("sys.exit('x' * 5000)", "x" * 300 + "..."),
        ("sys.stderr.buffer.write(b'\\xff\\xfe'); sys.exit(1)", "��"),
    ],
)
def test_a_failure_is_one_line_with_the_command_to_try_again(stand_in: Path, line: str, reason: str) -> None:
    program(stand_in, line)
    again = "python -m analysis report outputs/s"
    assert write_report(Path("outputs/s")) == f"no report: {reason}; {again}"


def test_the_url_of_a_study_is_in_no_list_of_processes(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(stand_in, WRITES.replace("sys.argv[1:]", "sys.argv[1:] + [os.environ['RLHF_SWEEPS_STORAGE']]"))
    url = "postgresql://me:hunter2@host/db"
    assert write_report(Path("outputs/s"), url) == "report: outputs/s/report.html"
    assert Path("outputs/s/report.html").read_text(encoding="utf-8") == f"report outputs/s {url}"
    program(stand_in, "sys.exit(3)")
    again = "python -m analysis report outputs/s '--storage=postgresql://me:***@host/db'"
    assert write_report(Path("outputs/s"), url) == f"no report: exit status 3; {again}"
    monkeypatch.setenv("RLHF_SWEEPS_STORAGE", url)
    assert analysis_parser().parse_args(["report", "outputs/s"]).storage == url


def test_it_has_a_time_limit(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(stand_in, "time.sleep(60)")
    monkeypatch.setattr(report, "TIME_LIMIT", 0.5)
    assert write_report(Path("outputs/s")).startswith("no report: not done after 0.5 s; ")


def test_ctrl_c_skips_it(stand_in: Path) -> None:
    program(stand_in, "os.kill(os.getppid(), 2); time.sleep(60)")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell has ignored in the background
    try:
        assert write_report(Path("outputs/s")).startswith("no report: interrupted; ")
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_it_ends_with_a_sweeper_that_is_killed(stand_in: Path) -> None:
    program(stand_in, "pathlib.Path('process').write_text(str(os.getpid()))", "time.sleep(60)")
    code = "import pathlib, sys; from rlhf_sweeps.sweep import report; report.PLACE = pathlib.Path(sys.argv[1])"
    code += "; report.write_report(pathlib.Path('outputs/s'))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    sweeper = subprocess.Popen([sys.executable, "-c", code, str(report.PLACE)], env=environment)
    process = Path("process")
    until(lambda: process.exists() and process.read_text())
    assert is_alive(int(process.read_text()))
    kill(sweeper.pid)
    sweeper.wait()
    until(lambda: not is_alive(int(process.read_text())), seconds=10)


def test_without_an_interpreter_there_is_a_line_too(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert write_report(Path("outputs/s")).startswith("no report: FileNotFoundError: ")


def test_what_a_user_types_meanwhile_is_not_for_it(stand_in: Path) -> None:
    program(stand_in, "sys.exit(sys.stdin.read() or 'nothing to read')")
    (reading, writing), kept = os.pipe(), os.dup(0)
    os.write(writing, b"ls\n")
    os.close(writing)
    try:
        os.dup2(reading, 0)
        assert write_report(Path("outputs/s")).startswith("no report: nothing to read; ")
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(reading)


def test_one_thread_is_enough(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    program(stand_in, "sys.exit(os.environ['OMP_NUM_THREADS'])")
    assert write_report(Path("outputs/s")).startswith("no report: 1; ")
    assert os.environ["OMP_NUM_THREADS"] == "7"


GRID = ("ppo.kl_coef=0.01,0.02", "ppo.total_episodes=160", WITH_REPORT)


def test_its_place_is_said_before_the_last_line_of_a_sweep(stand_in: Path, capfd: pytest.CaptureFixture[str]) -> None:
    program(stand_in, WRITES)
    sweep(Path("outputs/s"), *GRID)
    *_, before, place, last = capfd.readouterr().out.splitlines()
    assert before == "all in outputs/s"
    assert place == "report: outputs/s/report.html"
    assert last == "at its best held-out score, trial 1 is not known to be better than the base policy"


def test_a_sweep_succeeds_without_it(stand_in: Path, capfd: pytest.CaptureFixture[str]) -> None:
    program(stand_in, "sys.exit('no memory')")
    sweep(Path("outputs/s"), *GRID)
    assert "\nno report: no memory; python -m analysis report outputs/s\n" in capfd.readouterr().out


@pytest.mark.slow
def test_it_can_be_switched_off_and_on_when_a_sweep_goes_on(stand_in: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The key is no setting of any run: with another value the sweep is still the same."""
    program(stand_in, WRITES)
    for value, is_written in (("false", False), ("true", True), ("false", False)):
        sweep(Path("outputs/s"), *GRID, f"sweep.report={value}")
        assert ("report:" in capfd.readouterr().out) == is_written
    with pytest.raises(ConfigError, match=r"ppo\.gamma was 1\.0, is 0\.9"):
        sweep(Path("outputs/s"), *GRID, "ppo.gamma=0.9")


def test_a_failed_sweep_has_one_and_an_interrupted_one_has_none(
    stand_in: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program(stand_in, WRITES)
    Path("outputs/s/misbehaviour.json").write_text('{"0": {"2": "raise"}, "1": {"2": "raise"}}', encoding="utf-8")
    with pytest.raises(SweepFailedError):
        sweep(Path("outputs/s"), *GRID, "sweep.retries=0")
    assert capfd.readouterr().out.endswith("report: outputs/s/report.html\n")

    def run(engine: Engine) -> None:
        engine.stopping = INTERRUPTED

    monkeypatch.setattr(Engine, "run", run)
    with pytest.raises(SweepInterruptedError):
        sweep(Path("outputs/t"), *GRID)
    assert "report" not in capfd.readouterr().out


@pytest.mark.slow
def test_the_real_one(command_line: CommandLine, tmp_path: Path) -> None:
    arguments = [*SMALL, "ppo.kl_coef=0.01,0.02", "hydra.sweep.dir=outputs/s"]
    result = command_line("-m", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "report: outputs/s/report.html"
    page = (tmp_path / "outputs" / "s" / "report.html").read_text(encoding="utf-8")
    assert "<html" in page
    assert str(ROOT) not in page
