"""Nothing but one file knows POSIX, and one Windows; and what there is without POSIX, on a pretended Windows.

The pretended one is Linux, where our own modules cannot see what only POSIX has: pretended_windows/sitecustomize.py. It
shows that nothing of that is asked for. It cannot show that Windows' own functions do what is told of them.
"""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from conftest import ROOT, SMALL
from helpers.sweeping import (
    TESTS,
    WITHOUT_REPORT,
    WITHOUT_TORCH,
    descendants,
    is_alive,
    misbehave,
    pids,
    trials,
    until,
    updates,
)
from helpers.typeshed import modules_only_on, names, only_on

from rlhf_sweeps.platforms import posix
from rlhf_sweeps.record import InUseError, Run, claim

PLATFORMS = ROOT / "rlhf_sweeps" / "platforms"
POSIX, WINDOWS = PLATFORMS / "posix.py", PLATFORMS / "windows.py"
SOURCES = [path for half in ("rlhf_sweeps", "analysis") for path in sorted((ROOT / half).rglob("*.py"))]
PARTS_OF_POSIX = {"termios", "multiprocessing.forkserver", "multiprocessing.resource_tracker"}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Windows is pretended on Linux")


# Who knows what


def foreign(tree: ast.Module, here: str, there: str) -> Iterator[str]:
    """What a file uses that the first platform has and the second has not."""
    absent = modules_only_on(here, there) | (PARTS_OF_POSIX if here == "linux" else set())
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name: alias.name for alias in node.names}
            yield from (alias.name for alias in node.names if alias.name in absent)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            yield from ({node.module} | parts) & absent
            yield from {alias.name for alias in node.names} & only_on(node.module, here, there)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            if node.attr in only_on(modules[node.value.id], here, there):
                yield f"{node.value.id}.{node.attr}"
        elif here == "linux" and isinstance(node, ast.Constant) and str(node.value).startswith(("/proc/", "/dev/")):
            yield str(node.value)


def test_the_stubs_know_the_platforms() -> None:
    assert {"fcntl", "resource", "pwd", "grp", "pty", "posix"} <= modules_only_on("linux", "win32")
    assert {"setsid", "killpg", "getpgrp", "getuid", "fork", "O_DIRECTORY"} <= only_on("os", "linux", "win32")
    assert {"SIGKILL", "SIGHUP", "SIGALRM", "setitimer", "pthread_sigmask"} <= only_on("signal", "linux", "win32")
    assert {"SIGINT", "SIGTERM", "signal", "Signals"} <= names("signal", "win32")


def test_one_file_alone_uses_what_only_posix_has() -> None:
    found = {path.relative_to(ROOT).as_posix(): set(foreign(ast.parse(path.read_text("utf-8")), "linux", "win32"))
             for path in SOURCES if path != POSIX}  # fmt: skip
    assert {path: uses for path, uses in found.items() if uses} == {}
    assert {"fcntl", "os.killpg", "signal.SIGKILL", "/proc/locks", "multiprocessing.forkserver"} <= set(
        foreign(ast.parse(POSIX.read_text("utf-8")), "linux", "win32")
    )


def test_one_file_alone_uses_what_only_windows_has() -> None:
    found = {path.relative_to(ROOT).as_posix(): set(foreign(ast.parse(path.read_text("utf-8")), "win32", "linux"))
             for path in SOURCES if path != WINDOWS}  # fmt: skip
    assert {path: uses for path, uses in found.items() if uses} == {}
    assert "ctypes.WinDLL" in set(foreign(ast.parse(WINDOWS.read_text("utf-8")), "win32", "linux"))


def test_both_halves_have_the_same_functions() -> None:
    def signatures(path: Path) -> dict[str, str]:
        tree = ast.parse(path.read_text("utf-8"))
        return {
            node.name: f"{ast.unparse(node.args)} -> {ast.unparse(node.returns) if node.returns else ''}"
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        }

    ours, theirs = signatures(POSIX), signatures(WINDOWS)
    theirs.pop("set_timer")  # a built-in function here
    assert ours == theirs


# This platform


def test_a_fork_is_for_linux_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert posix.start_method("forkserver") == "forkserver"
    monkeypatch.setattr(posix.sys, "platform", "darwin")
    assert posix.start_method("forkserver") == posix.start_method("spawn") == "spawn"


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from rlhf_sweeps.record import claim
with claim(Path({str(tmp_path)!r}), ''):
    print('held', flush=True)
    time.sleep(60)
"""
    for environment in (os.environ, pretended()):
        holder = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, env=environment)
        assert holder.stdout is not None
        holder.stdout.readline()
        refused = run_python("-c", code.replace("''", "'somebody is there'"), environment=environment)
        assert "InUseError: somebody is there" in refused.stderr
        if environment is os.environ:
            with pytest.raises(InUseError), claim(tmp_path, ""):
                pass
        holder.kill()
        holder.communicate()
        with claim(tmp_path, ""):
            pass


# A pretended Windows


def pretended(**others: str) -> dict[str, str]:
    """The environment of a process that runs there."""
    places = os.pathsep.join(map(str, (TESTS / "helpers" / "pretended_windows", ROOT, TESTS)))
    return {**os.environ, "PYTHONPATH": places, **others}


def run_python(
    *arguments: str, environment: "dict[str, str] | os._Environ[str] | None" = None
) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *arguments]
    environment = pretended() if environment is None else environment
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def test_the_pretence_holds() -> None:
    code = """
import sys
exec(compile(open('probe.py').read(), 'probe.py', 'exec'), {'__name__': 'rlhf_sweeps.probe'})
import os, signal, fcntl
print(sys.platform, os.getpgrp() > 0, signal.SIGKILL)
"""
    probe = "import sys, os, signal\nassert sys.platform == 'win32'\n"
    for line in ("import fcntl", "os.killpg", "signal.SIGKILL", "from multiprocessing import forkserver",
                 "from multiprocessing.context import ForkServerProcess"):  # fmt: skip
        probe += f"try:\n    {line}\nexcept (ImportError, AttributeError): pass\nelse: raise AssertionError({line!r})\n"
    done = run_python("-c", code.replace("open('probe.py').read()", repr(probe)))
    assert (done.stdout.split(), done.stderr) == (["linux", "True", "9"], "")


def test_every_module_can_be_imported() -> None:
    left_out = (POSIX, ROOT / "rlhf_sweeps" / "plugin" / "hydra_plugins" / "rlhf_sweeps.py")
    modules = [path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in SOURCES
               if path not in left_out and path.name != "__main__.py"]  # fmt: skip
    code = f"import importlib\nfor name in {modules}: importlib.import_module(name.removesuffix('.__init__'))"
    done = run_python("-W", "ignore", "-c", code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_run_and_its_analysis(tmp_path: Path) -> None:
    folder = tmp_path / "größe"
    judge = "eval.judges=[{reward_model: regex, patterns: [{pattern: a, weight: 1}]}]"
    done = run_python("-m", "rlhf_sweeps", f"hydra.run.dir='{folder}'", *SMALL, judge)
    assert done.returncode == 0, done.stderr
    run = Run(folder)
    rows = run.metrics()
    assert len(rows) == 6
    assert {row["perf/peak_memory_mb"] for row in rows} == {123.0}
    assert (run.summary() or {})["status"] == "complete"
    assert "time limits of reward models need a signal and the main thread; here there are none" in done.stdout
    assert all(b"\r" not in path.read_bytes() for path in (run.metrics_file, run.samples_file))

    # The name of the folder cannot be printed.
    health = run_python("-m", "analysis", "health", str(folder), environment=pretended(PYTHONIOENCODING="ascii"))
    assert (health.returncode, health.stderr) == (0, "")
    assert "gr??e" in health.stdout


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two workers: one trial hangs, one loses its process, two are complete."""
    folder = tmp_path_factory.mktemp("windows") / "sweep"
    misbehave(folder, trial_1={"3": "hang"}, trial_2={"7": "kill_once"})
    arguments = sweep_arguments(folder, "ppo.lr=1e-4,2e-4,3e-4,4e-4", "sweep.update_timeout=8", "sweep.retries=0")
    environment = pretended(PRETENDED_CALLS=str(folder / "calls"))
    done = run_python("-c", WITHOUT_TORCH, *arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    return folder


def sweep_arguments(folder: Path, *overrides: str) -> Sequence[str]:
    trial = "hydra.sweeper.trial=helpers.fake_trainer.run"
    fake = (trial, "tracking=disabled", WITHOUT_REPORT, "hydra.sweeper.workers=2")
    return ("-m", f"hydra.sweep.dir={folder}", *fake, *overrides)


@pytest.mark.slow
def test_a_sweep(swept: Path) -> None:
    found = [(one.state.name, one.user_attrs.get("cause")) for one in trials(swept)]
    assert found == [("COMPLETE", None), ("FAIL", "lost_process"), ("FAIL", "lost_process"), ("COMPLETE", None)]
    assert [path.name for path in swept.glob(".lock")] == [".lock"]


@pytest.mark.slow
def test_trials_leave_the_terminal_and_take_their_children_with_them(swept: Path) -> None:
    calls = (swept / "calls").read_text(encoding="utf-8").splitlines()
    jobs = [json.loads(line.partition(" ")[2].replace("'", '"')) for line in calls if line.startswith("SetInfo")]
    assert len(jobs) == 4  # one for each trial's process
    for _, kind, limits, size in jobs:
        # Windows' headers: JobObjectExtendedLimitInformation is 9, of 144 bytes; LimitFlags at byte 16 is
        # JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, 0x2000.
        assert (kind, size) == (9, 144)
        assert int.from_bytes(bytes.fromhex(limits)[16:20], "little") == 0x2000
    assert sum(line.startswith("AssignProcessToJobObject") for line in calls) == 4
    switched = [line for line in calls if line.startswith("SetConsoleCtrlHandler")]
    assert switched == ["SetConsoleCtrlHandler [None, True]", "SetConsoleCtrlHandler [None, False]"] * 4


@pytest.mark.slow
def test_the_report_and_a_look_at_a_sweep(swept: Path) -> None:
    done = run_python("-m", "analysis", "report", str(swept))
    assert (done.returncode, done.stderr) == (0, "")
    assert (swept / "report.html").stat().st_size > 100_000
    done = run_python("-m", "analysis", "watch", "--once", str(swept))
    assert done.returncode == 0, done.stderr
    assert "2 complete" in " ".join(done.stdout.split())  # lines are as long as the terminal is wide


@pytest.mark.slow
def test_no_trial_outlives_its_sweeper(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    misbehave(folder, seconds_each=1)  # a trial takes longer than its end is waited for
    command = [sys.executable, "-c", WITHOUT_TORCH, *sweep_arguments(folder, "ppo.lr=1e-4,2e-4")]
    sweeper = subprocess.Popen(command, cwd=ROOT, env=pretended(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: updates(folder / "0") and updates(folder / "1"))
    started = [pids(folder / str(number))[-1] for number in (0, 1)]
    assert set(started) <= set(descendants(sweeper.pid))
    code = f"from rlhf_sweeps.platforms import system as s; print(s.is_running({started[0]}), s.is_running(2**22 + 1))"
    assert run_python("-c", code).stdout.split() == ["True", "False"]
    sweeper.kill()
    sweeper.wait()
    until(lambda: not any(map(is_alive, started)), seconds=10)


def test_a_file_that_others_read_is_replaced_once_they_are_done(tmp_path: Path) -> None:
    """Windows refuses to replace or to remove a file that a process has open."""
    code = """
from rlhf_sweeps.platforms import system as windows
attempts = []
def act():
    attempts.append(None)
    if len(attempts) < 4: raise PermissionError('in use')
    return 'done'
windows._PATIENCE = 5.0
print(windows.patiently(act), len(attempts))
windows._PATIENCE = 0.05
attempts.clear()
def never(): raise PermissionError('in use')
try: windows.patiently(never)
except PermissionError as error: print(error)
"""
    assert run_python("-c", code).stdout.splitlines() == ["done 4", "in use"]
