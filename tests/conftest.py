"""Shared by all tests: nothing reaches the network or W&B; how to compose a config and to run the command line."""

import copy
import functools
import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import sparing
from helpers.forked import ForkServer
from helpers.wandb_stub import WandbStub
from hydra import compose, initialize_config_dir
from omegaconf import open_dict

from rlhf_sweeps.cli import conf_dir, register
from rlhf_sweeps.config.reading import from_hydra
from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.record import hiding

ROOT = Path(__file__).parents[1]
# A run of the real default in seconds: 6 updates of 8 responses; what can be another number than its default is.
SMALL = (
    "seed=7",
    "ppo.batch_size=8",
    "ppo.total_episodes=48",
    "ppo.response_length=16",
    "ppo.num_ppo_epochs=2",
    "eval.every=2",
    "eval.num_prompts=7",
    "eval.num_confirming=5",
    "checkpoint.every=2",
    "tracking=disabled",
)
os.environ["HF_HUB_OFFLINE"] = "1"
# `nohup ... &` and some CI runners ignore it, and children inherit that: Ctrl-C would then end nothing.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
# Two threads gain nothing on models this small, and lose much on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

sparing.spare()

SLOW_LIMIT = 1800  # seconds that a test marked slow may take


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests have a limit of their own."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_LIMIT))


@pytest.fixture(scope="module", autouse=True)
def _libraries_are_no_garbage() -> None:
    """Whoever collects garbage, as the code does to give memory back, need not look through torch each time: 0.5 s."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _a_busy_machine_adds_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long is reported; a test that compares all lines must not depend on the machine's speed."""
    monkeypatch.setattr("rlhf_sweeps.process.activity.FIRST_LINE", threading.TIMEOUT_MAX)


@pytest.fixture(autouse=True)
def _secrets_of_other_tests_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process hides what it has learnt to be secret, in the messages of the next test, too."""
    monkeypatch.setattr(hiding, "_secrets", set())


# Marks of overrides that ask for what may change meanwhile: an environment variable, a file, a module.
OUTSIDE = ("$", "/", "function", "_target_")
Compose = Callable[..., Config]
CommandLine = Callable[..., subprocess.CompletedProcess[str]]


def composed(*overrides: str) -> Config:
    """Overrides -> checked Config, the caller's own."""
    is_the_same = not any(mark in override for override in overrides for mark in OUTSIDE)
    return copy.deepcopy(_composed_once(overrides)) if is_the_same else _composed(overrides)


def _composed(overrides: tuple[str, ...]) -> Config:
    registered()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("config", overrides=list(overrides))
        with open_dict(config):
            config.pop("hydra", None)
        return from_hydra(config)


_composed_once = functools.cache(_composed)
# Hydra keeps what is stored there.
registered = functools.cache(register)


@pytest.fixture
def compose_config() -> Compose:
    """Overrides -> checked Config."""
    return composed


@pytest.fixture(scope="session")
def run_command() -> Iterator[CommandLine]:
    """`python -m MODULE arguments` in a folder; never raises. Forked where that makes no difference; see forked.py."""
    servers: list[ForkServer] = []
    variables = dict(os.environ)

    def run(*arguments: str, module: str = "rlhf_sweeps", cwd: Path) -> subprocess.CompletedProcess[str]:
        if sys.platform == "linux" and not servers:
            servers.append(ForkServer(variables))
        for server in servers:
            if server.can_run(module, cwd):
                return server.run(module, arguments, cwd)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)

    yield run
    for server in servers:
        server.close()


@pytest.fixture
def command_line(tmp_path: Path, run_command: CommandLine) -> CommandLine:
    """The same in an empty folder."""

    def run(*arguments: str, module: str = "rlhf_sweeps", cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return run_command(*arguments, module=module, cwd=cwd)

    return run


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbStub]:
    """A server, on a machine where nobody has used W&B."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("WANDB_DISABLE_GIT", "true")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    with WandbStub() as stub:
        monkeypatch.setenv("WANDB_BASE_URL", stub.url)
        yield stub
    if (wandb := sys.modules.get("wandb")) is not None:
        wandb.teardown()


@pytest.fixture(scope="session")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from helpers import damage

    folder = tmp_path_factory.mktemp("damage") / "record"
    damage.make_interrupted_run(folder)
    return folder


@pytest.fixture(scope="session")
def complete(interrupted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from helpers import damage

    folder = tmp_path_factory.mktemp("damage") / "record"
    shutil.copytree(interrupted, folder)
    assert damage.train_again(folder).status == 0
    return folder
