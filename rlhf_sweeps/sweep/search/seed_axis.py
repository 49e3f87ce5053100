"""Take a swept seed out of a grid's axes: the grid averages each setting over all of its seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import SEEDS
from rlhf_sweeps.sweep.search.axes import Values

SEED = "seed"


def take_seeds(
    axes: dict[str, Values], ties: Sequence[Sequence[str]], conditions: Mapping[str, Any]
) -> tuple[int, ...] | None:
    """Remove the seed from a grid's axes and return its values in the order typed; None if it is not swept.

    Args:
        axes: key -> its values, all of them lists; the seed's entry is removed.
        ties, conditions: the user's.

    Raises:
        ConfigError: if other keys depend on the seed, or a value is no seed.
    """
    key = next((key for key in axes if key.lstrip("+") == SEED), None)
    if key is None:
        return None
    named = {name for tie in ties for name in tie} | set(conditions)
    named |= {name for rule in conditions.values() if isinstance(rule, Mapping) for name in rule}
    axis = axes.pop(key)
    given = f"{key}={','.join(axis.texts or ())}"
    if SEED in {str(name).lstrip("+") for name in named}:
        raise ConfigError(
            f"{given}: every setting is averaged over all seeds, so ties and conditions cannot have seed; leave it out"
        )
    seeds = [int(value) for value in axis.values or () if _is_whole(value)]
    if len(seeds) < len(axis.values or ()) or not all(0 <= seed < SEEDS for seed in seeds):
        raise ConfigError(f"{given}: seeds must be whole numbers >= 0 and < {SEEDS}")
    return tuple(seeds)


def _is_whole(value: Any) -> bool:
    """Whether the config reads the value as a whole number; Hydra reads 007 as a text."""
    return type(value) is int or (isinstance(value, str) and value.isdecimal())
