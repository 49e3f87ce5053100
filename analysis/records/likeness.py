"""Which runs can be ranked together: those that answer the same prompts and are scored in the same way."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from analysis.records.objective import Objective
from analysis.wording.labels import label_value, label_values, make_identity
from analysis.wording.statements import join_words
from rlhf_sweeps.record import natural_key

# The keys that say what a score means. Runs that differ in one of them are not ranked together, unless it was swept.
KEYS = (
    "dataset", "eval.num_prompts", "reward_model", "ppo.response_length", "ppo.stop_strings", "objective.kl_budget",
    "objective.reduction", "objective.mean_over",
)  # fmt: skip
_NAME = "reward_model.name"


class _Rankable(Protocol):
    """What of a run says whether it can be ranked with others."""

    @property
    def config(self) -> Mapping[str, Any]: ...

    @property
    def looked_for(self) -> Objective | None: ...


Run = TypeVar("Run", bound=_Rankable)


@dataclass(frozen=True)
class UnlikeKey:
    """A key in which runs differ that have to agree in it.

    Attributes:
        key: the config key.
        runs: value, as a label -> the names of the runs that have it.
    """

    key: str
    runs: Mapping[str, Sequence[str]]

    @property
    def text(self) -> str:
        """`ppo.response_length is 53 in a and b, 64 in c`."""
        return f"{self.key} is {', '.join(f'{value} in {join_words(names, 3)}' for value, names in self.runs.items())}"


def find_unlike_keys(configs: Mapping[str, Mapping[str, Any]]) -> list[UnlikeKey]:
    """The keys of `KEYS` in which runs differ, sorted.

    A key that a run's config lacks is unknown there, as is a reference to another key that nobody has resolved. Unknown
    values are not compared.

    Args:
        configs: run's name -> its flat config.
    """
    shared = set.intersection(*map(set, configs.values())) if configs else set()
    unlike = []
    for key in sorted(filter(_is_named, shared), key=natural_key):
        values = [config[key] for config in configs.values()]
        if len(set(map(make_identity, values))) > 1 and not any("${" in str(value) for value in values):
            runs: dict[str, list[str]] = {}
            for name, label in zip(configs, label_values(values), strict=True):
                runs.setdefault(label, []).append(name)
            unlike.append(UnlikeKey(key, runs))
    return unlike


def select_separating(unlike: Sequence[UnlikeKey]) -> list[str]:
    """The keys by which runs are ranked apart.

    Different reward models, by their names, are none of them: judges can compare their policies.
    """
    keys = [each.key for each in unlike]
    return [key for key in keys if not key.startswith("reward_model.") or _NAME not in keys]


def group_alike(runs: Sequence[Run], keys: Sequence[str]) -> list[list[Run]]:
    """The runs that can be ranked together, group by group.

    They have one objective. Where there are several, runs without a known one are in no group.

    Args:
        keys: by which runs are ranked apart.
    """
    has_several = len({run.looked_for for run in runs} - {None}) > 1
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        if run.looked_for is not None or not has_several:
            values = tuple(make_identity(run.config.get(key)) for key in keys)
            groups.setdefault((has_several and run.looked_for, values), []).append(run)
    return list(groups.values())


def describe_part(config: Mapping[str, Any], keys: Sequence[str]) -> str:
    """`ppo.response_length=53`: the values that set runs apart.

    Args:
        config: of one of the runs, flat.
        keys: by which runs are ranked apart.
    """
    return ", ".join(f"{key}={label_value(config.get(key))}" for key in keys)


def _is_named(key: str) -> bool:
    return key in KEYS or key.partition(".")[0] in KEYS
