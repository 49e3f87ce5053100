"""Commands of pages, composed and checked as the command line does it, up to where files and models are looked at."""

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from rlhf_sweeps.cli import conf_dir, register, select_task
from rlhf_sweeps.command_line.hydra_answers import answer_from, as_job
from rlhf_sweeps.config.reading import from_hydra
from rlhf_sweeps.reward_screen import config as reward_screen
from rlhf_sweeps.reward_training import config as reward_training
from rlhf_sweeps.sweep.composition import Composer
from rlhf_sweeps.sweep.sweeper import make_plan


def words_of(command: str) -> list[str]:
    """A command's words as a shell gives them, with a name in place of <what readers fill in>.

    Dots are a swept key in a sweep, else nothing.
    """
    words = shlex.split(re.sub(r"<[^>]*>", "name", command), comments=True)
    left_out = ["ppo.lr=1e-4,1e-3"] if "-m" in words[3:] else []  # what a sweep varies
    return [part for word in words for part in (left_out if word == "..." else [word])]


def check_run(words: list[str]) -> None:
    """Compose and check the config of `python -m rlhf_sweeps WORDS`; raises what is wrong with it."""
    with _composed("config", words, RunMode.RUN) as (_, config, _), answer_from(config):
        from_hydra(select_task(config))


def check_sweep(words: list[str]) -> None:
    """Make the plan of `python -m rlhf_sweeps -m WORDS`, and compose every value once; raises what is wrong."""
    with _composed("config", words, RunMode.MULTIRUN) as (loader, config, overrides):
        with answer_from(as_job(config, Path(), number=0)):
            composer = Composer(loader, config)
            plan = make_plan(config, loader, composer, overrides)
        for point in plan.space.probes():
            composer.config(plan.overrides(point, None))


def check_training(words: list[str]) -> None:
    """Compose and check the config of `python -m rlhf_sweeps.reward_models train WORDS`; raises what is wrong."""
    reward_training.register()
    with _composed("reward_model_training", words, RunMode.RUN) as (_, config, _), answer_from(config):
        reward_training.from_hydra(select_task(config))


def check_screen(words: list[str]) -> None:
    """Compose and check the config of `python -m rlhf_sweeps.reward_models screen WORDS`; raises what is wrong."""
    reward_screen.register()
    with _composed("reward_model_screen", words, RunMode.RUN) as (_, config, _), answer_from(config):
        reward_screen.from_hydra(select_task(config))


def existing_keys() -> set[str]:
    """Every key of a run's and of a sweep's config, groups and sections included."""
    with _composed("config", [], RunMode.MULTIRUN) as (_, config, _):
        return set(_keys(OmegaConf.to_container(config), "")) | {"search", "experiment"}


def _keys(section: Any, prefix: str) -> Iterator[str]:
    for key, value in section.items() if isinstance(section, dict) else ():
        yield f"{prefix}{key}"
        yield from _keys(value, f"{prefix}{key}.")


@contextmanager
def _composed(name: str, words: list[str], mode: RunMode) -> Iterator[tuple[ConfigLoader, DictConfig, list[str]]]:
    """What Hydra composes of a command line: its loader, the config, and the overrides that are not Hydra's own."""
    given: Any = get_args_parser().parse_args(words)
    register()
    path = create_config_search_path(conf_dir())
    if given.config_dir:
        own = f"file://{Path(given.config_dir).absolute()}"
        path.prepend("command-line", own, SearchPathQuery(provider="schema"))
    GlobalHydra.instance().clear()
    try:
        loader = Hydra.create_main_hydra2("rlhf_sweeps", path).config_loader
        config = loader.load_configuration(name, given.overrides, mode)
        yield loader, config, list(config.hydra.overrides.task)
    finally:
        GlobalHydra.instance().clear()
