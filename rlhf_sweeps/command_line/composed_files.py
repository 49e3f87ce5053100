"""The files of a config: those that Hydra composes, and those in a run's folder, written after it is claimed."""

import traceback
from pathlib import Path
from typing import Any, cast

import yaml
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import OmegaConfDumper

from rlhf_sweeps.record import mask_secrets, mask_word, mask_words, write_atomically


class _Dumper(yaml.CDumper if yaml.__with_libyaml__ else yaml.Dumper):  # type: ignore[misc]
    """Writes the same as OmegaConf's dumper, in a fifth of the time."""


# Texts such as 1e-4, which OmegaConf would read as a number, are quoted.
_Dumper.add_representer(str, OmegaConfDumper.str_representer)


def keep_config(folder: Path, task: dict[str, Any], hydra: dict[str, Any], overrides: list[str]) -> None:
    """Write the files of .hydra.

    Args:
        task: the config as plain values, with references in place of secrets; a trial reads this file.
        hydra: Hydra's own part of the config. Its file is written first, since it shows who owns the folder; the config
            is written last: if it exists, all files do.
        overrides: of the task.
    """
    target = folder / ".hydra"
    target.mkdir(parents=True, exist_ok=True)
    _save({"hydra": mask_hydra(hydra)}, target / "hydra.yaml")
    _save(mask_words(overrides), target / "overrides.yaml")
    _save(task, target / "config.yaml")


def keep_config_of_job(folder: Path, task: DictConfig) -> None:
    """Write the files of .hydra for the job that Hydra runs now, whose config this is."""
    hydra: Any = HydraConfig.instance().cfg
    keep_config(folder, to_plain(task), to_plain(hydra)["hydra"], read_overrides_of_job())


def read_overrides_of_job() -> list[str]:
    """The overrides of the task, as given, for the job that Hydra runs now."""
    hydra: Any = HydraConfig.instance().cfg
    # Hydra's own access would resolve the interpolations in them.
    return [str(word) for word in to_plain(hydra.hydra.overrides)["task"]]


def mask_hydra(hydra: dict[str, Any]) -> dict[str, Any]:
    """Hydra's own part of a config with its secrets masked; it is for reading only."""
    content: dict[str, Any] = mask_secrets(hydra)
    given = hydra.get("overrides") or {}
    words = {group: [str(word) for word in given.get(group) or []] for group in ("hydra", "task")}
    content["overrides"] = {group: mask_words(words[group]) for group in words}
    name = str(hydra.get("job", {}).get("override_dirname", ""))
    for word in words["task"]:
        name = name.replace(word, mask_word(word))
    if "override_dirname" in content.get("job", {}):
        content["job"] = {**content["job"], "override_dirname": name}
    return content


def to_plain(node: DictConfig) -> dict[str, Any]:
    """A config as plain values, with interpolations as they are written."""
    return cast(dict[str, Any], OmegaConf.to_container(node, enum_to_str=True))


def describe_unreadable(error: Exception) -> str | None:
    """The place in a config file that is no YAML, from Hydra's error about it; None for any other error."""
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark) is not None:
        return f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    if isinstance(error, yaml.reader.ReaderError):
        return f"{error.name}: {error.reason} (character {error.position + 1})"
    if isinstance(error, UnicodeDecodeError):  # this error does not name the file
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code is FileConfigSource.load_config.__code__:
                return f"{frame.f_locals['full_path']}: must be UTF-8, is not ({error.reason})"
    return None


def _save(content: dict[str, Any] | list[str], path: Path) -> None:
    text = yaml.dump(content, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)
    write_atomically(path, text)
