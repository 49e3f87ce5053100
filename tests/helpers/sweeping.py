"""Sweeps for tests: run in this process or another, and what their studies hold."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import optuna
from conftest import ROOT
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from rlhf_sweeps.cli import conf_dir, register
from rlhf_sweeps.command_line.job_environment import set_job_environment
from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep.sweeper import run_sweep
from rlhf_sweeps.sweep.workers import open_executor

TESTS = Path(__file__).parents[1]
# The fork server imports torch beforehand, which takes seconds, and which the fake trainer has no use for.
WITHOUT_TORCH = """
from rlhf_sweeps.cli import main
from rlhf_sweeps.sweep import workers
workers.PRELOAD = ("helpers.fake_trainer",)
main()
"""
# The analysis takes seconds, too, and has tests of its own.
WITHOUT_REPORT = "sweep.report=false"
SEARCH = ("ppo.lr=tag(log,interval(1e-5,1e-2))", "ppo.kl_coef=tag(log,interval(0.001,1))")
FAKE = ("hydra.sweeper.trial=helpers.fake_trainer.run", "tracking=disabled", WITHOUT_REPORT)


def sweep(folder: Path, *overrides: str, workers: int = 0) -> None:
    """What `python -m rlhf_sweeps -m ...` does, with the fake trainer."""
    register()
    arguments = [*FAKE, f"hydra.sweep.dir={folder}", f"hydra.sweeper.workers={workers}", *overrides]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", arguments, RunMode.MULTIRUN)
        with set_job_environment(master, is_sweep=True), open_executor(master) as executor:  # as our plugin does
            arguments = OmegaConf.to_container(master.hydra.overrides.task, resolve=False)  # as Hydra does
            run_sweep(master, loader, cast(list[str], arguments), executor)


def start_sweep(folder: Path, *overrides: str, workers: int = 2, trainer: bool = False) -> subprocess.Popen[bytes]:
    """The same in a process of its own, which writes what it prints beside its folder.

    Args:
        trainer: run the real trainer.
    """
    fake = (WITHOUT_REPORT,) if trainer else FAKE
    return start([*fake, f"hydra.sweep.dir={folder}", f"hydra.sweeper.workers={workers}", *overrides], folder, trainer)


def start(arguments: Sequence[str], folder: Path, trainer: bool = False) -> subprocess.Popen[bytes]:
    """Start `python -m rlhf_sweeps -m ...`, as a terminal does in a process group of its own."""
    command = ["-m", "rlhf_sweeps"] if trainer else ["-c", WITHOUT_TORCH]
    with printed(folder).open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *command, "-m", *arguments],
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}"},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def printed(folder: Path) -> Path:
    """Where the sweepers of a folder write to."""
    return folder.with_name(f"{folder.name}.out")


def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    """False for a zombie, too: where nobody waits for orphans, it stays in the table."""
    try:
        return stat(pid)[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def stat(pid: int) -> tuple[str, int]:
    """A process's state and parent."""
    state, parent = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:2]
    return state, int(parent)


def descendants(pid: int) -> list[int]:
    """Of a process; those nearest to it first."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        if is_alive(int(path.name)):
            parents[int(path.name)] = stat(int(path.name))[1]
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def kill(*pids: int) -> None:
    """SIGKILL."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def misbehave(folder: Path, **wanted: Any) -> None:
    """Tell the fake trainer what goes wrong: trial_0={"3": "kill_once"}."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = {name.removeprefix("trial_"): how for name, how in wanted.items()}
    (folder / "misbehaviour.json").write_text(json.dumps(plan), encoding="utf-8")


def trials(folder: Path, name: str | None = None) -> list[optuna.trial.FrozenTrial]:
    """What Optuna, opening the file by itself, finds."""
    url = f"sqlite:///{folder / 'study.db'}"
    return optuna.load_study(study_name=name or folder.name, storage=url).get_trials()


def states(folder: Path) -> list[optuna.trial.TrialState]:
    """Of all trials, by their numbers."""
    return [trial.state for trial in trials(folder)]


def causes(folder: Path) -> list[str | None]:
    """Why each trial failed, by their numbers."""
    return [trial.user_attrs.get("cause") for trial in trials(folder)]


def contents(folder: Path) -> list[tuple[Any, ...]]:
    """Everything about the trials that does not depend on the clock."""
    return [
        (t.number, t.state, t.params, t.values, t.intermediate_values, t.user_attrs.get("cause"))
        for t in trials(folder)
    ]


def starts(run: Path) -> int:
    """How often a run was started."""
    return len((run / "starts").read_text(encoding="utf-8").splitlines())


def pids(run: Path) -> list[int]:
    """The processes that a run has had, oldest first."""
    path = run / "starts"
    return [int(line) for line in path.read_text(encoding="utf-8").split()] if path.exists() else []


def updates(run: Path) -> int:
    """How many updates a run has recorded."""
    return len(Run(run).metrics())
