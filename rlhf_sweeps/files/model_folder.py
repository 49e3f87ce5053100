"""Read from a model's folder, before it is loaded, its largest token id and the shapes of its weights. Loads no torch.

Whatever these files do not show is checked later, when the model is loaded.
"""

import json
import operator
from pathlib import Path
from typing import Any

from rlhf_sweeps.config.fields import ConfigError, format_value

# The names of the output layers of sequence classifiers in transformers.
_HEADS = (".score.weight", ".classifier.weight", ".classifier.out_proj.weight", ".logits_proj.weight")
_LENGTH = 8  # bytes at the start of a safetensors file that hold the length of its header
# The exceptions that come from reading a file with unexpected content, at any place.
_DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


def check_vocabulary(folder: Path, settings: dict[str, Any], given: str) -> None:
    """Refuse a tokenizer with ids for which the model has no embedding.

    Args:
        settings: the model's config.json.
        given: key and value of the setting that names the folder.

    Raises:
        ConfigError: if there are such ids.
    """
    file, rows = folder / "tokenizer.json", _select_text_part(settings).get("vocab_size")
    if not file.is_file() or not isinstance(rows, int):
        return
    try:
        tokens = _read_tokens(json.loads(file.read_text(encoding="utf-8")))
        highest = max(tokens, default=0)
    except _DAMAGED:
        return  # a tokenizer of another format, or a damaged file
    if highest >= rows:
        raise ConfigError(
            f"{given}: its embedding must have a row for each id of its tokenizer, has {rows} rows (vocab_size) and "
            f"not the id {highest} of {format_value(tokens[highest])} (resize_token_embeddings adds rows)"
        )


def check_weights(folder: Path, given: str) -> dict[str, list[int]]:
    """The shapes of a model's safetensors weights by name; empty if it has no such file.

    Raises:
        ConfigError: if a file is damaged or gone.
    """
    shapes: dict[str, list[int]] = {}
    index = folder / "model.safetensors.index.json"
    try:
        parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()) if index.is_file() else set()
        gone = sorted(name for name in parts if not (folder / name).is_file())
    except _DAMAGED as error:
        raise ConfigError(f"{given}: its {index.name} is damaged ({error!r})") from error
    if gone:
        raise ConfigError(f"{given}: it lacks {', '.join(gone)}, which its {index.name} names")
    for file in sorted(folder.glob("model*.safetensors")):
        try:
            shapes |= _read_shapes(file)
        except _DAMAGED as error:
            raise ConfigError(f"{given}: its {file.name} is damaged ({error!r})") from error
    return shapes


def check_head(shapes: dict[str, list[int]], num_outputs: int, given: str, remedy: str) -> None:
    """Refuse a classifier with another number of outputs, or with the output layer of a language model only.

    Args:
        shapes: the shapes of its weights by name.
        remedy: the end of the message: how one of several outputs is chosen.

    Raises:
        ConfigError: if it is such a classifier.
    """
    heads = {name: shape for name, shape in shapes.items() if f".{name}".endswith(_HEADS) and len(shape) == 2}
    if not heads and "lm_head.weight" in shapes:
        raise ConfigError(f"{given}: not a trained reward model, its weights are a language model's")
    for name, (size, _) in heads.items():
        if size != num_outputs:
            raise ConfigError(f"{given}: must have {num_outputs} outputs, its {name} has {size}{remedy}")


def _select_text_part(settings: dict[str, Any]) -> dict[str, Any]:
    """The part of a config that is about text, if it has one; else the config."""
    part = settings.get("text_config")
    return part if isinstance(part, dict) else settings


def _read_tokens(content: dict[str, Any]) -> dict[int, str]:
    """The tokens of a tokenizer.json by their ids."""
    vocabulary = content["model"]["vocab"]
    if isinstance(vocabulary, dict):
        tokens = {number: token for token, number in vocabulary.items()}
    else:
        tokens = {number: token for number, (token, _) in enumerate(vocabulary)}
    tokens |= {token["id"]: token["content"] for token in content.get("added_tokens") or []}
    return {operator.index(number): token for number, token in tokens.items()}


def _read_shapes(file: Path) -> dict[str, list[int]]:
    """The shapes in a safetensors file's header, by name."""
    size = file.stat().st_size
    with file.open("rb") as content:
        length = int.from_bytes(content.read(_LENGTH), "little")
        if length > size:
            raise ValueError("it ends within its header")
        header = json.loads(content.read(length))
    header.pop("__metadata__", None)
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if _LENGTH + length + end != size:
        raise ValueError(f"it should have {_LENGTH + length + end} bytes, has {size}")
    return {name: [operator.index(size) for size in entry["shape"]] for name, entry in header.items()}
