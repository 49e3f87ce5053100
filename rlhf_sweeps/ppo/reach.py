"""What of a model depends on how long the sequences are: how positions are scaled, and how far layers see."""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel

from rlhf_sweeps.config.fields import ConfigError

# As configs call the number of tokens that a layer sees at most.
_WINDOWS = ("sliding_window", "attention_chunk_size", "window_size", "attention_window_size", "local_attention")


def shortest_window(model: PreTrainedModel) -> int | None:
    """The fewest tokens that some layer sees at most; None if all see everything."""
    config = model.config.get_text_config()
    sizes = [getattr(config, name, None) for name in _WINDOWS]
    return min((size for size in sizes if isinstance(size, int) and size > 0), default=None)


def check_context(model: PreTrainedModel, longest: int, given: str, remedy: str) -> None:
    """Refuse sequences that are longer than what a model has positions for; arguments and errors as `check_positions`.

    Not all configs say how many those are.
    """
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    # A model without a limit may say -1 (XLNet).
    if context is not None and 0 < context < longest:
        raise ConfigError(f"{given}: its context is {context} tokens, here a sequence may have {longest} ({remedy})")


def check_positions(model: PreTrainedModel, longest: int | None, given: str, remedy: str) -> None:
    """Refuse a model that scales positions by the longest sequence beside it in a batch, where some are long enough.

    A token would get another log-probability whenever something else is longer, and those in a cache keep the old
    scale.

    Args:
        longest: tokens of a sequence at most; None: any number.
        given: key and value of the setting that names the model.
        remedy: what makes sequences shorter.

    Raises:
        ConfigError: if so.
    """
    config: Any = model.config.get_text_config()
    parameters = getattr(config, "rope_parameters", None) or {}
    # One scaling for all layers, or one for each type of layer.
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
