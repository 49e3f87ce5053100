"""Every command that is printed does what it says when it is pasted into a shell, however odd folders and values are.

In the shell, `python` and `wandb` are programs that write down what they were called with. Hydra then composes that, as
the command line would, and the result is compared with what the run or sweep had that printed the command.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT, SMALL
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from analysis.command import main as analyse
from analysis.ranking import rank
from analysis.reading.folders import read_folder
from analysis.report.config import config_parts
from analysis.report.parts import Command
from analysis.sweep.edges import override_text
from analysis.watch.places import Places
from rlhf_sweeps import tracking
from rlhf_sweeps.choices import expand
from rlhf_sweeps.cli import conf_dir, register, task_config
from rlhf_sweeps.config import Config, as_dict
from rlhf_sweeps.hydra_part import answering
from rlhf_sweeps.runs import Axis, Run, Sweep, command, folded, go_on, override, report_file
from rlhf_sweeps.sweep import report as sweep_report
from rlhf_sweeps.validation import from_hydra

TESTS = Path(__file__).parent
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
sys.modules["rlhf_sweeps.train"] = types.SimpleNamespace(train=lambda *given, begin, **named: begin() or summary)
"""
REWARD_MODEL = """import sys, types
from rlhf_sweeps.reward_models.command import main
report = types.SimpleNamespace(accuracy=types.SimpleNamespace(value=1.0))
sys.modules["rlhf_sweeps.reward_models.training"] = types.SimpleNamespace(train=lambda config, folder: report)
"""
FAKE = ["hydra.sweeper.trial=fake_trainer.run", "hydra.sweeper.workers=0", "tracking=disabled"]

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
        with answering(config):
            task = OmegaConf.to_container(expand(task_config(config)), resolve=True)
        return config, task
    finally:
        GlobalHydra.instance().clear()


def written(run: Path) -> Any:
    return OmegaConf.to_container(OmegaConf.load(run / ".hydra" / "config.yaml"), resolve=True)


@pytest.mark.parametrize("name", ODD)
def test_hydra_reads_an_override_as_the_text_that_it_was_given(name: str, paste: Paste) -> None:
    parser = OverridesParser.create()
    for text in (name, f"outputs/{name}", f"/{name}/x"):
        word = override("key", text)
        arrived = paste(shlex.join(["python", word]))
        assert OmegaConf.create({"key": parser.parse_overrides(arrived)[0].value()}).key == text
    both = parser.parse_override(override("key", [name, "x"])).value()
    assert list(OmegaConf.create({"key": both}).key) == [name, "x"]


@pytest.mark.parametrize("width", [12, 40, 79])
def test_a_command_that_takes_several_lines_is_one(width: int, paste: Paste) -> None:
    words = ["python", "-m", "rlhf_sweeps", *ODD, override("hydra.run.dir", f"outputs/{ALL_ODD}"), "x" * 100]
    lines = folded(command(*words), width)
    assert max(map(len, lines)) <= width
    assert paste("\n".join(lines)) == words[1:]
    assert folded("python -m analysis", 40) == ["python -m analysis"]


@pytest.mark.parametrize("width", range(1, 8))
def test_a_command_is_one_on_a_terminal_that_is_too_narrow(width: int, paste: Paste) -> None:
    words = ["python", "-m", "it's", "", "x y"]
    assert paste("\n".join(folded(shlex.join(words), width))) == words[1:]


def test_an_interrupted_run_goes_on(paste: Paste) -> None:
    words = ["--config-dir", str(configs("given ä")), "experiment=mine", override("name", ALL_ODD), "seed=3"]
    text = printed(INTERRUPTED_RUN, *words, override("hydra.run.dir", f"runs/{ALL_ODD}"))
    config, task = composed(paste(behind(text, "Continue with: ")))
    assert config.hydra.run.dir == f"runs/{ALL_ODD}"
    assert task == composed(["-m", "rlhf_sweeps", *words])[1]
    assert (config.name, config.tracking.project) == (ALL_ODD, "of mine")


def test_a_run_that_nothing_trains_goes_on(paste: Paste) -> None:
    """What `python -m analysis watch` says of a run that was killed."""
    folder = Path("runs") / ALL_ODD
    words = [override("hydra.searchpath", [f"file://{configs('given')}"]), "experiment=mine", "seed=3"]
    printed(INTERRUPTED_RUN, *words, override("hydra.run.dir", str(folder)))
    Run(folder).begin({})
    os.utime(Run(folder).start_file, (1e9, 1e9))
    (seen,) = Places(folder).look()
    config, task = composed(paste(str(seen.note).removeprefix("nothing is training there: continue with ")))
    assert config.hydra.run.dir == str(folder)
    assert task == composed(["-m", "rlhf_sweeps", *words])[1]
    assert (config.seed, config.tracking.project) == (3, "of mine")


def test_an_interrupted_sweep_goes_on(paste: Paste) -> None:
    words = ["-m", *FAKE, "ppo.kl_coef=0.01,0.02", "hydra.sweeper.study_name='a b'", "name='ä,1'"]
    text = printed(INTERRUPTED_SWEEP, *words, override("hydra.sweep.dir", f"sweeps/{ALL_ODD}"))
    for line in (behind(text, "Continue with: "), watched(Path("sweeps") / ALL_ODD)):
        words_again = paste(line)
        assert words_again[2] == "-m"
        again, _ = composed(words_again)
        assert again.hydra.sweep.dir == f"sweeps/{ALL_ODD}"
        assert again.hydra.sweeper.study_name == "a b"
        assert sorted(again.hydra.overrides.task) == sorted(["tracking=disabled", *words[-3:-2], words[-1]])


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
    after = get_args_parser().parse_args(paste(go_on(words, "hydra.sweep.dir", "here"))[2:])
    kept = [word for word in before.overrides if not word.startswith("hydra.sweep.dir")]
    assert after.overrides == [*kept, "hydra.sweep.dir=here"]
    assert (after.config_dir, after.multirun) == (ALL_ODD, before.multirun)


def watched(folder: Path) -> str:
    """What `python -m analysis watch` says of a sweep whose process is gone."""
    (folder / "sweeper.json").write_text(json.dumps({"process": 2**30, "host": socket.gethostname()}))
    (seen,) = Places(folder).look()
    return str(seen.note).removeprefix("no sweeper is running: continue with ")


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
        "searchpath": [override("hydra.searchpath", [f"file://{folder}"]), "experiment=mine"],
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
    return list(config_parts(source, rank(source)))


def test_what_is_to_be_searched_next_is_a_word_for_the_shell(paste: Paste) -> None:
    axis = Axis("ppo.lr", low=1e-5, high=1e-3, is_log=True)
    words = paste(f"python -m rlhf_sweeps -m {override_text(axis, 1e-4, 1e-2)}")
    assert words[-1] == "ppo.lr=tag(log,interval(0.0001,0.01))"
    composed(words)


@pytest.mark.parametrize("name", [ALL_ODD, "-x"])
def test_a_report_that_failed_can_be_written_again(
    name: str, paste: Paste, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    words = paste(sweep_report.report_line(Path(name)).rpartition("; ")[2])
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
    text = printed(REWARD_MODEL, "train", override("hydra.run.dir", ALL_ODD))
    config, _ = composed(paste(behind(text, "Use it with: ")))
    assert (config.reward_model.kind, config.reward_model.path) == ("classifier", ALL_ODD)


def test_a_run_without_a_model_is_continued(paste: Paste, capsys: pytest.CaptureFixture[str]) -> None:
    from rlhf_sweeps.sample import main

    Run(ALL_ODD).begin({})
    with pytest.raises(SystemExit):
        main([ALL_ODD])
    config, _ = composed(paste(f"python -m rlhf_sweeps {behind(capsys.readouterr().err, 'continue it with ')}"))
    assert config.hydra.run.dir == ALL_ODD


@pytest.mark.slow
def test_what_is_pasted_really_runs(paste: Paste, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real program: the best setting of a sweep, and its report once more."""
    words = [*SMALL, "ppo.total_episodes=8", "ppo.kl_coef=0.01,0.02", "reward_model=length", "name='ä, $b'"]
    folder = override("hydra.sweep.dir", "s ä {b}")
    text = printed(SWEEP, "-m", *FAKE, "sweep.report=false", *words, "tracking=disabled", folder)
    ((number, line),) = re.findall("^run trial ([0-9]+) again: (.*)$", text, re.MULTILINE)
    Path("bin/python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
    monkeypatch.setenv("PATH", f"{Path('bin').absolute()}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    subprocess.run(["bash", "-c", f"{line} hydra.run.dir=again"], check=True, capture_output=True)
    assert (Run("again").summary() or {})["status"] == "complete"
    assert (Run("again").start() or {})["config"] == as_dict(from_hydra(merged(Path("s ä {b}") / number)))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    line = sweep_report.report_line(Path("s ä {b}")).rpartition("; ")[2]
    subprocess.run(["bash", "-c", line], check=True, capture_output=True)
    assert report_file(Path("s ä {b}")).is_file()


def merged(run: Path) -> DictConfig:
    config = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.load(run / ".hydra" / "config.yaml"))
    assert isinstance(config, DictConfig)
    return config


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
    main.write_text(main.read_text(encoding="utf-8").replace("kl_budget: 15.0", "kl_budget: 14.0"), encoding="utf-8")
    return folder
