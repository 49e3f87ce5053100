"""The x axis of curves: the update, or the episodes that a run was trained on until then."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.records.runs import (
    CUMULATIVE_REWARD,
    REWARD,
    SCORES,
    TOO_LARGE,
    UPDATE,
    Floats,
    RunRecord,
    convert_number,
)
from analysis.wording.statements import format_count, join_words
from rlhf_sweeps.figures import format_number

EPISODE = "episode"
_COLUMNS = (EPISODE, "episodes")  # as our own runs and TRL record them, and as tables may call them
_BATCH = "ppo.batch_size"
_BATCHES = (_BATCH, "batch_size")  # as tables may call it
# Parts of a batch, whose number is unknown: devices, accumulated gradients, answers to a prompt.
_PARTS = ("train_batch_size", "per_device_train_batch_size", "local_batch_size", "gradient_accumulation_steps")


def count_episodes(run: RunRecord) -> Floats | None:
    """The episodes by each recorded update, ascending, (updates,); None where they are unknown.

    The recorded number counts; where an update has none, it is the update times the batch size. Where the rows of a run
    are counted by episodes, these are taken.
    """
    updates, batch = run.updates, _read_batch(run)
    if not run.counts_updates:
        return updates if run.axis.rpartition("/")[2] in _COLUMNS else None
    for column in _COLUMNS:
        recorded, counts = run.select_points(column)
        if not len(counts):
            continue
        pace = batch or _read_positive(float(counts[-1] / recorded[-1]) if recorded[-1] else None)
        filled = np.where(np.isfinite(run.metrics[column]), run.metrics[column], updates * (pace or np.nan))
        if np.isfinite(filled).all() and (np.diff(filled) >= 0).all():
            return filled
    return None if batch is None else updates * batch


def measure_pace(run: RunRecord) -> float | None:
    """The episodes of one update, by the recorded column, else by the config; None where both are missing."""
    episodes = count_episodes(run)
    if episodes is None:
        return None
    if len(episodes) > 1 and run.updates[-1] > run.updates[0]:
        return float((episodes[-1] - episodes[0]) / (run.updates[-1] - run.updates[0]))
    mean_pace = float(episodes[-1] / run.updates[-1]) if len(episodes) and run.updates[-1] else None
    return _read_positive(mean_pace) or _read_batch(run)


def choose_unit(runs: Sequence[RunRecord], wanted: str | None = None) -> tuple[str, str]:
    """The unit of the axis, UPDATE or EPISODE, and a sentence with the reason; empty where it is the usual one.

    Args:
        runs: that are drawn on one axis.
        wanted: UPDATE or EPISODE; by default episodes where the runs differ in their batch size, since they have then
            seen unlike numbers of them after as many updates.
    """
    paces = [measure_pace(run) for run in runs]
    if wanted == UPDATE:
        return UPDATE, ""
    if wanted is None and _are_alike(paces):
        parts = [] if any(paces) else _list_differing_parts(runs)
        why = (
            f"against updates, although runs differ in {join_words(parts)}: how many episodes an update "
            "takes is unknown"
        )
        return UPDATE, why if parts else ""
    if None in paces:
        unknown = format_count(paces.count(None), "run has", "runs have")
        return UPDATE, f"against updates, not episodes, since {unknown} neither episodes nor {_BATCH}"
    if wanted is None:
        batches = join_words(dict.fromkeys(map(format_number, sorted(pace for pace in paces if pace is not None))), 4)
        why = f"against episodes, since runs differ in the number of episodes per update: {batches}"
        return EPISODE, f"{why} (cumulative reward is still summed over updates)"
    return EPISODE, ""


def place_along(run: RunRecord, unit: str) -> RunRecord:
    """The run with its rows at the episodes, in place of the updates, where these are the unit.

    Its cumulative reward stays the sum over updates.
    """
    episodes = count_episodes(run) if unit == EPISODE else None
    if episodes is None:
        return run
    return replace(run, metrics={**run.metrics, **_sum_rewards(run), UPDATE: episodes})


def convert_unit(places: Floats, runs: Sequence[RunRecord], unit: str) -> Floats:
    """Places in the other unit: updates for episodes, episodes for updates; nan where runs differ in pace, (n,).

    Args:
        places: in the unit, (n,).
        runs: of one line, as they were recorded.
    """
    paces = [measure_pace(run) for run in runs]
    if None in paces or not _are_alike(paces):
        return np.full(len(places), np.nan)
    episodes = count_episodes(runs[0])
    if len(runs) == 1 and episodes is not None:
        columns = (episodes, runs[0].updates) if unit == EPISODE else (runs[0].updates, episodes)
        return np.asarray(np.interp(places, *columns))
    pace = paces[0] or 1.0
    return places / pace if unit == EPISODE else places * pace


def _sum_rewards(run: RunRecord) -> dict[str, Floats]:
    """The cumulative reward as a column, summed over updates while these are known."""
    rewards = run.metrics.get(REWARD, run.metrics.get(SCORES))
    if rewards is None or CUMULATIVE_REWARD in run.metrics:
        return {}
    is_there = np.abs(rewards) < TOO_LARGE
    column = np.full(len(rewards), np.nan)
    column[is_there] = run.accumulate(run.updates[is_there], rewards[is_there])
    return {CUMULATIVE_REWARD: column}


def _are_alike(paces: Sequence[float | None]) -> bool:
    """Whether runs take equally many episodes an update; a last batch that was smaller makes no difference."""
    stated = [pace for pace in paces if pace is not None]
    return not stated or max(stated) <= 1.01 * min(stated)


def _read_batch(run: RunRecord) -> float | None:
    """The episodes of one update, as the config has them."""
    return next((batch for name in _BATCHES if (batch := _read_positive(_find_setting(run, name))) is not None), None)


def _list_differing_parts(runs: Sequence[RunRecord]) -> list[str]:
    """The keys about parts of a batch in which runs without recorded episodes differ."""
    return [
        name for name in (*_BATCHES, *_PARTS) if len({_read_positive(_find_setting(run, name)) for run in runs}) > 1
    ]


def _find_setting(run: RunRecord, name: str) -> object:
    """The value of the key of that name; in a table it may be written `Batch Size`."""
    return next((value for key, value in run.config.items() if _normalize_key(key) == _normalize_key(name)), None)


def _normalize_key(key: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in key.lower())


def _read_positive(value: object) -> float | None:
    number = convert_number(value)
    return number if number is not None and number > 0 else None
