"""Trackers of a run on a machine where nobody has used W&B."""

import logging
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.wandb_stub import Tracking, WandbStub
from rlhf_sweeps.tracking import wandb_run as tracking
from rlhf_sweeps.tracking.wandb_run import Tracker

KEY = "0123456789" * 4
CONFIG: Any = Tracking("auto", tags=["toy"])


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Path]:
    """A machine where nobody has used W&B, and its processes gone afterwards."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / ".netrc"))
    monkeypatch.setenv("PYTHONPATH", str(Path(tracking.__file__).parents[2]))
    monkeypatch.setenv("WANDB_DISABLE_GIT", "true")
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, logger="rlhf_sweeps")
    yield tmp_path
    if (wandb := sys.modules.get("wandb")) is not None:
        wandb.teardown()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbStub]:
    with WandbStub() as stub:
        monkeypatch.setenv("WANDB_BASE_URL", stub.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield stub


def start(run_id: str = "abc", config: Any = CONFIG, axis: str = "update", **changes: Any) -> Tracker:
    return tracking.start(
        replace(config, **changes),
        run_dir=Path("outputs/sweep/0").absolute(),
        run_id=run_id,
        name="lr=1e-5",
        group="sweep",
        job_type="train",
        settings={"seed": 1, "ppo": {"lr": 1e-5, "betas": [0.9, 0.95]}, "note": None},
        axis=axis,
    )


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """The level and text of our own lines; pytest's handler also sees wandb's, which reach no console."""
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "rlhf_sweeps"]


def unused_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def run_python(code: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], text=True, check=True, capture_output=True, **options)


def upload(command: str) -> None:
    """Do what a user does with the command in a message."""
    subprocess.run([sys.executable, "-m", *shlex.split(command)], check=True, capture_output=True, timeout=60)


SCRIPT = """
import logging, sys
from pathlib import Path
from types import SimpleNamespace
logging.basicConfig(level=logging.INFO, format="%(name)s|%(message)s", stream=sys.stdout)
from analysis.reading.wandb_logs import read_log
from rlhf_sweeps.tracking import wandb_run as tracking
config = SimpleNamespace(
    mode={mode!r}, project="p", entity=None, tags=[], log_model=False, init_timeout=2.0, finish_timeout=2.0
)
tracker = tracking.start(
    config, run_dir=Path("run"), run_id="abc", name="n", group=None, job_type="train", settings={{}}
)
tracker.log({{"update": 1}})
tracker.log_samples([{{"update": 1, "prompt": "p"}}])
tracker.finish(exit_code=0, summary={{"objective": 1}}, model_dir=Path("model"))
print("wandb" in sys.modules, "torch" in sys.modules)
"""
