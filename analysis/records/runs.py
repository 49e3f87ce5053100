"""Runs and sweeps as the analysis sees them, wherever they were read from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.records.bookkeeping import find_differing_keys
from analysis.records.likeness import UnlikeKey, describe_part, find_unlike_keys, group_alike, select_separating
from analysis.records.objective import Objective, read_objective
from analysis.records.spans import count_planned_updates, count_spans, sum_over_updates
from analysis.wording.errors import AnalysisError
from analysis.wording.numbers import convert_number as convert_number
from analysis.wording.numbers import convert_seed
from rlhf_sweeps.record import Axis, SweepPlan, mask_secrets, mask_words, natural_key
from rlhf_sweeps.record.axes import as_number as parse_number
from rlhf_sweeps.record.trials import COMPLETE as COMPLETE
from rlhf_sweeps.record.trials import DIVERGED as DIVERGED
from rlhf_sweeps.record.trials import FAILED as FAILED
from rlhf_sweeps.record.trials import PRUNED as PRUNED
from rlhf_sweeps.record.trials import STOPPED as STOPPED
from rlhf_sweeps.record.trials import UNFINISHED as UNFINISHED
from rlhf_sweeps.record.trials import read_cause, read_objectives, read_settings
from rlhf_sweeps.wording import suggest

Floats = NDArray[np.float64]
Samples = list[dict[str, Any]]

UPDATE = "update"
REWARD = "objective/rlhf_reward"
SCORES = "objective/scores"
CUMULATIVE_REWARD = "cumulative_reward"
KL_BUDGET = "objective.kl_budget"
NO_UPDATES = ("episode", "episodes", "_step")  # the last parts of such names
TOO_LARGE = 1e100  # no metric is, in truth; sums of its square would be infinite, so it counts as missing


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One run.

    Attributes:
        name: the folder below the sweep's: `3`, `3/seed_1`, `test/3_seed_7`; unique within a source.
        metrics: metric -> a value for each recorded update, nan where an update has none, (updates,); always `update`.
        config: Hydra key -> plain value, flat: `ppo.lr`; secrets, which earlier versions recorded, are masked.
        state: COMPLETE, PRUNED, STOPPED, DIVERGED, FAILED or UNFINISHED.
        summary: the record of its end; empty if it did not finish.
        trial: its number in the sweep, if any. is_test: whether its seed is a test seed.
        overrides: the user's changes of the config: `ppo.lr=1e-4`.
        problems: sentences on parts of its record that could not be read.
        folder: its folder; None for a run that comes from elsewhere.
        read_samples: the evaluation samples, in the order of the record.
        read_confirmation: the final policy's answers to the confirming prompts.
        objective: its objective by its sweep; None without one.
        axis: the metric that counts its rows: updates, or the counter of another trainer.
    """

    name: str
    metrics: Mapping[str, Floats]
    config: Mapping[str, Any] = field(default_factory=dict)
    state: str = COMPLETE
    summary: Mapping[str, Any] = field(default_factory=dict)
    trial: int | None = None
    is_test: bool = False
    overrides: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    folder: Path | None = None
    read_samples: Callable[[], Samples] = list
    read_confirmation: Callable[[], Samples] = list
    objective: Objective | None = None
    axis: str = UPDATE

    def __post_init__(self) -> None:
        self.__dict__.update(config=mask_secrets(dict(self.config)), overrides=tuple(mask_words(self.overrides)))

    @property
    def counts_updates(self) -> bool:
        """Whether its rows are counted by updates or trainers' steps; several of W&B's own steps may be one update."""
        return self.axis.rpartition("/")[2] not in NO_UPDATES

    @property
    def looked_for(self) -> Objective | None:
        """Its objective, by its sweep or its config; None where both have none."""
        return self.objective or read_objective(self.config)

    @property
    def updates(self) -> Floats:
        """The recorded updates, ascending, (updates,)."""
        return self.metrics[UPDATE]

    @property
    def seed(self) -> int | None:
        """The seed of its random numbers."""
        return convert_seed(self.config.get("seed"))

    @property
    def kl_budget(self) -> float | None:
        """Nats of a whole response beyond which an evaluation does not count; None where there is no budget."""
        return convert_number(self.config.get(KL_BUDGET))

    @property
    def num_updates(self) -> int:
        """PPO updates that it did: by its summary, else the updates that its rows stand for."""
        num_summarized = convert_number(self.summary.get("updates"))
        return int(count_spans(self.updates, self.counts_updates).sum() if num_summarized is None else num_summarized)

    @property
    def planned_updates(self) -> int | None:
        """PPO updates in all, by the config; None where it does not say."""
        return count_planned_updates(self.config.get("ppo.total_episodes"), self.config.get("ppo.batch_size"))

    @property
    def seconds(self) -> float:
        """Seconds of training: by its summary, else the sum over its recorded updates."""
        seconds = convert_number(self.summary.get("seconds"))
        return self.sum_metric("perf/update_seconds") if seconds is None else seconds

    @property
    def cause(self) -> str | None:
        """Why it failed: out_of_memory, diverged, reward_model, error, config, timeout."""
        return read_cause(self.state, self.summary)

    @property
    def objectives(self) -> list[float] | None:
        """A value for each objective; None where it has none (yet)."""
        return read_objectives(self.summary)

    def select_points(self, metric: str) -> tuple[Floats, Floats]:
        """The updates that have a metric, and its values there, (n,) each; both empty if none has.

        `cumulative_reward` is the running sum over updates of the step reward (where there is none, of the scores),
        where it is not recorded itself; see `accumulate`.
        """
        values = self.metrics.get(metric)
        if values is None and metric == CUMULATIVE_REWARD:
            updates, rewards = self.select_points(REWARD if REWARD in self.metrics else SCORES)
            return updates, self.accumulate(updates, rewards)
        if values is None:
            return np.empty(0), np.empty(0)
        is_there = np.isfinite(values)
        return self.updates[is_there], values[is_there]

    def sum_metric(self, metric: str) -> float:
        """The sum of a metric over all updates, each row counted for those that it stands for; 0 without any."""
        return float(self.accumulate(*self.select_points(metric))[-1:].sum())

    def accumulate(self, updates: Floats, values: Floats) -> Floats:
        """The running sum of values over updates, (n,), each counted for those that its row stands for; see `spans`."""
        return sum_over_updates(updates, values, self.counts_updates)

    def look_up(self, key: str) -> Any:
        """The value of a config key; for a group (`reward_model`) the name of its choice; also `run` and `trial`.

        A list is given as a tuple, so that values can be compared and hashed; a seed as a whole number, however it is
        written. Where the config has no such key, the user's override counts; None without one.
        """
        if key in ("run", "trial"):
            return self.config.get("run", self.name) if key == "run" else self.trial
        if key == "seed" and self.seed is not None:
            return self.seed
        for name in (key, f"{key}.name"):
            if name in self.config:
                value = self.config[name]
                return tuple(value) if isinstance(value, list) else value
        override = read_settings(self.overrides, [key]).get(key)
        number = parse_number(override)
        return override if number is None else int(number) if number.is_integer() else number


@dataclass(frozen=True)
class TrialRecord:
    """One setting of a sweep and its runs.

    Attributes:
        number: Optuna's, and the folder's name.
        state: complete, pruned, failed, running, waiting or unfinished.
        settings: swept key -> text, as the user would type it.
        objectives: one value for each objective; None unless complete.
        cause, message: of a failure.
        seconds: of training.
        violations: constraint -> by how much it is broken; 0 and below: kept.
        runs: on the seeds that choose; tests: on the test seeds.
        has_run: False where the study says that there was nothing to run, since another trial has had the setting.
    """

    number: int
    state: str
    settings: Mapping[str, str]
    objectives: Sequence[float] | None = None
    cause: str | None = None
    message: str | None = None
    seconds: float = 0.0
    violations: Mapping[str, float] = field(default_factory=dict)
    runs: Sequence[RunRecord] = ()
    tests: Sequence[RunRecord] = ()
    has_run: bool = True


@dataclass(frozen=True, eq=False)
class Source:
    """What was read from one place: a sweep, a run, a table, a W&B project, or a folder with several of these.

    Attributes:
        name: its name in figures and reports.
        kind: sweep, run, folder, table or wandb.
        runs: in the order of their trials.
        trials: of a sweep; a run outside of one is no trial.
        metrics: the metric of each objective, for runs that do not name it themselves.
        directions: maximize or minimize, for each of these.
        space: the axes that were swept; empty where they are unknown.
        comparison: of reward models, as the sweep has written it (see verdicts/matrix.py); None where none was.
        is_comparison: whether the sweep says that it compares reward models; see `SweepPlan`.
        study: Optuna's, or one rebuilt from the runs; None outside of a sweep.
        seconds: that the sweep took, over all its starts; 0 where that is unknown.
        problems: sentences on what could not be read, without those of the runs.
        folder: the folder for figures about it; None where it is no folder.
        plan: of a sweep; empty where it is unknown.
        part: the values that set its runs apart from others of the same place; empty where they are all of it.
    """

    name: str
    kind: str
    runs: Sequence[RunRecord]
    trials: Sequence[TrialRecord] = ()
    metrics: Sequence[str] = ("eval/score",)
    directions: Sequence[str] = ("maximize",)
    space: Sequence[Axis] = ()
    comparison: Mapping[str, Any] | None = None
    is_comparison: bool = False
    study: Any = None
    seconds: float = 0.0
    problems: tuple[str, ...] = ()
    folder: Path | None = None
    plan: SweepPlan = field(default_factory=SweepPlan)
    part: str = ""

    @property
    def objective(self) -> Objective:
        """The objective of its runs that do not name another one themselves."""
        return Objective(tuple(self.metrics), tuple(self.directions))

    @cached_property
    def unlike(self) -> Sequence[UnlikeKey]:
        """The keys that say what a score means in which its runs differ; none in a sweep, where they were swept."""
        return [] if self.trials else find_unlike_keys({run.name: run.config for run in self.runs if run.config})

    @cached_property
    def apart(self) -> "Sequence[Source]":
        """The sources whose runs have one objective and agree in `likeness.KEYS`; itself alone where all runs do."""
        groups = group_alike(self.runs, keys := select_separating(self.unlike))
        return [self] if len(groups) < 2 else [self._select(group, keys) for group in groups]

    def _select(self, runs: Sequence[RunRecord], keys: Sequence[str]) -> "Source":
        aim = next((run.looked_for for run in runs if run.looked_for), self.objective)
        part = replace(self, runs=runs, trials=(), study=None, part=describe_part(runs[0].config, keys))
        return replace(part, metrics=aim.metrics, directions=aim.directions)

    @property
    def aim(self) -> str:
        """What its runs look for: `maximize eval/score`, `maximize eval/score with dataset.name=a`."""
        return self.objective.text + f" with {self.part}" * bool(self.part)

    @cached_property
    def metric_names(self) -> list[str]:
        """Every metric that any run has, sorted, without `update`."""
        return sorted({name for run in self.runs for name in run.metrics} - {UPDATE}, key=natural_key)

    @cached_property
    def axes(self) -> list[str]:
        """The config keys in which the runs differ, without seeds: the swept keys, else those with several values.

        A group with different choices is one key, `reward_model`, without the keys that a choice sets.
        """
        if swept := [axis.key for axis in self.space if axis.tied_to is None and not axis.is_seed]:
            return swept
        differing = find_differing_keys([run.config for run in self.runs])
        groups = [key.rpartition(".")[0] for key in differing if key.count(".") == 1 and key.endswith(".name")]
        ungrouped = [key for key in differing if key.partition(".")[0] not in groups]
        return sorted([*groups, *ungrouped], key=natural_key)

    def find_key(self, text: str) -> str:
        """The config key that a user means: itself, a group, or the unique key that ends on it (`lr` for `ppo.lr`).

        Raises:
            AnalysisError: if no run has such a key and it was not swept, or several keys end on it; the message has
                those that differ.
        """
        all_keys = {*self.axes, *(key for run in self.runs for key in run.config)}
        if text in all_keys or text in ("run", "trial") or f"{text}.name" in all_keys:
            return text
        matches = sorted((key for key in all_keys if key.endswith(f".{text}")), key=natural_key)
        differing = [key for key in matches if key in self.axes] or matches
        if len(differing) == 1:
            return differing[0]
        reason = f"could be {', '.join(differing)}" if differing else f"no run has such a key{suggest(text, all_keys)}"
        raise AnalysisError(f"{text}: {reason} (the runs differ in: {', '.join(self.axes) or 'nothing but seeds'})")
