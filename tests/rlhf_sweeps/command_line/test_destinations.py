"""Where runs and sweeps go: names that can be, and a new folder for each start that names none."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, CommandLine, Compose
from helpers.folders import BASIC, RUN, module_of, refused, tree
from hydra.core.utils import setup_globals
from omegaconf import OmegaConf

from rlhf_sweeps.command_line.destinations import find_destination, reserve_for_a_while
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Run


@pytest.mark.parametrize(
    ("command", "given", "expected"),
    [
        (RUN, "", "hydra.run.dir=: must name a folder"),
        (BASIC, "", "hydra.sweep.dir=: must name a folder"),
        (("hydra.output_subdir=x",), "", "hydra.output_subdir=x: must be null; a run's config lies in .hydra"),
        ((*BASIC, "hydra.output_subdir=.hydra"), "w", "hydra.output_subdir=.hydra: must be null"),
        (("name=a/../../x",), "", "name=a/../../x: must be a text without / and control"),
        (("-m", "seed=1,2", "name='a\nb'"), "", "name='a\\nb': must be a text without / and control"),
        (("train", "name=a/../../x"), "", "name=a/../../x: must be a text without / and control"),
    ],
)
def test_what_names_no_folder_is_refused(
    command: tuple[str, ...], given: str, expected: str, command_line: CommandLine, tmp_path: Path
) -> None:
    line = refused(command_line(*(word.format(given) for word in command), module=module_of(command)))
    assert line.startswith(f"error: {expected}"), line
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("tiny", " ", "hydra.sweep.dir= : must name a folder"),
        ("tiny", "a/" + "x" * 256, "hydra.sweep.dir=a/xxx"),
        ("tiny", "a\0b", "hydra.sweep.dir='a\\x00b': "),
        ("a\x1bb", None, "name='a\\x1bb': must be"),
        ("a\u2028b", None, "name='a\\u2028b': must be"),
        ("\u00e9" * 111, None, "name=\u00e9"),
        ("", None, "name=: must be"),
    ],
)
def test_names_that_no_folder_can_have(name: str, given: str | None, expected: str) -> None:
    told = [] if given is None else [f"hydra.sweep.dir={given}"]
    where = "outputs/${now:%Y}_${name}" if given is None else given
    setup_globals()  # as Hydra does, which answers ${now:...} then
    config = OmegaConf.create({"name": name, "hydra": {"sweep": {"dir": where}, "overrides": {"hydra": told}}})
    with pytest.raises(ConfigError) as refusal:
        find_destination(config, "hydra.sweep.dir")
    assert str(refusal.value).startswith(expected)
    assert len(str(refusal.value).splitlines()) == 1


def test_names_that_a_folder_can_have(compose_config: Compose) -> None:
    for name in ("\u00e9" * 110, "a b", "..", "a\\b", "lr=1e-4,kl=0.1", "\U0001f642"):
        config = OmegaConf.create({"name": name, "hydra": {"run": {"dir": "o/t_${name}"}, "overrides": {"hydra": []}}})
        assert find_destination(config, "hydra.run.dir") == Path("o") / f"t_{name}"
    with pytest.raises(ConfigError, match="name=a/b: must be a text without"):
        compose_config("name=a/b")


def _reserve(folder: str, barrier: "multiprocessing.synchronize.Barrier", told: "multiprocessing.Queue[str]") -> None:
    config = OmegaConf.create(
        {
            "name": "x",
            "hydra": {"run": {"dir": f"{folder}/outputs/${{now:same}}_${{name}}"}, "overrides": {"hydra": []}},
        }
    )
    setup_globals()
    barrier.wait()
    with reserve_for_a_while(config, "hydra.run.dir") as new:
        (new / "mine").touch()
        told.put(str(config.hydra.run.dir))


def test_of_those_that_start_in_one_second_each_has_a_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, told = context.Barrier(8), context.Queue()
    starters = [context.Process(target=_reserve, args=(str(tmp_path), barrier, told)) for _ in range(8)]
    for one in starters:
        one.start()
    names = {Path(told.get(timeout=60)).name for _ in starters}
    for one in starters:
        one.join()
    assert names == {"same_x", *(f"same_x_{number}" for number in range(2, 9))}
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == names


@pytest.mark.slow
def test_the_folder_that_is_told_is_the_one_that_was_made(command_line: CommandLine, tmp_path: Path) -> None:
    few = ("ppo.batch_size=2", "ppo.num_minibatches=1", "ppo.total_episodes=2", "eval.num_prompts=2",
           "reward_model=length", "tracking=disabled")  # fmt: skip
    (tmp_path / "outputs" / "NOW_tiny").mkdir(parents=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    code = (
        "import hydra._internal.hydra as internal\nfrom omegaconf import OmegaConf\nfrom rlhf_sweeps import cli\n"
        "original = internal.setup_globals\n"
        "def set_up():\n"
        "    original()\n"
        "    OmegaConf.register_new_resolver('now', lambda _: 'NOW', replace=True)\n"
        "internal.setup_globals = set_up\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *few], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert f"all in {tmp_path}/outputs/NOW_tiny_2\n" in done.stdout
    assert sorted(path.name for path in (tmp_path / "outputs").iterdir()) == ["NOW_tiny", "NOW_tiny_2"]
    assert not list((tmp_path / "outputs" / "NOW_tiny").iterdir())
    assert (Run(tmp_path / "outputs" / "NOW_tiny_2").summary() or {})["status"] == "complete"


def test_a_new_folder_that_nothing_came_into_is_removed(tmp_path: Path) -> None:
    config = {"name": "x", "hydra": {"sweep": {"dir": str(tmp_path / "a" / "b")}, "overrides": {"hydra": []}}}
    with pytest.raises(ConfigError), reserve_for_a_while(OmegaConf.create(config), "hydra.sweep.dir"):
        raise ConfigError("no")
    assert tree(tmp_path) == {}
