"""How a process ends is what W&B is told: real processes against a local stand-in for W&B's server."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, SMALL
from helpers.sweeping import TESTS, WITHOUT_REPORT, WITHOUT_TORCH, misbehave, sweep, until, updates
from helpers.wandb_stub import StubRun, WandbStub
from hydra.errors import HydraException

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.process.environment import EnvironmentFault
from rlhf_sweeps.process.exit_status import choose_exit_status
from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.sweep.display import Display
from rlhf_sweeps.sweep.engine import Engine
from rlhf_sweeps.sweep.wandb_run import SweepTracker
from rlhf_sweeps.tracking import wandb_run as tracking
from rlhf_sweeps.training.summary import describe_failure

ONLINE = "tracking.mode=online"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbStub]:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_DISABLE_GIT", "true")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    with WandbStub() as stub:
        monkeypatch.setenv("WANDB_BASE_URL", stub.url)
        yield stub


def begin(folder: Path, *command: str) -> "subprocess.Popen[str]":
    """Start a command, which sees the tests' modules."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}"}
    with folder.with_name(f"{folder.name}.out").open("a") as output:
        return subprocess.Popen([sys.executable, *command], env=environment, stdout=output, stderr=output, text=True)


def begin_sweep(folder: Path, *overrides: str) -> "subprocess.Popen[str]":
    fixed = ("hydra.sweeper.trial=helpers.fake_trainer.run", f"hydra.sweep.dir={folder}", ONLINE, WITHOUT_REPORT)
    return begin(folder, "-c", WITHOUT_TORCH, "-m", "hydra.sweeper.workers=1", "ppo.lr=1e-4,2e-4", *fixed, *overrides)


def of_sweep(server: WandbStub) -> StubRun:
    (run,) = [run for run in server.runs.values() if run.upserts[0]["jobType"] == "sweep"]
    return run


@pytest.mark.parametrize(
    ("overrides", "wanted", "status"),
    [
        pytest.param((), {}, 0, marks=pytest.mark.slow),
        pytest.param(("sweep.budget_hours=0.0005",), {"seconds_each": 0.3}, 0, marks=pytest.mark.slow),
        ((), {"above": {"lr": 0.0, "how": "raise"}}, 1),
        pytest.param(("hydra.sweeper.max_failure_rate=0",), {"trial_0": {"1": "raise"}}, 1, marks=pytest.mark.slow),
    ],
    ids=["complete", "budget", "every trial failed", "too many failed"],
)
def test_a_sweep_ends_as_its_wandb_run(
    server: WandbStub, tmp_path: Path, overrides: tuple[str, ...], wanted: dict[str, object], status: int
) -> None:
    folder = tmp_path / "sweep"
    misbehave(folder, **wanted)
    assert begin_sweep(folder, *overrides).wait(timeout=60) == status
    assert of_sweep(server).exit_code == status


@pytest.mark.slow
def test_an_interrupted_sweep_ends_as_its_wandb_run(server: WandbStub, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    misbehave(folder, seconds_each=0.1)
    process = begin_sweep(folder)
    until(lambda: updates(folder / "0") > 0)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert of_sweep(server).exit_code == 130


@pytest.mark.parametrize(
    ("where", "error", "status"),
    [
        ((Engine, "__init__"), ValueError("no"), 1),
        ((Display, "__enter__"), KeyboardInterrupt(), 130),
        ((Engine, "save"), OSError(errno.ENOSPC, "full"), 2),
        ((Sweep, "write_results"), OSError(errno.EDQUOT, "full"), 2),
        ((SweepTracker, "conclude"), ValueError("no"), 1),
        ((Engine, "run"), SystemExit(3), 3),
    ],
)
def test_a_sweep_that_breaks_anywhere_ends_its_wandb_run_once(
    where: tuple[type, str], error: BaseException, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    codes = []
    monkeypatch.setattr("rlhf_sweeps.sweep.patience.PAUSES", (0.01,))
    monkeypatch.setattr(*where, fail)
    monkeypatch.setattr(SweepTracker, "finish", lambda self, *, exit_code: codes.append(exit_code))
    with pytest.raises(EnvironmentFault if isinstance(error, OSError) else type(error)):
        sweep(tmp_path / "sweep", "ppo.kl_coef=0.01,0.02")
    assert codes == [status]


@pytest.mark.slow
def test_runs_end_as_their_wandb_runs(server: WandbStub, tmp_path: Path) -> None:
    """One run: its reward model raises, then it is interrupted, then it goes to its end."""
    folder = tmp_path / "run"
    (tmp_path / "scores.py").write_text(
        "from pathlib import Path\n"
        "class Score:\n"
        "    def __init__(self, switch): self.switch = Path(switch)\n"
        "    def __call__(self, prompts, responses):\n"
        "        if self.switch.exists() and len(responses) < 9: raise ValueError('no')\n"
        "        return [0.0] * len(responses)\n"
    )
    environment = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from rlhf_sweeps.cli import main; main()"
    switch = tmp_path / "switch"
    arguments = ("reward_model=callable", "reward_model.function=scores.Score",
                 f"+reward_model.arguments.switch={switch}", f"hydra.run.dir={folder}", *SMALL[:-1], ONLINE,
                 "eval.num_prompts=16", "ppo.total_episodes=80", "eval.every=5")  # fmt: skip
    switch.touch()
    assert begin(folder, "-c", environment, *arguments).wait(timeout=60) == 1
    (run,) = server.runs.values()
    assert (run.exit_code, run.summary["status"], run.summary["cause"]) == (1, "failed", "reward_model")
    assert "no" in run.summary["message"]

    switch.unlink()
    process = begin(folder, "-c", environment, *arguments)
    until(lambda: updates(folder) > 0, seconds=60)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert (run.exit_code, run.summary["status"], run.summary["stop_reason"]) == (130, "stopped", "interrupted")
    assert not {"cause", "message", "traceback"} & run.summary.keys()

    assert begin(folder, "-c", environment, *arguments).wait(timeout=120) == 0
    assert (run.exit_code, run.summary["status"]) == (0, "complete")
    assert "stop_reason" not in run.summary
    record = Run(folder).summary() or {}
    told = {key for key, x in record.items() if x is None or isinstance(x, str | int | float)} - {"schema_version"}
    ended = told | describe_failure(ValueError(), 1).keys() | {"cause"}
    assert ended - {"update"} == set(tracking._ENDING)  # `update` is the axis, which the next start sends anyway
    assert run.summary["objective"] == pytest.approx(record["objective"])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, 0),
        (ConfigError("x"), 2),
        (HydraException("x"), 2),
        (OSError(errno.ENOSPC, "full"), 2),
        (OSError(errno.EDQUOT, "of the quota"), 2),
        (OSError(errno.EIO, "broken"), 2),
        (OSError(errno.EPIPE, "closed"), 1),
        (EnvironmentFault("full for minutes"), 2),
        (ValueError("x"), 1),
        (KeyboardInterrupt(), 130),
        (SystemExit(), 0),
        (SystemExit(3), 3),
        (SystemExit("a text"), 1),
    ],
)
def test_errors_have_a_status(error: BaseException | None, status: int) -> None:
    assert choose_exit_status(error) == status
