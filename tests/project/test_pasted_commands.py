"""Every printed command does what it says when it is pasted into a shell, however odd folders and values are."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT, SMALL
from helpers.pasting import (
    ALL_ODD,
    FAKE,
    ODD,
    REWARD_MODEL,
    SWEEP,
    Paste,
    behind,
    composed,
    configs,
    other_configs,
    printed,
    written,
)
from helpers.pasting import paste as paste
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from analysis.command import main as analyse
from analysis.output.parts import Command
from analysis.reading.folders import read_folder
from analysis.results.results import Results
from analysis.sweep.edges import write_axis
from analysis.views.config import config_view
from rlhf_sweeps.config.reading import from_hydra
from rlhf_sweeps.config.schema import Config, as_dict
from rlhf_sweeps.record import (
    Axis,
    Run,
    Sweep,
    fold_command,
    report_file,
    write_command,
    write_continuation,
    write_override,
)
from rlhf_sweeps.sweep import report as sweep_report
from rlhf_sweeps.tracking import wandb_run as tracking


@pytest.mark.parametrize("name", ODD)
def test_hydra_reads_an_override_as_the_text_that_it_was_given(name: str, paste: Paste) -> None:
    parser = OverridesParser.create()
    for text in (name, f"outputs/{name}", f"/{name}/x"):
        word = write_override("key", text)
        arrived = paste(shlex.join(["python", word]))
        assert OmegaConf.create({"key": parser.parse_overrides(arrived)[0].value()}).key == text
    both = parser.parse_override(write_override("key", [name, "x"])).value()
    assert list(OmegaConf.create({"key": both}).key) == [name, "x"]


@pytest.mark.parametrize("width", [12, 40, 79])
def test_a_command_that_takes_several_lines_is_one(width: int, paste: Paste) -> None:
    words = ["python", "-m", "rlhf_sweeps", *ODD, write_override("hydra.run.dir", f"outputs/{ALL_ODD}"), "x" * 100]
    lines = fold_command(write_command(*words), width)
    assert max(map(len, lines)) <= width
    assert paste("\n".join(lines)) == words[1:]
    assert fold_command("python -m analysis", 40) == ["python -m analysis"]


@pytest.mark.parametrize("width", range(1, 8))
def test_a_command_is_one_on_a_terminal_that_is_too_narrow(width: int, paste: Paste) -> None:
    words = ["python", "-m", "it's", "", "x y"]
    assert paste("\n".join(fold_command(shlex.join(words), width))) == words[1:]


@pytest.mark.parametrize(
    "line",
    [
        "-m --config-dir {0} ppo.kl_coef=0.01,0.02 seed=3",
        "ppo.kl_coef=0.01,0.02 seed=3 --config-dir {0} -m",
        "-m ppo.kl_coef=0.01,0.02 seed=3 -cd {0}",
        "--multi ppo.kl_coef=0.01,0.02 hydra.sweep.dir=given seed=3 --config-dir={0}",
        "--config-dir {0} -- ppo.kl_coef=0.01,0.02 seed=3",
        "--config-dir {0} -m",
        "-m --config-dir {0}",
        "--config-dir={0} hydra.sweep.dir=given -m",
    ],
)
def test_hydra_reads_the_folder_wherever_flags_stand(line: str, paste: Paste) -> None:
    words = [word.format(ALL_ODD) for word in line.split()]
    before = get_args_parser().parse_args(words)
    after = get_args_parser().parse_args(paste(write_continuation(words, "hydra.sweep.dir", "here"))[2:])
    kept = [word for word in before.overrides if not word.startswith("hydra.sweep.dir")]
    assert after.overrides == [*kept, "hydra.sweep.dir=here"]
    assert (after.config_dir, after.multirun) == (ALL_ODD, before.multirun)


@pytest.mark.parametrize(
    ("given", "where"),
    [
        pytest.param(
            ["ppo.kl_coef=0.01,0.02", "hydra.sweeper.direction=minimize"], "searchpath", marks=pytest.mark.slow
        ),
        pytest.param(
            ["reward_model=theirs", "++ppo.lr=1e-4,1e-3", "name='007','1e3',null\\,x,'${seed} b'"],
            "config-dir",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["name=try_${hydra:job.num},${hydra:job.id}", "tracking.tags=[a\\,b,'it\\'s','$HOME']"],
            "config-dir",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["ppo.lr=1e-4,2e-4", "ppo.kl_coef=0.1,0.2", "hydra.sweeper.ties=[[ppo.lr,ppo.kl_coef]]"],
            "config-path",
            marks=pytest.mark.slow,
        ),
        (["ppo=default,trl", "experiment=mine"], "config-name"),
        (["ppo.kl_coef=0.02,0.01", "experiment=asks", "hydra.job.name='of ä'"], "config-name"),
        pytest.param(["ppo=default,trl", "eval.judges=[asks]"], "config-name", marks=pytest.mark.slow),
        pytest.param(["search=mine", "hydra.sweeper.n_trials=2"], "searchpath", marks=pytest.mark.slow),
    ],
)
def test_the_best_setting_of_a_sweep_runs_again(given: list[str], where: str, paste: Paste) -> None:
    """As the sweep's last lines say, and as the report does."""
    folder = configs("given ä")
    places = {
        "searchpath": [write_override("hydra.searchpath", [f"file://{folder}"]), "experiment=mine"],
        "config-dir": ["--config-dir", str(folder), "experiment=mine"],
        "config-path": ["--config-path", str(other_configs())],
        "config-name": ["--config-dir", str(folder), "--config-name", "other"],
    }
    text = printed(SWEEP, "-m", *places[where], *FAKE, "sweep.report=false", "hydra.sweep.dir=s", *given)
    ((number, line),) = re.findall("^run trial ([0-9]+) again: (.*)$", text, re.MULTILINE)
    expected = written(Path("s") / number)
    lines = [line, *(part.text for part in parts_of(Path("s")) if isinstance(part, Command))]
    assert len(lines) == 2
    for line in lines:
        words = paste(line)
        assert composed(words)[1] == expected
        assert not [word for word in words if "sweeper" in word or "sweep.dir" in word]


def parts_of(folder: Path) -> list[Any]:
    source = read_folder(Sweep(folder))
    return list(config_view(Results(source)))


def test_what_is_to_be_searched_next_is_a_word_for_the_shell(paste: Paste) -> None:
    axis = Axis("ppo.lr", low=1e-5, high=1e-3, is_log=True)
    words = paste(f"python -m rlhf_sweeps -m {write_axis(axis, 1e-4, 1e-2)}")
    assert words[-1] == "ppo.lr=tag(log,interval(0.0001,0.01))"
    composed(words)


@pytest.mark.parametrize("name", [ALL_ODD, "-x"])
def test_a_report_that_failed_can_be_written_again(
    name: str, paste: Paste, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    words = paste(sweep_report.write_report(Path(name)).rpartition("; ")[2])
    assert words[:3] == ["-m", "analysis", "report"]
    assert analyse(words[2:]) == 2
    assert capsys.readouterr().err.startswith(f"error: {words[3]}: ")


def test_wandb_gets_the_folders_of_a_run(paste: Paste) -> None:
    folder = Path(ALL_ODD) / "wandb" / "offline-run-1-abc"
    folder.mkdir(parents=True)
    (folder / "run-abc.wandb").touch()
    run: Any = SimpleNamespace(sync_dir=str(folder.absolute()), offline=True, id="abc")
    assert paste(tracking._sync_command(run)) == ["sync", str(folder)]
    run.offline = False
    assert paste(tracking._sync_command(run)) == ["sync", "--include-online", str(folder)]


def test_a_trained_reward_model_is_used(paste: Paste) -> None:
    text = printed(REWARD_MODEL, "train", write_override("hydra.run.dir", ALL_ODD))
    config, _ = composed(paste(behind(text, "Use it with: ")))
    assert (config.reward_model.kind, config.reward_model.path) == ("classifier", ALL_ODD)


@pytest.mark.slow
def test_what_is_pasted_really_runs(paste: Paste, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real program: the best setting of a sweep, and its report once more."""
    words = [*SMALL, "ppo.total_episodes=8", "ppo.kl_coef=0.01,0.02", "reward_model=length", "name='ä, $b'"]
    folder = write_override("hydra.sweep.dir", "s ä {b}")
    text = printed(SWEEP, "-m", *FAKE, "sweep.report=false", *words, "tracking=disabled", folder)
    ((number, line),) = re.findall("^run trial ([0-9]+) again: (.*)$", text, re.MULTILINE)
    Path("bin/python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
    monkeypatch.setenv("PATH", f"{Path('bin').absolute()}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    subprocess.run(["bash", "-c", f"{line} hydra.run.dir=again"], check=True, capture_output=True)
    assert (Run("again").summary() or {})["status"] == "complete"
    assert (Run("again").start() or {})["config"] == as_dict(from_hydra(merged(Path("s ä {b}") / number)))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    line = sweep_report.write_report(Path("s ä {b}")).rpartition("; ")[2]
    subprocess.run(["bash", "-c", line], check=True, capture_output=True)
    assert report_file(Path("s ä {b}")).is_file()


def merged(run: Path) -> DictConfig:
    config = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.load(run / ".hydra" / "config.yaml"))
    assert isinstance(config, DictConfig)
    return config
