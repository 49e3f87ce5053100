"""Runs in groups by the values of config keys: which runs count, which other keys differ, which runs are left out."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.comparison.near_copies import read_near_copies
from analysis.comparison.thresholds import MAX_RANGES, MAX_VALUES, MIN_IN_RANGE
from analysis.records.runs import COMPLETE, STOPPED, RunRecord, Source, convert_number
from analysis.wording.errors import AnalysisError
from analysis.wording.labels import label_values, make_identity, make_order_key
from analysis.wording.short_labels import list_labels
from rlhf_sweeps.verdicts.estimates import Strata
from rlhf_sweeps.verdicts.judge_votes import JudgeGroup
from rlhf_sweeps.verdicts.settings import mean_violations

# States of runs that came to their end, also by their KL budget. A stopped run waits or was interrupted, and can go on.
SOUND = (COMPLETE,)
NAME = "run"
BROKEN = "of a setting that breaks objective.constraints"
UNSURE = "of a setting whose objective.constraints could not be checked"


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that share the values of some config keys.

    Attributes:
        label: these values for readers; unique.
        chosen: runs that came to their end, on the seeds that choose; tests: on the test seeds.
        is_test: whether the runs on test seeds are those that count.
        excluded: reason -> number of runs that do not count.
    """

    label: str
    chosen: Sequence[RunRecord]
    tests: Sequence[RunRecord]
    is_test: bool
    excluded: Mapping[str, int]

    @property
    def runs(self) -> Sequence[RunRecord]:
        """The runs that count."""
        return self.tests if self.is_test else self.chosen


@dataclass(frozen=True, eq=False)
class Grouping:
    """All groups, in ascending order of their values.

    Attributes:
        keys: the config keys that make the groups.
        others: other config keys in which runs of a group may differ, without seeds; a key of ranges is among them.
        groups: also those without a run that counts.
        notes: sentences for readers about the groups.
        near_copies: groups of judges that share one vote.
    """

    keys: Sequence[str]
    others: Sequence[str]
    groups: Sequence[Group]
    notes: Sequence[str]
    near_copies: Sequence[JudgeGroup] = ()

    @property
    def is_test(self) -> bool:
        """Whether the runs that count are those on test seeds, in every group that has any."""
        counted = [group for group in self.groups if group.runs]
        return bool(counted) and all(group.is_test for group in counted)

    @property
    def alike(self) -> "Grouping":
        """The groups with runs of one kind: on test seeds if all groups have some, else on the seeds that choose."""
        return self if self.is_test else self.of_choice

    @property
    def of_choice(self) -> "Grouping":
        """The groups with the runs on the seeds that choose."""
        return replace(self, groups=[replace(group, is_test=False) for group in self.groups])

    def drop_tests_without_values(self, values: Mapping[str, float]) -> "Grouping":
        """The groups, with runs on test seeds only where one of these has a value."""
        are_valued = [group.is_test and any(run.name in values for run in group.tests) for group in self.groups]
        groups = [replace(group, is_test=is_valued) for group, is_valued in zip(self.groups, are_valued, strict=True)]
        return replace(self, groups=groups)

    def make_setting_key(self, run: RunRecord) -> Hashable:
        """The values of the other keys: runs of a group with the same setting differ in their seeds only."""
        return tuple(make_identity(run.look_up(key)) for key in self.others)


def group_runs(source: Source, by: str | None) -> Grouping:
    """The groups by one key, or by several joined with commas; by default by the swept key.

    Where groups are settings, runs on test seeds count in each group that has some, and settings that cannot be the
    best do not count. Where a group has several settings, runs on test seeds count only if every group has two of them;
    else the runs on the seeds that choose count. A group never mixes both. Where a number has many values and hardly
    any value has two runs, as in a search, the groups are ranges of the number.

    Raises:
        AnalysisError: if no run has such a key, or none is given and not exactly one was swept.
    """
    keys = _choose_keys(source, by)
    others = [axis for axis in source.axes if not any(_is_part(axis, key) for key in keys) and NAME not in keys]
    if "trial" in keys:
        others = []
    others = _drop_names(source, keys, others)
    values = {run.name: tuple(run.look_up(key) for key in keys) for run in source.runs}
    named, order, notes = _label_runs(source, keys, values)
    if notes:
        others = [*keys, *others]
    notes += _write_empty_notes(source, keys)
    by_label: dict[str, list[RunRecord]] = {label: [] for label in order}
    for run in source.runs:
        by_label[named[run.name]].append(run)
    ungrouped = Grouping(keys, others, [], notes, read_near_copies(source.comparison))
    are_settings = all(len({ungrouped.make_setting_key(run) for run in runs}) == 1 for runs in by_label.values())
    are_tested = _are_tested(by_label.values())
    # With several objectives, test seeds give no order.
    has_order = len(source.directions) == 1
    groups = [
        _make_group(
            label,
            runs,
            has_order and (any(map(_is_test, runs)) if are_settings else are_tested),
            _find_earlier_trials(source, runs) | (_find_banned_trials(source, runs) if are_settings else {}),
        )
        for label, runs in by_label.items()
    ]
    return replace(ungrouped, groups=groups)


def _drop_names(source: Source, keys: Sequence[str], others: Sequence[str]) -> list[str]:
    """The other keys, without the name of runs where it adds nothing to the settings: a, a, a and b, b, b."""
    settings = [key for key in others if key != NAME]
    names: dict[Hashable, set[Hashable]] = {}
    for run in source.runs:
        setting = tuple(make_identity(run.look_up(key)) for key in (*keys, *settings))
        names.setdefault(setting, set()).add(make_identity(run.look_up(NAME)))
    return settings if all(len(own_names) == 1 for own_names in names.values()) else list(others)


def _choose_keys(source: Source, by: str | None) -> list[str]:
    if by is None or not by.strip(", "):
        axes = source.axes
        if len(axes) == 1:
            return list(axes)
        differing = f"the runs differ in: {', '.join(axes)}" if axes else "the runs differ in nothing but seeds"
        raise AnalysisError(f"--by: must name a config key ({differing})")
    return list(dict.fromkeys(source.find_key(key.strip()) for key in by.split(",") if key.strip()))


def _is_part(axis: str, key: str) -> bool:
    """Whether an axis is a key or a part of it, or the other way round: reward_model and reward_model.name."""
    return axis == key or axis.startswith(f"{key}.") or key.startswith(f"{axis}.")


def _label_runs(
    source: Source, keys: Sequence[str], values: Mapping[str, tuple[Any, ...]]
) -> tuple[dict[str, str], list[str], list[str]]:
    """The label of every run, all labels in order, and notes."""
    counts = Counter(make_identity(values[run.name]) for run in source.runs if run.state in SOUND and not run.is_test)
    numbers = [value[0] for value in values.values()] if len(keys) == 1 else []
    if numbers and all(convert_number(value) is not None for value in numbers):
        is_drawn = any(axis.is_interval for axis in source.space if axis.key == keys[0])
        is_single = sum(count == 1 for count in counts.values()) > len(counts) / 2
        num_ranges = min(MAX_RANGES, len(counts) // MIN_IN_RANGE)
        if is_single and num_ranges > 1 and (is_drawn or len(counts) > MAX_VALUES):
            return _label_ranges(source, keys[0], values, num_ranges)
    distinct = {make_identity(value): value for value in values.values()}
    ordered = sorted(distinct.values(), key=lambda value: tuple(map(make_order_key, value)))
    columns = zip(*(label_values(column) for column in zip(*ordered, strict=True)), strict=True)
    by_value = dict(zip(map(make_identity, ordered), map(", ".join, columns), strict=True))
    return {name: by_value[make_identity(value)] for name, value in values.items()}, list(by_value.values()), []


def _label_ranges(
    source: Source, key: str, values: Mapping[str, tuple[Any, ...]], num_ranges: int
) -> tuple[dict[str, str], list[str], list[str]]:
    """Ranges that hold about the same number of values of sound runs each."""
    counted = sorted({float(values[run.name][0]) for run in source.runs if run.state in SOUND and not run.is_test})
    bounds = [part[0] for part in np.array_split(np.array(counted), num_ranges)][1:]
    every = np.array(sorted({float(value[0]) for value in values.values()}))
    places = np.searchsorted(bounds, every, side="right")
    parts = [every[places == place] for place in range(num_ranges)]
    ends = label_values([float(end) for part in parts for end in (part[0], part[-1])])
    order = [f"{low} to {high}" for low, high in zip(ends[::2], ends[1::2], strict=True)]
    names = {name: order[int(np.searchsorted(bounds, value[0], side="right"))] for name, value in values.items()}
    note = (
        f"{key} has {len(counted)} values, of which few have two runs, so runs are grouped into {num_ranges} "
        "ranges; its chart in the analysis of the sweep shows every value"
    )
    return names, order, [note]


def _write_empty_notes(source: Source, keys: Sequence[str]) -> list[str]:
    """A note on empty cells of a table in a key of the groups; in our own records null is a value."""
    if source.kind != "table":
        return []
    empty = {key: sum(run.look_up(key) is None for run in source.runs) for key in keys}
    return [
        f"none: the table has no value of {key} for {count} run{'s' if count > 1 else ''}"
        for key, count in empty.items()
        if count
    ]


def _is_test(run: RunRecord) -> bool:
    return run.is_test and run.state in SOUND


def _are_tested(groups: Iterable[Sequence[RunRecord]]) -> bool:
    """Whether every group that has a run which came to its end has two of them on test seeds."""
    with_sound = [runs for runs in groups if any(run.state in SOUND for run in runs)]
    return bool(with_sound) and all(sum(map(_is_test, runs)) > 1 for runs in with_sound)


def _find_earlier_trials(source: Source, runs: Sequence[RunRecord]) -> dict[int, str]:
    """The numbers of trials of an earlier configuration, which the source leaves out -> the reason."""
    numbers = {run.trial for run in runs if run.trial is not None} if source.trials else set()
    return dict.fromkeys(numbers - {trial.number for trial in source.trials}, "of an earlier configuration")


def _find_banned_trials(source: Source, runs: Sequence[RunRecord]) -> dict[int, str]:
    """The numbers of a setting's trials -> why it cannot be the best: one did not end, or constraints are not kept."""
    numbers = {run.trial for run in runs}
    trials = [trial for trial in source.trials if trial.number in numbers]
    ended = [trial for trial in trials if trial.state in SOUND]
    reasons = {trial.number: f"whose trial is {trial.state}" for trial in trials if trial not in ended}
    broken = mean_violations([trial.violations for trial in ended]).values()
    if any(not excess <= 0 for excess in broken):
        reason = BROKEN if any(excess > 0 for excess in broken) else UNSURE
        reasons |= {trial.number: reason for trial in ended}
    return reasons


def _make_group(label: str, runs: Sequence[RunRecord], is_test: bool, banned: Mapping[int, str]) -> Group:
    # Failures on the seeds that choose do not count among the tests, and the other way round.
    counted = [run for run in runs if run.is_test == is_test]
    reasons = {run.name: _explain_exclusion(run, banned) for run in runs}
    excluded = Counter(reason for run in counted if (reason := reasons[run.name]))
    sound = [run for run in runs if not reasons[run.name]]
    tests, chosen = ([run for run in sound if run.is_test == is_for_test] for is_for_test in (True, False))
    return Group(label, chosen, tests, is_test, dict(sorted(excluded.items())))


def _explain_exclusion(run: RunRecord, banned: Mapping[int, str]) -> str:
    """Why a run does not count: its state, the reason of its stop (`waiting`, `out of time` ...) or its trial.

    Empty where it counts.
    """
    if run.state in SOUND:
        return banned.get(run.trial, "") if run.trial is not None else ""
    reason = run.summary.get("stop_reason")
    if run.state != STOPPED or not reason:
        return run.state
    return "out of time" if reason == "budget" else str(reason)


def write_seed_notes(source: Source, grouped: Grouping) -> list[str]:
    """A note on the seeds behind the values, where some runs are on test seeds."""
    num_tests = sum(run.is_test for run in source.runs)
    counted = [group for group in grouped.groups if group.runs]
    tested = [group.label for group in counted if group.is_test]
    if tested and len(tested) == len(counted):
        return ["values are from the runs on test seeds only, which had no part in choosing the tested settings"]
    if tested:
        return [
            f"{list_labels(tested)} come first, with values from runs on test seeds, which had no part in "
            "choosing the tested settings; the values of the others, and the verdicts on them, are from the runs that "
            "chose the settings"
        ]
    if num_tests:
        runs = f"{num_tests} runs on test seeds are" if num_tests > 1 else "1 run on a test seed is"
        return [f"{runs} left out, since not every group has two; values are from the runs that chose the settings"]
    return []


def stratify(grouped: Grouping, runs: Sequence[RunRecord], values: Mapping[str, float]) -> Strata:
    """Other settings -> the values of a group's runs."""
    by_setting: dict[Hashable, list[float]] = {}
    for run in runs:
        if run.name in values:
            by_setting.setdefault(grouped.make_setting_key(run), []).append(values[run.name])
    return {setting: np.array(by_setting[setting]) for setting in by_setting}


def list_seeds(runs: Sequence[RunRecord], values: Mapping[str, float]) -> list[int] | None:
    """The seeds of a group's runs that have a value, in the order of `stratify`; None where one is unknown."""
    seeds = [run.seed for run in runs if run.name in values]
    return [seed for seed in seeds if seed is not None] if None not in seeds else None
