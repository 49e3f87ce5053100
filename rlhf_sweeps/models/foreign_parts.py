"""What a model's own files may not bring along: a base model that nobody has named, kernels from the hub.

transformers follows both without a question: it loads the base that an adapter names in place of the folder, and
fetches and runs a kernel where a config calls its attention owner/name.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig
from transformers.utils.peft_utils import find_adapter_config_file

from rlhf_sweeps.config.fields import ConfigError

_IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")  # of attention, of layers of experts


def refuse_foreign_parts(model: str | Path, given: str, revision: str | None = None) -> None:
    """Refuse a model whose files would have something else loaded or run.

    Args:
        model: a folder, or an id on the hub.
        given: key and value of the setting that names it.
        revision: of the hub's.

    Raises:
        ConfigError: if they would.
        Exception: whatever a damaged config makes transformers raise.
    """
    if (file := find_adapter_config_file(str(model), revision=revision)) is not None:
        base = json.loads(Path(file).read_text(encoding="utf-8")).get("base_model_name_or_path")
        raise ConfigError(
            f"{given}: must be a whole model, is an adapter for {base} (merge_and_unload makes one of both)"
        )
    content, _ = PreTrainedConfig.get_config_dict(model, revision=revision)
    for key, kernel in _kernels(content):
        raise ConfigError(f"{given}: its config.json must name no code of others, has {key}={kernel}")


def _kernels(content: Any, key: str = "", is_named: bool = False) -> Iterator[tuple[str, str]]:
    """The repositories that a config names for some implementation, at any depth, with their keys."""
    if isinstance(content, dict):
        for name, value in content.items():
            # One for all layers, or one for each part of the model.
            yield from _kernels(value, str(name), is_named or str(name).lstrip("_") in _IMPLEMENTATIONS)
    elif is_named and isinstance(content, str) and "/" in content:
        yield key, content
