"""The runs that a trial takes: one for each seed of its configuration, begun in the seeds' order."""

from collections.abc import Sequence

from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.sweep.active import Active
from rlhf_sweeps.sweep.configurations import Configurations
from rlhf_sweeps.sweep.study.trials import Trial


class SeedRuns:
    """Gives out each trial's runs, each once."""

    def __init__(self, sweep: Sweep, configurations: Configurations) -> None:
        self._sweep, self._configurations = sweep, configurations

    def seeds(self, trial: Trial) -> Sequence[int]:
        """A trial is worth the mean over these."""
        return self._configurations[trial.configuration].seeds

    def first(self, trial: Trial) -> Active:
        """The run on a trial's first seed."""
        trial.num_runs = 1
        return self._run(trial, 0)

    def next(self, trial: Trial) -> Active | None:
        """The run on the seed that comes after those given out; None where all were."""
        if trial.num_runs == len(self.seeds(trial)):
            return None
        trial.num_runs += 1
        return self._run(trial, trial.num_runs - 1)

    def test(self, trial: Trial, seed: int) -> Active:
        """The run of a trial's setting on a test seed."""
        return Active(trial, self._sweep.test_run(trial.number, seed), seed, None)

    def record(self, trial: Trial, index: int = 0) -> Run:
        """The record of a trial's run, by default of that on its first seed."""
        seeds = self.seeds(trial)
        return self._sweep.run(trial.number, seeds[index] if len(seeds) > 1 else None)

    def _run(self, trial: Trial, index: int) -> Active:
        return Active(trial, self.record(trial, index), self.seeds(trial)[index], index)
