"""The settings of a sweep with their objectives: trials that differ in the seed only are one setting.

Objectives of different reward models have no common scale. A sweep over reward models is therefore looked at as several
views, one for each.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from analysis.comparison.own_matrix import REWARD_MODEL as REWARD_MODEL
from analysis.records.runs import COMPLETE, Floats, RunRecord, Source, TrialRecord
from analysis.sweep.axes import make_axes, normalize_text
from analysis.sweep.pruned import estimate_pruned
from analysis.sweep.run_objectives import RunWorth, list_seeds, read_runs, read_values, stack
from analysis.sweep.ties import untie_axes
from analysis.wording.labels import label_settings
from analysis.wording.numbers import convert_seed
from analysis.wording.statements import format_setting
from rlhf_sweeps.record import Axis
from rlhf_sweeps.record.quantities import name_objectives
from rlhf_sweeps.verdicts.noise import Noise, pool_noise
from rlhf_sweeps.verdicts.settings import keeps_constraints, mean_over_seeds, mean_violations, rank_key


@dataclass(frozen=True, eq=False)
class Setting:
    """One setting, over all of its seeds.

    Attributes:
        numbers: of its trials, those aside that had nothing to run since another has had the setting.
        values: swept key -> text, the seed aside; keys without a value are not active there.
        objectives: the mean over its runs, (objectives,).
        by_run: the objectives of each run on the seeds that choose, (runs, objectives).
        by_test: the objectives of each run on the test seeds, (runs, objectives).
        seeds, test_seeds: the seeds of by_run and by_test, in their order; None where one is unknown.
        records, test_records: their runs, in the same order; None for one whose record is gone.
        violations: constraint -> by how much it is broken, in the mean over its trials; 0 and below: kept.
        is_estimate: whether its trial was pruned, and its objective is an estimate (see pruned.py).
        deviation: standard deviation of the estimate.
    """

    numbers: tuple[int, ...]
    values: Mapping[str, str]
    objectives: Floats
    by_run: Floats
    by_test: Floats
    violations: Mapping[str, float] = field(default_factory=dict)
    is_estimate: bool = False
    deviation: float = 0.0
    seeds: Sequence[int] | None = None
    test_seeds: Sequence[int] | None = None
    records: Sequence[RunRecord | None] = ()
    test_records: Sequence[RunRecord | None] = ()

    @property
    def is_feasible(self) -> bool:
        """Whether it is known to keep all constraints."""
        return keeps_constraints(self.violations)

    @cached_property
    def tested(self) -> list[float] | None:
        """The mean objectives on the test seeds; None where it was not run on any."""
        return mean_over_seeds(self.by_test.tolist())


@dataclass(frozen=True, eq=False)
class View:
    """Settings whose objectives can be compared.

    Attributes:
        label: the reward model, where there is a view for each; empty for the whole sweep.
        axes: what varies among the settings.
        settings: complete ones, by their first trial's number.
        pruned: settings of pruned trials, with estimated objectives (see pruned.py); for fits only.
        trials: all of them, whatever became of them.
        tied: key -> the axis that it moves along with.
        metrics, directions: of the objectives.
        num_views: of the sweep, this one among them.
    """

    label: str
    axes: Sequence[Axis]
    settings: Sequence[Setting]
    pruned: Sequence[Setting]
    trials: Sequence[TrialRecord]
    tied: Mapping[str, str]
    metrics: Sequence[str]
    directions: Sequence[str]
    num_views: int = 1

    @property
    def share(self) -> float:
        """Of the rate of false claims, which all views of a sweep have in common (see `error_rate`)."""
        return 1 / self.num_views

    @property
    def names(self) -> list[str]:
        """The names of the objectives for readers."""
        return name_objectives(self.metrics)

    @property
    def is_single(self) -> bool:
        """Whether there is one objective only."""
        return len(self.directions) == 1

    def get_sign(self, objective: int = 0) -> float:
        """What an objective is multiplied with so that more is better."""
        return 1.0 if self.directions[objective] == "maximize" else -1.0

    def compute_gains(self, objective: int = 0) -> Floats:
        """An objective of each setting, signed so that more is better, (settings,)."""
        return self.get_sign(objective) * np.array([setting.objectives[objective] for setting in self.settings])

    def estimate_noise(self, objective: int = 0) -> Noise:
        """The noise of an objective by repetitions alone; runs on test seeds are groups of their own."""
        groups = [runs for setting in self.settings for runs in (setting.by_run, setting.by_test)]
        return pool_noise(runs[:, objective] for runs in groups)

    def compute_positions(self, settings: Sequence[Mapping[str, str]] | None = None) -> Floats:
        """Where settings lie on each axis, nan where a key is not active, (settings, axes)."""
        rows = [setting.values for setting in self.settings] if settings is None else settings
        places = [[axis.position(row.get(axis.key)) for axis in self.axes] for row in rows]
        return np.array(places, dtype=np.float64).reshape(len(rows), len(self.axes))

    def label_value(self, key: str, text: str) -> str:
        """The label of a value of an axis; different values have different labels."""
        return self._labels.get(key, {}).get(text) or format_setting(text)

    @cached_property
    def _labels(self) -> dict[str, dict[str, str]]:
        settings = [*self.settings, *self.pruned]
        keys = dict.fromkeys(key for setting in settings for key in setting.values)
        return {
            key: label_settings(setting.values[key] for setting in settings if key in setting.values) for key in keys
        }

    @cached_property
    def ranked(self) -> list[Setting]:
        """The settings that keep all constraints, best first as `rank_key` has it; of equal ones the first."""
        feasible = [setting for setting in self.settings if setting.is_feasible]
        return sorted(
            feasible, key=lambda setting: rank_key(setting.objectives.tolist(), setting.tested, self.directions)
        )

    def are_tested(self, setting: Setting, other: Setting) -> bool:
        """Whether two settings are compared on test seeds: where both ran on some, and there is one objective."""
        return self.is_single and setting.tested is not None and other.tested is not None

    def measure_gap(self, better: Setting, worse: Setting) -> float:
        """By how much a setting is better in the first objective, on the test seeds where `are_tested`."""
        if self.are_tested(better, worse) and better.tested is not None and worse.tested is not None:
            return self.get_sign() * (better.tested[0] - worse.tested[0])
        return self.get_sign() * float(better.objectives[0] - worse.objectives[0])

    @property
    def best(self) -> Setting | None:
        """The first of them; None without one, or with several objectives."""
        return self.ranked[0] if self.is_single and self.ranked else None


def make_views(source: Source) -> list[View]:
    """One view of all settings, or one for each reward model where reward models were compared."""
    if not source.trials:
        return []
    columns = _make_columns(source.trials)
    if not are_incomparable(source, columns):
        return [_make_view(source, "", source.trials)]
    groups: dict[str, list[TrialRecord]] = defaultdict(list)
    for trial in source.trials:
        groups[_label_trial(trial)].append(trial)
    views = [_make_view(source, label, trials) for label, trials in groups.items()]
    return [replace(view, num_views=len(views)) for view in views]


def are_incomparable(source: Source, columns: Mapping[str, Sequence[str]] | None = None) -> bool:
    """Whether trials have different reward models, or their sweep says so: objectives without a common scale."""
    columns = _make_columns(source.trials) if columns is None else columns
    names = {name for trial in source.trials if (name := _find_reward_model(trial))}  # a damaged config has none
    is_varied = source.is_comparison or len(set(columns.get(REWARD_MODEL, ()))) > 1 or len(names) > 1
    return is_varied and not source.objective.is_judged


def normalize_settings(trial: TrialRecord) -> dict[str, str]:
    """A trial's settings, without plus signs, numbers written one way."""
    return {str(key).lstrip("+"): normalize_text(text) for key, text in trial.settings.items()}


def _make_columns(trials: Sequence[TrialRecord]) -> dict[str, list[str]]:
    columns: dict[str, list[str]] = defaultdict(list)
    for trial in trials:
        for key, text in normalize_settings(trial).items():
            columns[key].append(text)
    return columns


def _find_reward_model(trial: TrialRecord) -> str:
    for run in trial.runs:
        name = run.look_up(REWARD_MODEL)
        if name is not None:
            return str(name)
    return ""


def _label_trial(trial: TrialRecord) -> str:
    """The reward model of a trial: its name, else the keys of it that were set, which no run's config gives a name."""
    settings = normalize_settings(trial)
    own_keys = [f"{key}={text}" for key, text in settings.items() if key.startswith(f"{REWARD_MODEL}.")]
    has_name = any({REWARD_MODEL, f"{REWARD_MODEL}.name"} & run.config.keys() for run in trial.runs)
    return settings.get(REWARD_MODEL) or (_find_reward_model(trial) if has_name or not own_keys else ",".join(own_keys))


def _make_view(source: Source, label: str, trials: Sequence[TrialRecord]) -> View:
    columns = {key: values for key, values in _make_columns(trials).items() if key != "seed"}
    if label:
        columns = {key: values for key, values in columns.items() if key.split(".")[0] != REWARD_MODEL}
    axes = [axis for axis in make_axes(source.space, columns) if axis.key in columns and not axis.is_single]
    num_objectives = len(source.directions)
    settings = list(_merge_trials(trials, num_objectives, [axis.key for axis in axes]))
    axes, tied = untie_axes(axes, [normalize_settings(trial) for trial in trials])
    axis_keys = [axis.key for axis in axes]
    pruned = list(_make_pruned_settings(source, trials, axis_keys))
    return View(label, axes, settings, pruned, trials, tied, source.metrics, source.directions)


def _merge_trials(trials: Sequence[TrialRecord], num_objectives: int, keys: Sequence[str]) -> Iterator[Setting]:
    groups: dict[tuple[str | None, ...], list[TrialRecord]] = defaultdict(list)
    for trial in trials:
        if trial.state == COMPLETE and read_values(trial.objectives, num_objectives) is not None:
            values_of = normalize_settings(trial)
            groups[tuple(values_of.get(key) for key in keys)].append(trial)
    for values, trials_of_one in groups.items():
        # A copy repeats the objectives of another trial: it is no further seed.
        group = [trial for trial in trials_of_one if trial.has_run] or trials_of_one
        by_trial = [read_values(trial.objectives, num_objectives) for trial in group]
        # The trial's own number stands where its runs are gone or have none.
        runs = [
            worth
            for trial, values_of_trial in zip(group, by_trial, strict=True)
            for worth in read_runs(trial.runs, num_objectives)
            or [RunWorth(convert_seed(normalize_settings(trial).get("seed")), values_of_trial or [], None)]
        ]
        tests = [worth for trial in group for worth in read_runs(trial.tests, num_objectives)]
        yield Setting(
            tuple(trial.number for trial in group),
            {key: text for key, text in zip(keys, values, strict=True) if text is not None},
            np.array(by_trial[0] if len(group) == 1 else mean_over_seeds([list(worth.objectives) for worth in runs])),
            stack(runs, num_objectives),
            stack(tests, num_objectives),
            mean_violations([trial.violations for trial in group]),
            seeds=list_seeds(runs),
            test_seeds=list_seeds(tests),
            records=[worth.run for worth in runs],
            test_records=[worth.run for worth in tests],
        )


def _make_pruned_settings(source: Source, trials: Sequence[TrialRecord], keys: Sequence[str]) -> Iterator[Setting]:
    by_number = {trial.number: trial for trial in trials}
    for estimate in estimate_pruned(source.study, trials, len(source.directions)):
        values = {key: text for key, text in normalize_settings(by_number[estimate.number]).items() if key in keys}
        objectives, none = np.array([estimate.value]), np.empty((0, 1))
        yield Setting((estimate.number,), values, objectives, objectives[None], none, {}, True, estimate.deviation)
