"""Runs in groups by the values of config keys: which of them count, what else differs, and what was put aside."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.records.runs import COMPLETE, STOPPED, RunRecord, Source, as_number
from analysis.records.value_order import place
from analysis.wording.errors import AnalysisError
from analysis.wording.labels import identity, labels

# Runs that came to their end: also those that were ended over their KL budget. One that was stopped waits, or was
# interrupted, and goes on.
SOUND = (COMPLETE,)
MOST_VALUES = 12  # of a number, each with one run; beyond, they are taken together in ranges
_MOST_RANGES, _FEWEST_IN_RANGE = 4, 3
NAME = "run"


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that share the values of some config keys.

    Attributes:
        label: these values, as a reader sees them; unique.
        runs: that came to their end, on the seeds that count.
        excluded: why -> how many runs do not count.
    """

    label: str
    runs: Sequence[RunRecord]
    excluded: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Grouping:
    """All groups, in ascending order of their values.

    Attributes:
        keys: what the groups differ by.
        others: other config keys in which runs of a group may differ, seeds aside; a key of ranges is among them.
        groups: also those without a run that counts.
        is_test: whether the runs that count are those on test seeds, by which nothing was chosen.
        notes: sentences on what a reader should know about the groups.
    """

    keys: Sequence[str]
    others: Sequence[str]
    groups: Sequence[Group]
    is_test: bool
    notes: Sequence[str]

    def setting(self, run: RunRecord) -> Hashable:
        """What else was chosen for a run: runs of a group with the same setting differ in their seeds only."""
        return tuple(identity(run.value(key)) for key in self.others)


def grouping(source: Source, by: str | None) -> Grouping:
    """The groups by one key, or by several joined with commas; by what was swept if nothing is given.

    Runs on test seeds count where every group has two of them at least; else those that chose the settings. They are
    never mixed. Where a number has many values and hardly any has two runs, as in a search, groups are ranges of it.

    Raises:
        AnalysisError: if no run has such a key, or none is given and not exactly one was swept.
    """
    keys = _keys(source, by)
    others = [axis for axis in source.axes if not any(_is_part(axis, key) for key in keys) and NAME not in keys]
    if "trial" in keys:
        others = []
    others = _without_names(source, keys, others)
    values = {run.name: tuple(run.value(key) for key in keys) for run in source.runs}
    named, order, notes = _labels(source, keys, values)
    if notes:
        others = [*keys, *others]
    notes += _empty_notes(source, keys)
    by_label: dict[str, list[RunRecord]] = {label: [] for label in order}
    for run in source.runs:
        by_label[named[run.name]].append(run)
    is_test = _is_test(by_label.values())
    groups = [_group(label, runs, is_test) for label, runs in by_label.items()]
    return Grouping(keys, others, groups, is_test, [*notes, *_seed_notes(source, is_test)])


def _without_names(source: Source, keys: Sequence[str], others: Sequence[str]) -> list[str]:
    """Other keys without the runs' own name, where it says no more than the settings do: a, a, a and b, b, b."""
    settings = [key for key in others if key != NAME]
    names: dict[Hashable, set[Hashable]] = {}
    for run in source.runs:
        setting = tuple(identity(run.value(key)) for key in (*keys, *settings))
        names.setdefault(setting, set()).add(identity(run.value(NAME)))
    return settings if all(len(found) == 1 for found in names.values()) else list(others)


def _keys(source: Source, by: str | None) -> list[str]:
    if by is None or not by.strip(", "):
        axes = source.axes
        if len(axes) == 1:
            return list(axes)
        known = f"the runs differ in: {', '.join(axes)}" if axes else "the runs differ in nothing but seeds"
        raise AnalysisError(f"--by: must name a config key ({known})")
    return list(dict.fromkeys(source.key(key.strip()) for key in by.split(",") if key.strip()))


def _is_part(axis: str, key: str) -> bool:
    """Whether an axis is what a key names, or part of it: reward_model and reward_model.name."""
    return axis == key or axis.startswith(f"{key}.") or key.startswith(f"{axis}.")


def _labels(
    source: Source, keys: Sequence[str], values: Mapping[str, tuple[Any, ...]]
) -> tuple[dict[str, str], list[str], list[str]]:
    """The label of every run, all labels in order, and what to say about them."""
    counts = Counter(identity(values[run.name]) for run in source.runs if run.state in SOUND and not run.is_test)
    numbers = [value[0] for value in values.values()] if len(keys) == 1 else []
    if numbers and all(as_number(value) is not None for value in numbers):
        is_drawn = any(axis.is_interval for axis in source.space if axis.key == keys[0])
        is_single = sum(count == 1 for count in counts.values()) > len(counts) / 2
        num_ranges = min(_MOST_RANGES, len(counts) // _FEWEST_IN_RANGE)
        if is_single and num_ranges > 1 and (is_drawn or len(counts) > MOST_VALUES):
            return _ranges(source, keys[0], values, num_ranges)
    distinct = {identity(value): value for value in values.values()}
    ordered = sorted(distinct.values(), key=lambda value: tuple(map(place, value)))
    columns = zip(*(labels(column) for column in zip(*ordered, strict=True)), strict=True)
    by_value = dict(zip(map(identity, ordered), map(", ".join, columns), strict=True))
    return {name: by_value[identity(value)] for name, value in values.items()}, list(by_value.values()), []


def _ranges(
    source: Source, key: str, values: Mapping[str, tuple[Any, ...]], num_ranges: int
) -> tuple[dict[str, str], list[str], list[str]]:
    """Ranges that hold about the same number of values of sound runs each."""
    counted = sorted({float(values[run.name][0]) for run in source.runs if run.state in SOUND and not run.is_test})
    bounds = [part[0] for part in np.array_split(np.array(counted), num_ranges)][1:]
    every = np.array(sorted({float(value[0]) for value in values.values()}))
    places = np.searchsorted(bounds, every, side="right")
    parts = [every[places == place] for place in range(num_ranges)]
    ends = labels([float(end) for part in parts for end in (part[0], part[-1])])
    order = [f"{low} to {high}" for low, high in zip(ends[::2], ends[1::2], strict=True)]
    names = {name: order[int(np.searchsorted(bounds, value[0], side="right"))] for name, value in values.items()}
    note = (
        f"{key} has {len(counted)} values and hardly any two runs of one, so runs are grouped into {num_ranges} "
        "ranges; its slice among the sweep's views shows every value"
    )
    return names, order, [note]


def _empty_notes(source: Source, keys: Sequence[str]) -> list[str]:
    """What a table's empty cells are called; in a record of ours null is a value."""
    if source.kind != "table":
        return []
    empty = {key: sum(run.value(key) is None for run in source.runs) for key in keys}
    return [
        f"none: the table has no value of {key} for {count} run{'s' if count > 1 else ''}, so what {key} was is unknown"
        for key, count in empty.items()
        if count
    ]


def _is_test(groups: Iterable[Sequence[RunRecord]]) -> bool:
    """Whether test seeds can stand for every group that has a sound run."""
    sound = [[run for run in runs if run.state in SOUND] for runs in groups]
    kept = [runs for runs in sound if runs]
    return bool(kept) and all(sum(run.is_test for run in runs) > 1 for runs in kept)


def _group(label: str, runs: Sequence[RunRecord], is_test: bool) -> Group:
    # Failures of choosing runs are no failures of the tests, and the other way round.
    counted = [run for run in runs if run.is_test == is_test]
    excluded = Counter(_why_not(run) for run in counted if run.state not in SOUND)
    return Group(label, [run for run in counted if run.state in SOUND], dict(sorted(excluded.items())))


def _why_not(run: RunRecord) -> str:
    """Why a run does not count: its state, and what stopped it: `waiting`, `interrupted`, `out of time`."""
    reason = run.summary.get("stop_reason")
    if run.state != STOPPED or not reason:
        return run.state
    return "out of time" if reason == "budget" else str(reason)


def _seed_notes(source: Source, is_test: bool) -> list[str]:
    num_tests = sum(run.is_test for run in source.runs)
    if is_test:
        return ["values are of the runs on test seeds, by which nothing was chosen; the runs that chose are left aside"]
    if num_tests:
        runs = f"{num_tests} runs on test seeds are" if num_tests > 1 else "1 run on a test seed is"
        return [f"{runs} left aside, since not every group has two; values are of the runs that chose the settings"]
    return []
