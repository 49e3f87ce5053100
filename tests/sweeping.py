"""Sweeps for tests: run in this process or another, and what their studies hold."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
from conftest import ROOT
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from rlhf_sweeps.cli import conf_dir, register
from rlhf_sweeps.sweep.sweeper import run_sweep

TESTS = Path(__file__).parent
FAKE = ("hydra.sweeper.trial=fake_trainer.run", "tracking=disabled")


def sweep(folder: Path, *overrides: str, workers: int = 0) -> None:
    """What `python -m rlhf_sweeps -m ...` does, with the fake trainer."""
    register()
    arguments = [*FAKE, f"hydra.sweep.dir={folder}", f"hydra.sweeper.workers={workers}", *overrides]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", arguments, RunMode.MULTIRUN)
        run_sweep(master, loader, list(master.hydra.overrides.task))


def start_sweep(folder: Path, *overrides: str, workers: int = 2, trainer: bool = False) -> subprocess.Popen[bytes]:
    """The same in a process of its own, which writes what it prints beside its folder."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}"}
    fake = () if trainer else FAKE
    command = [sys.executable, "-m", "rlhf_sweeps", "-m", *fake, f"hydra.sweep.dir={folder}"]
    with folder.with_suffix(".out").open("ab") as output:
        return subprocess.Popen(
            [*command, f"hydra.sweeper.workers={workers}", *overrides], env=environment, stdout=output, stderr=output
        )


def misbehave(folder: Path, **wanted: Any) -> None:
    """Tell the fake trainer what goes wrong: trial_0={"3": "kill_once"}."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = {name.removeprefix("trial_"): how for name, how in wanted.items()}
    (folder / "misbehaviour.json").write_text(json.dumps(plan), encoding="utf-8")


def trials(folder: Path, name: str | None = None) -> list[optuna.trial.FrozenTrial]:
    """What Optuna, opening the file by itself, finds."""
    url = f"sqlite:///{folder / 'study.db'}"
    return optuna.load_study(study_name=name or folder.name, storage=url).get_trials()


def contents(folder: Path) -> list[tuple[Any, ...]]:
    """Everything about the trials that does not depend on the clock."""
    return [
        (t.number, t.state, t.params, t.values, t.intermediate_values, t.user_attrs.get("cause"))
        for t in trials(folder)
    ]


def starts(run: Path) -> int:
    """How often a run was started."""
    return len((run / "starts").read_text(encoding="utf-8").splitlines())
