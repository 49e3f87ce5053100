"""Properties of a model that depend on the length of sequences: context, scaled positions, attention windows."""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel

from rlhf_sweeps.config.fields import ConfigError

# Keys of model configs for the number of tokens in an attention window.
_WINDOWS = ("sliding_window", "attention_chunk_size", "window_size", "attention_window_size", "local_attention")


def find_shortest_window(model: PreTrainedModel) -> int | None:
    """The tokens in the shortest attention window of a model; None if all layers see everything."""
    config = model.config.get_text_config()
    sizes = [getattr(config, name, None) for name in _WINDOWS]
    return min((size for size in sizes if isinstance(size, int) and size > 0), default=None)


def check_context(model: PreTrainedModel, longest: int, given: str, remedy: str) -> None:
    """Refuse sequences that are longer than a model's context, if its config tells that.

    Arguments and errors are those of `check_positions`.
    """
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    # A model without a limit may say -1 (XLNet).
    if context is not None and 0 < context < longest:
        raise ConfigError(f"{given}: its context is {context} tokens, here a sequence may have {longest} ({remedy})")


def check_positions(model: PreTrainedModel, longest: int | None, given: str, remedy: str) -> None:
    """Refuse a model that scales positions by the longest sequence in a batch, if sequences can be so long.

    The log-probability of a token would depend on the other sequences in its batch, and positions in a cache would
    keep the old scale.

    Args:
        longest: the largest number of tokens of a sequence; None: any number.
        given: key and value of the setting that names the model.
        remedy: the settings that make sequences shorter, for the message.

    Raises:
        ConfigError: if the model is refused.
    """
    config: Any = model.config.get_text_config()
    parameters = getattr(config, "rope_parameters", None) or {}
    # A config has one scaling for all layers, or one for each type of layer.
    for scaling in [parameters, *(value for value in parameters.values() if isinstance(value, Mapping))]:
        kind = scaling.get("rope_type")
        if kind == "longrope":
            limit = scaling.get("original_max_position_embeddings")
        elif kind == "dynamic" and not scaling.get("alpha"):  # HunYuan's, with an alpha, is always the same
            limit = getattr(config, "max_position_embeddings", None)
        else:
            continue
        if limit is not None and (longest is None or longest > limit):
            raise ConfigError(
                f"{given}: its positions ({kind}) depend on the length of the longest sequence once that has more than "
                f"{limit} tokens, here it may have {'any number' if longest is None else longest} ({remedy})"
            )
