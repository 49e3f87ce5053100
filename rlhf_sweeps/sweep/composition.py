"""Overrides -> the config of one run, written into its folder as Hydra would."""

from collections.abc import Sequence
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict

from rlhf_sweeps.config import Config, from_hydra


class Composer:
    """Composes runs of one sweep.

    Hydra reads and merges all files again for every run, which takes 0.1 s. Values of single keys come last in any
    case, so the files are merged once for each choice of groups, and the values put into a copy.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self._loader = loader
        self._master = master
        self._parser = OverridesParser.create(config_loader=loader)
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The composed config, Hydra's own part included.

        Raises:
            HydraException, OmegaConfBaseException: if an override cannot be applied.
        """
        parsed = self._parser.parse_overrides(list(overrides))
        values = [override for override in parsed if self._is_value(override)]
        groups = tuple(override.input_line or "" for override in parsed if override not in values)
        if groups not in self._composed:
            self._composed[groups] = self._loader.load_sweep_config(self._master, list(groups))
        composed = self._composed[groups].copy()
        ConfigLoaderImpl._apply_overrides_to_config(values, composed)
        with open_dict(composed):
            composed.hydra.overrides.task = list(overrides)
            composed.hydra.job.override_dirname = ",".join(overrides)
        return composed

    def config(self, overrides: Sequence[str]) -> Config:
        """The checked config of a run.

        Raises:
            ConfigError: if values are out of range or contradict each other; otherwise as `compose`.
        """
        return from_hydra(_task(self.compose(overrides)))

    def write(self, overrides: Sequence[str], number: int, folder: Path) -> Config:
        """Compose a run into its folder, as files in .hydra; returns its checked config. Raises as `config`."""
        composed = self.compose(overrides)
        config = from_hydra(_task(composed))
        with open_dict(composed):
            composed.hydra.job.num = number
            composed.hydra.job.id = f"{composed.hydra.job.name}_{number}"
            composed.hydra.runtime.output_dir = str(folder.absolute())
        target = folder / ".hydra"
        target.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(_task(composed), target / "config.yaml")
        OmegaConf.save(OmegaConf.masked_copy(composed, "hydra"), target / "hydra.yaml")
        OmegaConf.save(composed.hydra.overrides.task, target / "overrides.yaml")
        return config

    def _is_value(self, override: Override) -> bool:
        """Whether an override sets one key that is there whatever groups are chosen, and is not a group itself."""
        if override.type != OverrideType.CHANGE or override.package is not None:
            return False
        node = OmegaConf.select(self._master, override.key_or_group)
        return not isinstance(node, DictConfig) and (node is not None or "." in override.key_or_group)


def _task(composed: DictConfig) -> DictConfig:
    """The composed config without Hydra's own part."""
    task = composed.copy()
    with open_dict(task):
        del task["hydra"]
    return task
