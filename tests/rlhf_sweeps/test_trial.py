"""A trial's own process: what it must know to read the config that the sweeper has composed."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, composed
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict

from rlhf_sweeps import trial
from rlhf_sweeps.cli import conf_dir, register
from rlhf_sweeps.config.fields import ConfigError, TooLargeError
from rlhf_sweeps.record import InUseError, Run


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["reward_model=callable", "reward_model.function=my_module.score"], "score"),
        (["reward_model=local", "reward_model.path=my/folder"], "folder"),
    ],
)
def test_names_after_paths_are_found_in_a_new_process(tmp_path: Path, overrides: list[str], name: str) -> None:
    register()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        composed = compose("config", overrides=overrides)
    with open_dict(composed):
        composed.pop("hydra", None)
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save(composed, tmp_path / ".hydra" / "config.yaml")  # interpolations as they are written
    code = (
        "import sys; from pathlib import Path; from rlhf_sweeps.trial import _read_config\n"
        "print(_read_config(Path(sys.argv[1])).reward_model.name)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (name, "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A trial's, with no more than what it reads before its config."""
    (tmp_path / ".hydra").mkdir()
    hydra = {"hydra": {"sweep": {"dir": str(tmp_path)}, "overrides": {"task": ["seed=7"]}}}
    OmegaConf.save(OmegaConf.create(hydra), tmp_path / ".hydra" / "hydra.yaml")
    return tmp_path


@pytest.fixture
def ready(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(trial, "_read_config", lambda folder: None)
    monkeypatch.setattr(trial.preflight, "check_trial", lambda config, folder: None)
    return folder


def test_whatever_ends_a_trial_its_folder_says_so(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConfigError("ppo.lr=0: must be > 0")

    def not_fit(*_: object, **__: object) -> None:
        raise TooLargeError("model.path=x: out of memory")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    def tell_and_fail(*_: object, **__: object) -> None:
        Run(ready).write_summary({"status": "failed", "cause": "out_of_memory"})
        raise RuntimeError("no")

    found = []
    ends = ((refuse, ConfigError), (not_fit, TooLargeError), (fail, RuntimeError), (tell_and_fail, RuntimeError))
    for train, error in ends:
        monkeypatch.setattr("rlhf_sweeps.training.train.train", train)
        Run(ready).reopen()
        with pytest.raises(error):
            trial.run(ready)
        found.append(Run(ready).summary() or {})
    assert [one["cause"] for one in found] == ["config", "out_of_memory", "error", "out_of_memory"]
    assert [one["status"] for one in found] == ["failed"] * 4
    assert found[0]["message"] == "ppo.lr=0: must be > 0"


def test_it_waits_for_the_process_of_a_killed_sweeper_and_for_the_sweepers_decision(
    ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def train(*_: object, overrides: object = None, after_update: Callable[[], None]) -> None:
        for row in ({"update": 1}, {"update": 2, "eval/score": 0.5}, {"update": 3}):
            Run(ready).append_metrics(row)
            begun = time.monotonic()
            after_update()
            pauses.append(time.monotonic() - begun)

    stand_in = lambda c, f, s, o, after_update: train(after_update=after_update)  # noqa: E731
    monkeypatch.setattr("rlhf_sweeps.training.train.train", stand_in)
    begun, held = time.monotonic(), threading.Event()

    def hold() -> None:
        with Run(ready).claim():
            held.set()
            time.sleep(0.4)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    trial.run(ready)
    waited = time.monotonic() - begun
    holder.join()
    assert waited > 0.4 + trial.DECISION_SECONDS
    assert len(Run(ready).metrics()) == 3
    assert pauses[1] >= trial.DECISION_SECONDS > max(pauses[0], pauses[2])


def test_where_another_process_trains_nothing_is_written(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "PATIENCE", 0.0)
    names = sorted(ready.rglob("*"))
    with Run(ready).claim(), pytest.raises(InUseError):
        trial.run(ready)
    monkeypatch.setattr(trial, "_wait_for", lambda record: None)  # it has come since the look
    monkeypatch.setattr(trial, "_read_config", lambda folder: composed())
    with Run(ready).claim(), pytest.raises(ConfigError, match="another process is training there"):
        trial.run(ready)
    assert sorted(ready.rglob("*")) == names
