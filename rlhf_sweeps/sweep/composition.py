"""Overrides -> the config of one run, written into its folder as Hydra would."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf._utils import OmegaConfDumper

from rlhf_sweeps.choices import expand
from rlhf_sweeps.config import Config
from rlhf_sweeps.fields import ConfigError
from rlhf_sweeps.runs import write_atomically
from rlhf_sweeps.validation import from_hydra
from rlhf_sweeps.wording import told


class _Dumper(yaml.CDumper if yaml.__with_libyaml__ else yaml.Dumper):  # type: ignore[misc]
    """Writes what OmegaConf's dumper does, in a fifth of the time."""


# Texts that OmegaConf would read as something else, such as 1e-4, are quoted.
_Dumper.add_representer(str, OmegaConfDumper.str_representer)


class Composer:
    """Composes runs of one sweep.

    Hydra reads and merges all files again for every run, which takes 0.1 s. Values of single keys come last in any
    case, so the files are merged once for each choice of groups, and the values put into a copy. Hydra's own part, the
    larger one, differs in six entries; it is kept as plain values, which nothing has to be copied for.

    Attributes:
        finish: what is done to every run's config in the end.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self._loader = loader
        self._master = master
        self._parser = OverridesParser.create(config_loader=loader)
        self._composed: dict[tuple[str, ...], tuple[DictConfig, dict[str, Any]]] = {}
        self.finish: Callable[[DictConfig], DictConfig] = lambda task: task

    def config(self, overrides: Sequence[str]) -> Config:
        """The checked config of a run.

        Raises:
            HydraException, OmegaConfBaseException: if an override cannot be applied.
            ConfigError: if values are out of range or contradict each other.
        """
        return from_hydra(self._compose(overrides)[0])

    def write(self, overrides: Sequence[str], number: int, folder: Path) -> Config:
        """Compose a run into its folder, as files in .hydra; returns its checked config. Raises as `config`."""
        task, hydra = self._compose(overrides)
        config = from_hydra(task)
        job = {"num": number, "id": f"{hydra['job']['name']}_{number}", "override_dirname": ",".join(overrides)}
        hydra = {
            **hydra,
            "overrides": {**hydra["overrides"], "task": list(overrides)},
            "job": {**hydra["job"], **job},
            "runtime": {**hydra["runtime"], "output_dir": str(folder.absolute())},
            # As written it may hold the time of day, which is another one when the trial reads it.
            "sweep": {**hydra["sweep"], "dir": str(self._master.hydra.sweep.dir)},
        }
        _save_all(folder, _plain(task), hydra, list(overrides))
        return config

    def rewrite(self, source: Path, seed: int | None, folder: Path) -> Config:
        """Compose a run as another one of its trial was composed by an earlier start; returns its checked config.

        Args:
            source: the other one's folder, or this one's own.
            seed: of the run; None: the other one's.

        Raises:
            ConfigError, OmegaConfBaseException: if that cannot be read any more.
        """
        try:
            task, hydra = (_load_plain(source / ".hydra" / name) for name in ("config.yaml", "hydra.yaml"))
        except (OSError, yaml.YAMLError) as error:
            raise ConfigError(f"{source / '.hydra'}: cannot be read ({told(error)})") from error
        hydra = hydra["hydra"]
        overrides = list(hydra["overrides"]["task"])
        if seed is not None:
            task["seed"] = seed
            overrides = [*(text for text in overrides if not text.startswith("seed=")), f"seed={seed}"]
        hydra["overrides"]["task"], hydra["runtime"]["output_dir"] = overrides, str(folder.absolute())
        hydra["sweep"]["dir"] = str(self._master.hydra.sweep.dir)
        config = from_hydra(cast(DictConfig, OmegaConf.merge(OmegaConf.structured(Config), task)))
        _save_all(folder, task, hydra, overrides)
        return config

    def _compose(self, overrides: Sequence[str]) -> tuple[DictConfig, dict[str, Any]]:
        """The composed config, and Hydra's own part as it is without the overrides that set values."""
        parsed = self._parser.parse_overrides(list(overrides))
        values = [override for override in parsed if self._is_value(override)]
        groups = tuple(override.input_line or "" for override in parsed if override not in values)
        if groups not in self._composed:
            self._composed[groups] = self._load(groups)
        task, hydra = self._composed[groups]
        task = task.copy()
        ConfigLoaderImpl._apply_overrides_to_config(values, task)
        return self.finish(expand(task)), hydra

    def _load(self, groups: Sequence[str]) -> tuple[DictConfig, dict[str, Any]]:
        composed = self._loader.load_sweep_config(self._master, list(groups))
        hydra = _plain(composed.hydra)
        with open_dict(composed):
            del composed["hydra"]
        return composed, hydra

    def _is_value(self, override: Override) -> bool:
        """Whether an override sets one key that is there whatever groups are chosen, and is not a group itself."""
        if override.type != OverrideType.CHANGE or override.package is not None:
            return False
        node = OmegaConf.select(self._master, override.key_or_group)
        return not isinstance(node, DictConfig) and (node is not None or "." in override.key_or_group)


def _plain(node: DictConfig) -> dict[str, Any]:
    """Plain values, interpolations as they are written."""
    return cast(dict[str, Any], OmegaConf.to_container(node, enum_to_str=True))


def _load_plain(path: Path) -> dict[str, Any]:
    return _plain(cast(DictConfig, OmegaConf.load(path)))


def _save_all(folder: Path, task: dict[str, Any], hydra: dict[str, Any], overrides: list[str]) -> None:
    """The files that Hydra writes for a run, its config last: where that is, all are."""
    target = folder / ".hydra"
    target.mkdir(parents=True, exist_ok=True)
    _save({"hydra": hydra}, target / "hydra.yaml")
    _save(overrides, target / "overrides.yaml")
    _save(task, target / "config.yaml")


def _save(content: dict[str, Any] | list[str], path: Path) -> None:
    text = yaml.dump(content, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)
    write_atomically(path, text)
