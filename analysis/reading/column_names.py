"""What the name of a table's column says beside its metric (see `metric_names`): a counter, a run, a seed."""

import dataclasses
from collections.abc import Iterable

from analysis.records.runs import UPDATE
from rlhf_sweeps.config.schema import PPOConfig

_STEP = "_step"  # W&B's count of what was logged, which the updates are where there is nothing better
_EPISODES = ("episode", "train_episode")
_EPOCHS = ("epoch", "train_epoch")
_UPDATES = (UPDATE, "updates", "step", "iteration", "global_step", "train_global_step", *_EPISODES, _STEP)
RUN, EPISODE = "run", "episode"
_RUNS = (RUN, "name", "run_name", "run_id")
_SEED = "seed"
_SETTINGS = ("learning_rate", "beta", *(entry.name for entry in dataclasses.fields(PPOConfig)))
# When a row was logged, and as which: nothing that the run did.
_LOGGING = (_STEP, "_timestamp", "_runtime", "timestamp", "runtime", "time", "wall_time")


def axis_of(columns: Iterable[str]) -> str | None:
    """The one whose numbers are the updates; None where there is none."""
    return _first(columns, _UPDATES)


def is_count(column: str) -> bool:
    """Whether it counts updates, or what can stand for them: whole numbers."""
    return _plain(column) in _UPDATES


def counted_as(column: str) -> str:
    """What rows are counted by that have such a column of updates, as `RunRecord.axis` says it."""
    return EPISODE if counts_episodes(column) else _STEP if _plain(column) == _plain(_STEP) else UPDATE


def counts_episodes(column: str) -> bool:
    """Whether it counts responses, many an update."""
    return _plain(column) in _EPISODES


def is_counter(column: str) -> bool:
    """Whether it counts anything that a run has done."""
    return is_count(column) or _plain(column) in _EPOCHS


def is_logging(column: str) -> bool:
    """Whether it tells of the log and not of the run: rows of one update differ in it."""
    return _plain(column) in _LOGGING


def is_name(column: str) -> bool:
    """Whether it holds runs' names, which are texts, whatever they look like."""
    return _plain(column) in _RUNS


def run_column(columns: Iterable[str]) -> str | None:
    """The one with the runs' names; None where there is none."""
    return _first(columns, _RUNS)


def is_seed(column: str) -> bool:
    """Whether it holds the runs' seeds."""
    return _plain(column) == _SEED


def is_of_config(column: str) -> bool:
    """Whether it is called like a key of the algorithm's config, with its group or without: `lr`, `ppo.lr`."""
    return _plain(column.rpartition(".")[2]) in _SETTINGS


def seed_column(columns: Iterable[str]) -> str | None:
    """The one with the runs' seeds; None where there is none."""
    return _first(columns, (_SEED,))


def config_key(column: str) -> str:
    """What a column of names or seeds is called in the config of a run."""
    return _plain(column)


def _first(columns: Iterable[str], names: tuple[str, ...]) -> str | None:
    plain = {_plain(column): column for column in reversed(list(columns))}
    return next((plain[name] for name in names if name in plain), None)


def _plain(column: str) -> str:
    return column.lower().replace("/", "_").replace(" ", "_")
