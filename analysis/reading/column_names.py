"""Names of a table's columns that hold no metric: counters, runs, seeds, settings, logging; see `metric_names`."""

import dataclasses
from collections.abc import Iterable

from analysis.records.runs import UPDATE
from rlhf_sweeps.config.schema import PPOConfig

_STEP = "_step"  # W&B's count of logged rows, which stands for the updates where nothing else does
_EPISODES = ("episode", "train_episode")
_EPOCHS = ("epoch", "train_epoch")
_UPDATES = (UPDATE, "updates", "step", "iteration", "global_step", "train_global_step", *_EPISODES, _STEP)
RUN, EPISODE = "run", "episode"
_RUNS = (RUN, "name", "run_name", "run_id")
_SEED = "seed"
_SETTINGS = ("learning_rate", "beta", *(entry.name for entry in dataclasses.fields(PPOConfig)))
# When a row was logged, and its number in the log.
_LOGGING = (_STEP, "_timestamp", "_runtime", "timestamp", "runtime", "time", "wall_time")


def find_axis(columns: Iterable[str]) -> str | None:
    """The column whose numbers are the updates; None without one."""
    return _find_first_column(columns, _UPDATES)


def is_count(column: str) -> bool:
    """Whether a column counts updates, or something that can stand for them, in whole numbers."""
    return _normalize_name(column) in _UPDATES


def name_axis(column: str) -> str:
    """The value of `RunRecord.axis` for rows with such a column of updates."""
    return (
        EPISODE if counts_episodes(column) else _STEP if _normalize_name(column) == _normalize_name(_STEP) else UPDATE
    )


def counts_episodes(column: str) -> bool:
    """Whether a column counts responses, of which an update has many."""
    return _normalize_name(column) in _EPISODES


def is_counter(column: str) -> bool:
    """Whether a column counts updates, episodes or epochs."""
    return is_count(column) or _normalize_name(column) in _EPOCHS


def is_logging(column: str) -> bool:
    """Whether a column describes the log and not the run: rows of one update differ in it."""
    return _normalize_name(column) in _LOGGING


def is_name(column: str) -> bool:
    """Whether a column holds runs' names, which are texts even where they look like numbers."""
    return _normalize_name(column) in _RUNS


def find_run_column(columns: Iterable[str]) -> str | None:
    """The column with the runs' names; None without one."""
    return _find_first_column(columns, _RUNS)


def is_seed(column: str) -> bool:
    """Whether a column holds the runs' seeds."""
    return _normalize_name(column) == _SEED


def is_of_config(column: str) -> bool:
    """Whether a column has the name of a key of the algorithm's config, with its group or without: `lr`, `ppo.lr`."""
    return _normalize_name(column.rpartition(".")[2]) in _SETTINGS


def find_seed_column(columns: Iterable[str]) -> str | None:
    """The column with the runs' seeds; None without one."""
    return _find_first_column(columns, (_SEED,))


def make_config_key(column: str) -> str:
    """The config key of a run for a column of names or seeds."""
    return _normalize_name(column)


def _find_first_column(columns: Iterable[str], names: tuple[str, ...]) -> str | None:
    plain = {_normalize_name(column): column for column in reversed(list(columns))}
    return next((plain[name] for name in names if name in plain), None)


def _normalize_name(column: str) -> str:
    return column.lower().replace("/", "_").replace(" ", "_")
