"""Refusal of models whose files would load something else: a base model that the user did not name, or hub kernels.

transformers would do both without asking: for an adapter it loads the base model that the adapter names, and if a
config names its attention owner/name, it fetches a kernel from the hub and runs it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig
from transformers.utils.peft_utils import find_adapter_config_file

from rlhf_sweeps.config.fields import ConfigError

_IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")  # keys that may name a kernel


def refuse_foreign_parts(model: str | Path, given: str, revision: str | None = None) -> None:
    """Refuse a model whose files would make transformers load or run something else.

    Args:
        model: a folder, or an id on the hub.
        given: key and value of the setting that names it.
        revision: the revision on the hub.

    Raises:
        ConfigError: if they would.
        Exception: any error that transformers raises for a damaged config.
    """
    if (file := find_adapter_config_file(str(model), revision=revision)) is not None:
        base = json.loads(Path(file).read_text(encoding="utf-8")).get("base_model_name_or_path")
        raise ConfigError(f"{given}: must be a whole model, is an adapter for {base} (merge_and_unload merges both)")
    content, _ = PreTrainedConfig.get_config_dict(model, revision=revision)
    for key, kernel in _find_kernels(content):
        raise ConfigError(f"{given}: its config.json must not name foreign code, has {key}={kernel}")


def _find_kernels(content: Any, key: str = "", is_named: bool = False) -> Iterator[tuple[str, str]]:
    """The keys of a config, at any depth, that name a repository as an implementation, and the repositories."""
    if isinstance(content, dict):
        for name, value in content.items():
            # One for all layers, or one for each part of the model.
            yield from _find_kernels(value, str(name), is_named or str(name).lstrip("_") in _IMPLEMENTATIONS)
    elif is_named and isinstance(content, str) and "/" in content:
        yield key, content
