"""An entry of a ranking: a trial, or a run outside of a sweep, or several of them that differ in their seeds only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean

from analysis.records.runs import COMPLETE, RunRecord, convert_number
from analysis.sweep.settings import REWARD_MODEL
from analysis.wording.statements import clip_text
from rlhf_sweeps.verdicts.settings import keeps_constraints, mean_over_seeds

_MAX_TEXT = 160  # letters of a setting


@dataclass(frozen=True, eq=False)
class Entry:
    """A trial, or a run outside of a sweep; in a ranking, all of them that differ in their seeds only.

    Attributes:
        title: `Trial 3`, `Run a`, `Trials 0, 1 and 2`.
        names: the trials' numbers, or the runs' names.
        numbers: the trials' numbers; the places of runs outside of a sweep.
        settings: key -> text, for keys that differ between entries.
        labels: key -> label for readers; different settings have different labels.
        objectives: a value for each objective; None where they are unknown, or where it did not come to its end.
        runs: on the seeds that choose; tests: on the test seeds.
        violations: constraint -> by how much it is broken; 0 and below: kept, nan: unknown.
        metrics: the metrics of the objectives.
        is_maximized: whether more of the first objective is better.
    """

    title: str
    names: Sequence[str]
    numbers: tuple[int, ...]
    state: str
    settings: Mapping[str, str]
    objectives: Sequence[float] | None
    runs: Sequence[RunRecord]
    tests: Sequence[RunRecord] = ()
    seconds: float = 0.0
    cause: str | None = None
    message: str | None = None
    violations: Mapping[str, float] = field(default_factory=dict)
    metrics: Sequence[str] = ()
    is_maximized: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_allowed(self) -> bool:
        """Whether it is known to keep all constraints."""
        return keeps_constraints(self.violations)

    @property
    def inline_title(self) -> str:
        """The title within a sentence: `trial 3`."""
        return self.title[0].lower() + self.title[1:]

    @property
    def name(self) -> str:
        """The name of its only, or its first, trial or run."""
        return self.names[0]

    @cached_property
    def tested_runs(self) -> Sequence[RunRecord]:
        """The runs on test seeds that came to their end."""
        return [run for run in self.tests if run.state == COMPLETE and run.objectives]

    @cached_property
    def tested(self) -> float | None:
        """The first objective on the test seeds; None without runs on these."""
        mean = mean_over_seeds(run.objectives for run in self.tested_runs)
        return None if mean is None else mean[0]

    @property
    def worth(self) -> float:
        """The first objective on the seeds that choose; nan without one."""
        return self.objectives[0] if self.objectives else float("nan")

    @property
    def settings_text(self) -> str:
        """`ppo.lr=0.0001, seed=1`; empty where there are no settings."""
        return ", ".join(f"{key}={clip_text(label, _MAX_TEXT)}" for key, label in self.labels.items())

    @cached_property
    def run(self) -> RunRecord | None:
        """The best of its runs, by the first objective; the first where they have none."""
        with_value = [run for run in self.runs if run.objectives]
        if with_value:
            pick = max if self.is_maximized else min
            return pick(with_value, key=lambda run: (run.objectives or [0.0])[0])
        return self.runs[0] if self.runs else None

    def average_summary(self, key: str) -> float | None:
        """The mean of a number in the summaries of the runs on test seeds, else of the other runs; None without any."""
        numbers = [
            number
            for run in self.tested_runs or self.runs
            if (number := convert_number(run.summary.get(key))) is not None
        ]
        return fmean(numbers) if numbers else None


def find_reward_model(entry: Entry) -> str:
    """The name of the reward model that its policy was trained on."""
    return str(entry.run.look_up(REWARD_MODEL)) if entry.run is not None else entry.settings.get(REWARD_MODEL, "None")
