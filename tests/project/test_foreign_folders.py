"""SECURITY.md, sentence by sentence: folders and data of others, and what further keys run."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Compose
from helpers.known_secrets import FAST
from helpers.records import write_run, write_sweep
from helpers.sweeping import FAKE, sweep
from omegaconf import OmegaConf

from analysis.command import main as analyse
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.data.prompts import load_prompts

NOTE = "from pathlib import Path\nPath({place!r}).write_text('run')\n"
PROBE = """
import logging
from pathlib import Path

def note(what):
    with Path("called").open("a") as file:
        file.write(what + "\\n")

def score(prompts, responses):
    note("reward_model")
    return [float(len(response)) for response in responses]

def judge(prompts, responses):
    note("judge")
    return [0.0 for _ in responses]

class Own(logging.NullHandler):
    def __init__(self):
        note("job_logging")
        super().__init__()

class Other(logging.NullHandler):
    def __init__(self):
        note("hydra_logging")
        super().__init__()
"""


def command(folder: Path, *words: str) -> "subprocess.CompletedProcess[bytes]":
    path = f"{ROOT}:{ROOT / 'tests'}"
    whole = [sys.executable, "-m", "rlhf_sweeps", *words]
    return subprocess.run(whole, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True)


def test_what_a_storage_names_is_run_and_found_in_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    (tmp_path / "psycopg2.py").write_text("from probe import note\nnote('storage')\nraise ImportError('no driver')\n")
    storage = "hydra.sweeper.storage='postgresql+psycopg2://h/db'"
    done = command(
        tmp_path, "-m", *FAKE, "hydra.sweeper.workers=0", "ppo.lr=1e-4,1e-3", "hydra.sweep.dir=sweep", storage
    )
    assert done.returncode == 2, done.stderr.decode()
    assert set((tmp_path / "called").read_text().split()) == {"storage"}


def test_what_logging_and_reward_models_name_is_run(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    judge = "eval.judges=[{reward_model: callable, name: j, function: probe.judge}]"
    done = command(
        tmp_path, "+hydra.job_logging.handlers.probe.class=probe.Own", "hydra.run.dir=run", "tracking=disabled",
        "+hydra.hydra_logging.handlers.probe.class=probe.Other", "reward_model=callable",
        "reward_model.function=probe.score", judge, *FAST,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    called = set((tmp_path / "called").read_text().split())
    assert called == {"job_logging", "hydra_logging", "reward_model", "judge"}


def test_code_that_comes_with_a_data_set_is_never_run(tmp_path: Path, compose_config: Compose) -> None:
    folder, place = tmp_path / "prompts", tmp_path / "was_run"
    folder.mkdir()
    script = folder / "prompts.py"
    script.write_text(NOTE.format(place=str(place)))
    (folder / "train.jsonl").write_text("".join(json.dumps({"prompt": f"text {n}"}) + "\n" for n in range(8)))
    config = compose_config("dataset=local", f"dataset.path={folder}").dataset
    with pytest.raises(ConfigError, match=r"^dataset.path=.*scripts are no longer supported"):
        load_prompts(config)
    script.rename(folder / "other.py")
    assert len(load_prompts(config).train)
    assert not place.exists()


def test_the_analysis_runs_and_fetches_nothing_of_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "was_run"
    settings = {
        "model.path": "them/model",
        "reward_model.function": "named.score",
        "_target_": "named.Target",
        "hydra.sweeper.trial": "named.trial",
    }
    write_run(tmp_path / "run", settings=settings)
    (tmp_path / "named.py").write_text(NOTE.format(place=str(place)))
    (tmp_path / "run" / "sitecustomize.py").write_text(NOTE.format(place=str(place)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", lambda *place: pytest.fail("the network is asked"))
    assert analyse(["health", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 0
    assert "no findings in 1 run" in capsys.readouterr().out
    assert not place.exists()
    assert "named" not in sys.modules


@pytest.mark.parametrize("given", ["option", "variable", "nothing"])
def test_a_database_is_opened_where_the_user_names_it(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, named = tmp_path / "sweep", f"sqlite:///{tmp_path}/named.db"
    write_sweep(folder, [{"ppo.lr": 1e-4}, {"ppo.lr": 1e-5}])
    (folder / "study.db").rename(tmp_path / "named.db")
    (folder / "multirun.yaml").write_text(yaml.safe_dump({"hydra": {"sweeper": {"storage": named}}}))
    if given == "variable":
        monkeypatch.setenv("RLHF_SWEEPS_STORAGE", named)
    option = (f"--storage={named}",) if given == "option" else ()
    assert analyse(["sweep", str(folder), "--out", str(tmp_path / "out"), *option]) == 0
    told = capsys.readouterr()
    assert ("--storage opens it" in " ".join((told.out + told.err).split())) == (given == "nothing")


def test_a_sweep_goes_on_with_the_command_and_with_its_folders_for_what_was_begun_otherwise(tmp_path: Path) -> None:
    folder, words = tmp_path / "s", ("sweep.num_tested=2",)
    sweep(folder, "ppo.lr=1e-4,1e-5", *words)
    for number in (0, 1):
        file = folder / str(number) / ".hydra" / "config.yaml"
        OmegaConf.save(OmegaConf.merge(OmegaConf.load(file), {"tracking": {"tags": ["theirs"]}}), file)
    sweep(folder, "ppo.lr=1e-4,1e-5", *words, "sweep.test_seeds=1")
    assert tags_of_tests(folder) == {"0_seed_1000000": [], "1_seed_1000000": []}
    more = ("ppo.lr=1e-4,1e-5,1e-6", "hydra.sweeper.accept_changes=true", "sweep.test_seeds=2")
    sweep(folder, *words, *more)
    assert tags_of_tests(folder) == {
        f"{number}_seed_{seed}": ["theirs"] for number in (0, 1) for seed in (1_000_000, 1_000_001)
    }


def tags_of_tests(folder: Path) -> dict[str, list[str]]:
    files = folder.glob("test/*/.hydra/config.yaml")
    return {file.parents[1].name: list(OmegaConf.load(file).tracking.tags) for file in files}
