"""Compose the config of a run from overrides, and write it into the run's folder as Hydra would."""

import copy
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict

from rlhf_sweeps.command_line.composed_files import keep_config, to_plain
from rlhf_sweeps.command_line.hydra_answers import answer_from, answer_questions, asks_for_the_job, has_questions
from rlhf_sweeps.config.choices import expand
from rlhf_sweeps.config.differences import complete_settings
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.lifted_secrets import learn, lift
from rlhf_sweeps.config.reading import from_hydra
from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.record import Run, salvage_hydra, salvage_yaml, write_override
from rlhf_sweeps.wording import describe_error


class Composer:
    """Composes runs of one sweep.

    Hydra reads and merges all files again for every run, which takes 0.1 s. Values of single keys are always applied
    last. So the files are merged once for each choice of groups, and the values are put into a copy. Hydra's own part,
    which is larger, differs in a few entries only; it is stored as plain values and never copied as a whole.

    A trial reads its config without Hydra. So interpolations that Hydra answers are resolved here: ${now:...} with one
    time for the whole sweep, ${hydra:...} from the run's own part.

    Attributes:
        folder: of the sweep.
        finish: the last change of every run's config.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self._loader = loader
        self._master = master
        self._parser = OverridesParser.create(config_loader=loader)
        self._composed: dict[tuple[str, ...], tuple[DictConfig, dict[str, Any]]] = {}
        # The unresolved path may contain the time of day, which would differ at the next reading.
        self.folder = Path(str(master.hydra.sweep.dir))
        self._begun = datetime.now()
        self._lifted: dict[str, str] = {}
        self.finish: Callable[[DictConfig], DictConfig] = lambda task: task

    @property
    def hydra(self) -> dict[str, Any]:
        """Hydra's own part of the sweep's config, as plain values."""
        return to_plain(self._master.hydra)

    def config(self, overrides: Sequence[str], number: int = 0) -> Config:
        """The checked config of a run.

        Raises:
            HydraException, OmegaConfBaseException: if an override cannot be applied.
            ConfigError: if values are out of range or contradict each other.
        """
        return from_hydra(self._compose(overrides, number, self.folder / str(number), self.folder)[0])

    def write(self, overrides: Sequence[str], number: int, folder: Path, sweep: Path | None = None) -> Config:
        """Compose a run into its folder, as files in .hydra; returns its checked config. Raises as `config`.

        Args:
            sweep: the folder for files that its trials share; None: the sweep's own.
        """
        task, hydra = self._compose(overrides, number, folder, sweep or self.folder)
        config = from_hydra(task)
        keep_config(folder, to_plain(task), hydra, list(overrides))
        return config

    def rewrite(self, source: Path, seed: int | None, folder: Path) -> Config:
        """Compose a run like another run of its trial, which an earlier start composed; returns its checked config.

        Args:
            source: the folder of the other run, or of this run itself.
            seed: of the run; None: the seed of the other run.

        Raises:
            ConfigError, OmegaConfBaseException: if the other run's config can no longer be read.
        """
        problems: list[str] = []
        task = salvage_yaml(source / ".hydra" / "config.yaml", problems)
        hydra = copy.deepcopy(dict(salvage_hydra(Run(source), problems)))
        try:
            if problems or not isinstance(task, dict):
                raise ValueError(next(iter(problems), "config.yaml: missing or no mapping"))
            overrides = [str(word) for word in hydra["overrides"]["task"]]
            hydra["runtime"]["output_dir"] = str(folder.absolute())
            hydra["sweep"]["dir"] = str(self.folder)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{source / '.hydra'}: cannot be read ({describe_error(error)})") from error
        if seed is not None:
            task["seed"] = seed
            overrides = [*(text for text in overrides if not text.startswith("seed=")), f"seed={seed}"]
        hydra["overrides"]["task"] = overrides
        task = complete_settings(task, to_plain(self._master))  # an earlier version may have composed it
        config = from_hydra(cast(DictConfig, OmegaConf.merge(OmegaConf.structured(Config), task)))
        keep_config(folder, task, hydra, overrides)
        return config

    def _compose(
        self, overrides: Sequence[str], number: int, folder: Path, sweep: Path
    ) -> tuple[DictConfig, dict[str, Any]]:
        """The composed config, and Hydra's own part of the run."""
        parsed = self._parser.parse_overrides(list(overrides))
        values = [override for override in parsed if self._is_value(override)]
        groups = tuple(override.input_line or "" for override in parsed if override not in values)
        if groups not in self._composed:
            self._composed[groups] = self._load(groups)
        task, shared = self._composed[groups]
        hydra = _fill_in_job(shared, parsed, number, folder, sweep)
        task = task.copy()
        ConfigLoaderImpl._apply_overrides_to_config(values, task)
        asks_for_number = self._answer(task, hydra)
        with answer_from(self._master):
            task = expand(task)
        lift(task, self._lifted)
        # The choices that `expand` has added may need answers, too.
        if self._answer(task, hydra) or asks_for_number:
            hydra = _fix_number(hydra)
        return self.finish(task), hydra

    def _answer(self, task: DictConfig, hydra: dict[str, Any]) -> bool:
        """Replace interpolations that Hydra answers. Most configs have none, and the replacement takes 20 ms.

        Returns:
            Whether the job's number was among them.
        """
        if not has_questions(task):
            return False
        asks_for_number = asks_for_the_job(task)
        with open_dict(task):
            task["hydra"] = hydra
            with answer_from(task, self._now):
                answer_questions(task)
            del task["hydra"]
        return asks_for_number

    def _now(self, pattern: str) -> str:
        """The time at which the sweep began; the time in its folder's name, if that has one."""
        cached: str | None = OmegaConf.get_cache(self._master)["now"].get((pattern,))
        return self._begun.strftime(pattern) if cached is None else cached

    def _load(self, groups: Sequence[str]) -> tuple[DictConfig, dict[str, Any]]:
        composed = self._loader.load_sweep_config(self._master, list(groups))
        hydra = to_plain(composed.hydra)
        with open_dict(composed):
            del composed["hydra"]
        learn(to_plain(composed))
        return composed, hydra

    def _is_value(self, override: Override) -> bool:
        """Whether an override sets a single key that exists for any choice of groups, and that is no group itself."""
        if override.type != OverrideType.CHANGE or override.package is not None:
            return False
        above, _, name = override.key_or_group.rpartition(".")
        holder = OmegaConf.select(self._master, above) if above else self._master
        if isinstance(holder, DictConfig) and name in holder and OmegaConf.is_interpolation(holder, name):
            return True  # it may be impossible to resolve it here
        node = OmegaConf.select(self._master, override.key_or_group)
        return not isinstance(node, DictConfig) and (node is not None or above != "")


def _fill_in_job(
    shared: dict[str, Any], overrides: Sequence[Override], number: int, folder: Path, sweep: Path
) -> dict[str, Any]:
    """Hydra's own part for a job of a sweep."""
    job = shared["job"]
    dirname = get_overrides_dirname(list(overrides), **job["config"]["override_dirname"])
    return {
        **shared,
        "overrides": {**shared["overrides"], "task": [override.input_line for override in overrides]},
        "job": {**job, "num": number, "id": f"{job['name']}_{number}", "override_dirname": dirname},
        "runtime": {**shared["runtime"], "output_dir": str(folder.absolute())},
        "sweep": {**shared["sweep"], "dir": str(sweep)},
    }


def _fix_number(hydra: dict[str, Any]) -> dict[str, Any]:
    """Add overrides to Hydra's own part of a run that set its number, for a config that uses it in a run on its own."""
    number, name = hydra["job"]["num"], hydra["job"]["id"]
    overrides = [*hydra["overrides"]["hydra"], f"hydra.job.num={number}", write_override("hydra.job.id", name)]
    return {**hydra, "overrides": {**hydra["overrides"], "hydra": overrides}}
