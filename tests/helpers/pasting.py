"""Commands that are printed, pasted into a shell, and what Hydra makes of what they call.

In the shell, `python` and `wandb` are programs that write down what they were called with. Hydra then composes that, as
the command line would.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from rlhf_sweeps.cli import conf_dir, register, select_task
from rlhf_sweeps.command_line.hydra_answers import answer_from
from rlhf_sweeps.config.choices import expand

TESTS = ROOT / "tests"
ALL_ODD = "ö a=b,c 'q' \"d\" {e}[f](g) $HOME `ls` \\' \\ #!~"
ODD = [
    ALL_ODD,
    "ö ä",
    "a=b,c",
    "it's",
    'say "no"',
    "a{b}[c](d)",
    "$HOME ${x} `ls`",
    "a\\'b\\",
    "-x",
    "007",
    "1e5",
    "null",
    "~a#!",
]
WRITE_DOWN = f"""#!{sys.executable}
import json, sys
open("called.json", "w").write(json.dumps(sys.argv[1:]))
"""
# The command line without what takes long: it does what it would do, up to the training, and from there.
SWEEP = "from rlhf_sweeps.cli import main"
SEARCH = """# @package _global_
hydra: {sweeper: {params: {ppo.kl_coef: 'interval(0.01,0.1)', seed: 5, name: 'choice("ä",b)'}}}
"""
INTERRUPTED_SWEEP = f"""{SWEEP}
from rlhf_sweeps.sweep import engine
engine.Engine.run = lambda self: setattr(self, "stopping", engine.INTERRUPTED)
"""
INTERRUPTED_RUN = f"""{SWEEP}
import sys, types
summary = {{"status": "stopped", "stop_reason": "interrupted"}}
sys.modules["rlhf_sweeps.training.train"] = types.SimpleNamespace(train=lambda *_, begin, **named: begin() or summary)
"""
REWARD_MODEL = """import sys, types
from rlhf_sweeps.reward_models.__main__ import main
report = types.SimpleNamespace(accuracy=types.SimpleNamespace(value=1.0))
sys.modules["rlhf_sweeps.reward_training.training"] = types.SimpleNamespace(train=lambda config, folder: report)
"""
FAKE = ["hydra.sweeper.trial=helpers.fake_trainer.run", "hydra.sweeper.workers=0", "tracking=disabled"]

Paste = Callable[[str], list[str]]


@pytest.fixture
def paste(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paste:
    """A line -> what the program in it was called with, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python", "wandb"):
        (programs / name).write_text(WRITE_DOWN, encoding="utf-8")
        (programs / name).chmod(0o755)

    def pasted(line: str) -> list[str]:
        environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        subprocess.run(["bash", "-c", line], env=environment, check=True)
        words: list[str] = json.loads(Path("called.json").read_text(encoding="utf-8"))
        Path("called.json").unlink()
        return words

    return pasted


def printed(program: str, *words: str) -> str:
    """What our command line prints, given these words."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}"}
    code = [sys.executable, "-c", f"{program}\nmain()", *words]
    done = subprocess.run(code, env=environment, capture_output=True, text=True, timeout=120)
    assert "rror" not in done.stderr, done.stderr
    return done.stdout


def behind(text: str, start: str) -> str:
    """The command behind a line's beginning."""
    (found,) = re.findall(f"{re.escape(start)}(.*)$", text, re.MULTILINE)
    return str(found)


def composed(words: list[str]) -> tuple[DictConfig, Any]:
    """What `python -m rlhf_sweeps ...` composes of these words, and of that the task, in plain values."""
    assert words[:2] == ["-m", "rlhf_sweeps"]
    given = get_args_parser().parse_args(words[2:])
    register()
    path = create_config_search_path(given.config_path or conf_dir())
    if given.config_dir:
        path.prepend("command-line", f"file://{Path(given.config_dir).absolute()}", SearchPathQuery(provider="schema"))
    GlobalHydra.instance().clear()
    try:
        hydra = Hydra.create_main_hydra2("rlhf_sweeps", path)
        mode = RunMode.MULTIRUN if given.multirun else RunMode.RUN
        config = hydra.config_loader.load_configuration(given.config_name or "config", given.overrides, mode)
        with answer_from(config):
            task = OmegaConf.to_container(expand(select_task(config)), resolve=True)
        return config, task
    finally:
        GlobalHydra.instance().clear()


def written(run: Path) -> Any:
    return OmegaConf.to_container(OmegaConf.load(run / ".hydra" / "config.yaml"), resolve=True)


def configs(name: str) -> Path:
    """A folder of a user's own configs, that must be told to be found."""
    folder = Path(name).absolute()
    for group, file, text in (
        ("experiment", "mine", "# @package _global_\ntracking:\n  project: of mine\neval:\n  judges: [theirs]\n"),
        ("experiment", "asks", "# @package _global_\nseed: ${hydra:job.num}\nname: 'a_${ hydra : job.id }'\n"),
        ("reward_model", "asks", "defaults: [length, _self_]\nname: asks_${hydra:job.num}\n"),
        ("reward_model", "theirs", "defaults: [length, _self_]\nname: theirs\nunit: characters\n"),
        ("search", "mine", SEARCH),
        (".", "other", (Path(conf_dir()) / "config.yaml").read_text(encoding="utf-8").replace("seed: 0", "seed: 4")),
    ):
        (folder / group).mkdir(parents=True, exist_ok=True)
        (folder / group / f"{file}.yaml").write_text(text, encoding="utf-8")
    return folder


def other_configs() -> Path:
    """All of ours, with another KL budget, in another place."""
    folder = Path("other $conf").absolute()
    shutil.copytree(conf_dir(), folder)
    main = folder / "config.yaml"
    main.write_text(
        main.read_text(encoding="utf-8").replace("kl_budget: ${model.suggested_kl_budget}", "kl_budget: 14.0"),
        encoding="utf-8",
    )
    return folder
