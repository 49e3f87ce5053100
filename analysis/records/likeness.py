"""Which runs can be ranked together: those that answer the same prompts and are scored in the same way."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from analysis.wording.labels import label_value, label_values, make_identity
from analysis.wording.statements import join_words
from rlhf_sweeps.record import natural_key

if TYPE_CHECKING:
    from analysis.records.runs import RunRecord, Source

# The keys that say what a score means. Runs that differ in one of them are not ranked together, unless it was swept.
KEYS = (
    "dataset", "eval.num_prompts", "reward_model", "ppo.response_length", "ppo.stop_strings", "objective.kl_budget",
    "objective.reduction", "objective.mean_over",
)  # fmt: skip
_NAME = "reward_model.name"


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


def group_alike(runs: Sequence["RunRecord"], keys: Sequence[str]) -> list[list["RunRecord"]]:
    """The runs that can be ranked together, group by group.

    They have one objective. Where there are several, runs without a known one are in no group.

    Args:
        keys: by which runs are ranked apart.
    """
    has_several = len({run.looked_for for run in runs} - {None}) > 1
    groups: dict[Hashable, list[RunRecord]] = {}
    for run in runs:
        if run.looked_for is not None or not has_several:
            values = tuple(make_identity(run.config.get(key)) for key in keys)
            groups.setdefault((has_several and run.looked_for, values), []).append(run)
    return list(groups.values())


def select_part(source: "Source", runs: Sequence["RunRecord"], keys: Sequence[str]) -> "Source":
    """Some runs of a source as one of its own, which is named by the keys that set them apart."""
    objective = next((run.looked_for for run in runs if run.looked_for is not None), source.objective)
    part = ", ".join(f"{key}={label_value(runs[0].config.get(key))}" for key in keys)
    chosen = replace(source, runs=runs, trials=(), study=None, part=part)
    return replace(chosen, metrics=objective.metrics, directions=objective.directions)


def _is_named(key: str) -> bool:
    return key in KEYS or key.partition(".")[0] in KEYS
