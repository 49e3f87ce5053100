"""The command line as a user meets it: answers at once, refuses bad input in one line, before anything starts."""

import errno
import logging
import signal
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import hydra
import pytest
from conftest import ROOT, SMALL, CommandLine
from helpers.slow import MOST_SECONDS
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from rlhf_sweeps import cli
from rlhf_sweeps.command_line.command_options import read_options
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.process import activity
from rlhf_sweeps.process.failures import DivergedError
from rlhf_sweeps.record import Run


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["ppo.kl_coeff=0.1"], "ppo.kl_coeff: there is no such key; did you mean ppo.kl_coef? (allowed here: lr, "),
        (["ppo.klcoef=0.1"], "ppo.klcoef: there is no such key; did you mean ppo.kl_coef? (allowed here: lr, "),
        (["ppo.lrr=1"], "ppo.lrr: there is no such key; did you mean ppo.lr? (allowed here: lr, "),
        (["pp.lr=1"], "pp: there is no such key; did you mean ppo? (allowed here: name, "),
        (["+ppo.klcoef=1"], "ppo.klcoef: there is no such key; did you mean ppo.kl_coef? (allowed here: lr, "),
        (["ppo.lr_schedule=linera"], "must be one of linear, cosine, constant; did you mean linear?"),
        (["model=smolm2_135m"], "model/smolm2_135m: there is no such choice; did you mean smollm2_135m? (allowed: "),
        (["eval.judges=[tniy]"], "eval.judges[0]=tniy: reward_model has no such choice; did you mean tiny? (allowed: "),
        (["model.path=embedded:tiny_polcy"], "tiny_reward_model; did you mean tiny_policy?"),
        (
            ["dataset.prompt_column=prompts"],
            "it has: topic, prompt, chosen, rejected; did you mean prompt?",
        ),
        (["-m", "search=lr_kl_clip", "hydra.sweeper.sampler=tpee"], "extends BaseSampler; did you mean tpe?"),
        (["foo=1"], "foo: there is no such key (allowed here: name, seed, "),
        (["+ppo.foo=1"], "ppo.foo: there is no such key (allowed here: lr, "),
        (["ppo=null"], "ppo=null: must name a choice of the group ppo (see --info defaults-tree)"),
        (["+foo=1"], "foo: there is no such key (allowed here: name, seed, "),
        (["ppo.kl_coef=abc"], "ppo.kl_coef=abc: Value 'abc' of type 'str' could not be converted to Float"),
        (["ppo.batch_size=3.5"], "ppo.batch_size=3.5: Value '3.5' of type 'float' could not be converted to Integer"),
        (["model=huge"], "model/huge: there is no such choice (allowed: local, "),
        (["ppo.lr=[1"], "ppo.lr=[1: must be KEY=VALUE in Hydra's syntax (no viable alternative at input '[1')"),
        (["ppo.clip_range=1.5"], "ppo.clip_range=1.5: must be > 0 and < 1"),
        (["~model"], "model: 9 of its keys have no value (model.dtype, ...); must be a choice: model=local, model="),
        (
            ["search=lr_kl_clip"],
            "search=lr_kl_clip: used only in a sweep, and only -m starts one: python -m rlhf_sweeps",
        ),
        (["seed=0,1"], "seed=0,1: several values are swept only with -m"),
        (["-m"], "-m: nothing is swept; give a key several values (ppo.kl_coef=0.01,0.02), or a search"),
        (["-m", "ppo.lr=1e-4"], "-m: nothing is swept"),
        (["model.path=no/such/folder"], "model.path=no/such/folder: no such file or folder"),
        (["model.path=embedded:nothing"], "model.path=embedded:nothing: no embedded asset"),
        (["model.path=nobody/nothing"], "model.path=nobody/nothing: neither a local folder nor available on the hub"),
        (["dataset.path=none.jsonl"], "dataset.path=none.jsonl: no such file"),
        (["dataset.prompt_column=question"], "dataset.prompt_column=question: "),
        (["ppo.response_length=1000"], "ppo.response_length=1000: with dataset.max_prompt_length=64 must fit"),
        (
            ["reward_model.path=embedded:tiny_policy"],
            "reward_model.path=embedded:tiny_policy: must be a sequence classifier",
        ),
        (["-m", "ppo.clip_range=0.1,1.5"], "ppo.clip_range=1.5: must be > 0 and < 1"),
        (["-m", "ppo.kl_coef=0.01,abc"], "ppo.kl_coef=abc: Value 'abc'"),
        (["-m", "model=tiny,huge"], "model/huge: there is no such choice"),
        (
            ["-m", "dataset.path=embedded:human_like_mini/train.jsonl,none.jsonl"],
            "dataset.path=none.jsonl: no such file",
        ),
    ],
)
def test_bad_input_is_one_line_and_nothing_starts(
    arguments: list[str], expected: str, command_line: CommandLine, tmp_path: Path
) -> None:
    flags = [argument for argument in arguments if argument.startswith("-")]
    overrides = [argument for argument in arguments if not argument.startswith("-")]
    result = command_line(*flags, "hydra.sweep.dir=sweep" if flags else "hydra.run.dir=run", *overrides)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert expected in line
    assert all(line.endswith("at a time, 1 thread(s) each") for line in result.stdout.splitlines()), result.stdout
    assert list(tmp_path.iterdir()) == []


def run_and_end(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that ends with an error, where Hydra does nothing but call it."""

    def job(composed: DictConfig) -> None:
        raise error

    for name in ("HYDRA_FULL_ERROR", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(sys, "argv", ["rlhf_sweeps"])
    monkeypatch.setattr(hydra, "main", lambda **_: lambda given: lambda: given(OmegaConf.create()))
    cli.run("config", job)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "m"),
            2,
            "error: no space is left on the disk: m; "
            "once this is repaired, the same command continues in this folder\n",
        ),
        (
            OSError(errno.EDQUOT, "Disk quota exceeded"),
            2,
            "error: the disk quota is used up; once this is repaired, the same command continues in this folder\n",
        ),
        (ConfigError("a=1: must be > 1\nb=2: must be > 2"), 2, "error: a=1: must be > 1\nerror: b=2: must be > 2\n"),
        (
            ValueError("Config group override must be a string or a list. Got int"),
            2,
            "error: Config group override must be a string or a list. Got int\n",
        ),
        (DivergedError("loss/policy_avg is nan"), 1, "error: loss/policy_avg is nan\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_what_a_user_can_mend_is_told_in_a_line_each(
    error: BaseException, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_and_end(error, monkeypatch)
    assert ended.value.code == status
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_whoever_asks_it_to_end_before_the_first_update_is_obeyed_at_once(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)]
    monkeypatch.setattr(sys, "argv", ["rlhf_sweeps"])
    monkeypatch.setattr(hydra, "main", lambda **_: lambda given: lambda: signal.raise_signal(number))
    with pytest.raises(SystemExit) as ended:
        cli.run("config", lambda _: None)
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "interrupted\n")
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)] == handlers


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: 1\n\tb: 2\n", ", line 2, column 1: found character '\\t' that cannot start any token"),
        (b"lr: 1\nlr: 2\n", ", line 2, column 1: found duplicate key lr"),
        (b"a: [1, 2\nb: {", ", line 2, column 2: expected ',' or ']', but got ':'"),
        (b"a: \xff\n", ": must be UTF-8, is not (invalid start byte)"),
        (b"a: " + b"x" * 20_000 + b"\xff\n", ": must be UTF-8, is not (invalid start byte)"),
        (b'a: "\x01"\n', ": special characters are not allowed (character 5)"),
    ],
)
def test_a_users_file_that_is_no_yaml_is_told_with_its_place(
    content: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_bytes(content)
    source = FileConfigSource("file", f"file://{tmp_path}")
    monkeypatch.setattr(sys, "argv", ["rlhf_sweeps"])
    monkeypatch.setattr(hydra, "main", lambda **_: lambda given: lambda: source.load_config("mine"))
    with pytest.raises(SystemExit) as ended:
        cli.run("config", lambda _: None)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'mine.yaml'}{said}\n"


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "No such file"), ValueError("shapes"), RuntimeError("x")])
def test_what_nobody_expected_is_shown_with_where_it_happened(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(type(error)) as raised:
        run_and_end(error, monkeypatch)
    assert raised.value is error


@pytest.mark.slow
def test_a_sweep_runs_every_point_into_its_own_folder(command_line: CommandLine, tmp_path: Path) -> None:
    arguments = ["-m", *SMALL, "ppo.total_episodes=8", "ppo.kl_coef=0.01,0.02", "ppo.lr=${model.suggested_lr}"]
    result = command_line(*arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    (folder,) = (tmp_path / "outputs").iterdir()  # named by the time
    assert f"all in outputs/{folder.name}" in result.stdout
    starts = [Run(folder / str(number)).start() for number in (0, 1)]
    assert [start["config"]["ppo"]["kl_coef"] for start in starts if start] == [0.01, 0.02]
    best = max((Run(folder / n).summary() or {})["objective"] for n in ("0", "1"))
    block = result.stdout[result.stdout.index("leading (not decided): trial") :]
    assert f"objective {best:.4g}" in block.splitlines()[0]
    assert "run trial " in block
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("summary.json")}
    again = command_line(*arguments, f"hydra.sweep.dir=outputs/{folder.name}")
    assert again.stdout.endswith(block)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_wheel_maps_the_config_into_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"] == {"conf": "rlhf_sweeps/conf"}


def test_a_sweep_of_hydras_own_trains_nothing_for_a_metric_that_is_not_there(
    command_line: CommandLine, tmp_path: Path
) -> None:
    wrong = ("objective.metrics=[eval/scor]", "ppo.kl_coef=0.01,0.02", "hydra.sweep.dir=sweep")
    result = command_line("-m", "hydra/sweeper=basic", *SMALL, *wrong)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: objective.metrics=eval/scor: no run with these settings records eval/scor; did ")
    assert not list(tmp_path.rglob("metrics.jsonl"))


def test_a_sweep_of_trainings_of_reward_models_is_checked_too(command_line: CommandLine, tmp_path: Path) -> None:
    wrong = ("dataset=local", "dataset.path=none.jsonl", "seed=1,2", "hydra.sweep.dir=sweep")
    result = command_line("train", "-m", *wrong, module="rlhf_sweeps.reward_models")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: dataset.path=none.jsonl: no such file")
    assert not (tmp_path / "sweep" / "1").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("-m --cfg hydra", "--multirun --cfg: only one of these can be given"),
        ("--run --info", "--run --info: only one of these can be given"),
        ("--resolve", "--resolve: must be given together with --cfg"),
        ("seed=1 --frob a.password=hunter2", "--frob: there is no such option (allowed: --help, "),
        ("--mutlirun", "--mutlirun: there is no such option; did you mean --multirun? (allowed: --help, "),
        ("--password=hunter2", "--password: there is no such option"),
        ("--cfg wrong", "--cfg/-c=wrong: must be one of job, hydra, all"),
        ("--conf x", "ambiguous option: --conf could match"),
        ("--experimental-rerun config.pickle", "--experimental-rerun: not supported, since it runs a pickled job"),
        ("seed=1 --config-dir nowhere name=x", "hydra"),
    ],
)
def test_options_that_hydra_would_end_on_are_one_line(words: str, line: str, command_line: CommandLine) -> None:
    done = command_line(*words.split())
    assert (done.returncode, done.stdout) == (2, "")
    (told,) = done.stderr.splitlines()
    assert line == "hydra" or told.startswith(f"error: {line}")
    assert told.startswith("error: ")
    assert "hunter2" not in told


def test_overrides_may_stand_between_options(command_line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    done = command_line("seed=5", "--cfg", "job", "name=x", "--config-dir", "own", "ppo.lr=3e-5", "-p", "ppo")
    assert done.returncode == 0, done.stderr
    assert "lr: 3.0e-05" in done.stdout
    assert read_options(["a=1", "-m", "b=2", "-cd", "own", "a=1"]) == (["-m", "-cd", "own", "a=1", "b=2", "a=1"], None)


@pytest.mark.parametrize(("mode", "expected"), [(RunMode.MULTIRUN, 3), (RunMode.RUN, None)])
def test_jobs_of_hydras_own_sweepers_are_numbered(
    mode: RunMode, expected: int | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In W&B, where WANDB_NAME would name them all alike."""
    given: list[int | None] = []

    def train(*words: object, number: int | None, **named: object) -> dict[str, object]:
        given.append(number)
        return {"status": "complete", "objective": 1.0}

    monkeypatch.setattr("rlhf_sweeps.training.train.train", train)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    cli.register()
    with initialize_config_dir(cli.conf_dir(), version_base="1.3"):
        composed = compose("config", list(SMALL), return_hydra_config=True)
    with read_write(composed), open_dict(composed):
        composed.hydra.mode, composed.hydra.job.num, composed.hydra.runtime.output_dir = mode, 3, str(tmp_path)
    HydraConfig.instance().set_config(composed)
    cli._train(cli.select_task(composed))
    assert given == [expected]


def test_a_slow_start_leaves_no_log_in_a_folder_that_is_not_claimed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the run would refuse its own folder, since nothing but the log is there."""

    class SlowModule:
        @property
        def train(self) -> Callable[..., dict[str, object]]:
            end = time.monotonic() + MOST_SECONDS
            while "loading torch" not in capsys.readouterr().err and time.monotonic() < end:
                time.sleep(0.01)
            return lambda *_, begin, **__: begin() or {"status": "complete", "objective": 1.0}

    monkeypatch.setitem(sys.modules, "rlhf_sweeps.training.train", SlowModule())
    monkeypatch.setattr(activity, "FIRST_LINE", 0.01)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    cli.register()
    with initialize_config_dir(cli.conf_dir(), version_base="1.3"):
        composed = compose("config", list(SMALL), return_hydra_config=True)
    with read_write(composed), open_dict(composed):
        composed.hydra.mode, composed.hydra.runtime.output_dir = RunMode.RUN, str(tmp_path)
    HydraConfig.instance().set_config(composed)
    handler = logging.FileHandler(Run(tmp_path).log_file, delay=True)
    monkeypatch.setattr(cli.log, "handlers", [*cli.log.handlers, handler])
    monkeypatch.setattr(cli.log, "level", logging.INFO)
    assert cli._train(cli.select_task(composed)) == 1.0
    assert not Run(tmp_path).log_file.exists()


@pytest.mark.slow
def test_a_sweep_of_hydras_own_trains(command_line: CommandLine, tmp_path: Path) -> None:
    small = (*SMALL, "ppo.total_episodes=8", "reward_model=length")
    result = command_line("-m", "hydra/sweeper=basic", *small, "seed=1,2", "hydra.sweep.dir=sweep")
    assert result.returncode == 0, result.stderr
    assert [(Run(tmp_path / "sweep" / n).summary() or {})["status"] for n in ("0", "1")] == ["complete", "complete"]
