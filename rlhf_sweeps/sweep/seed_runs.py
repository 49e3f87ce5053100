"""The runs of a trial: one for each seed of its configuration, in the order of the seeds."""

from collections.abc import Sequence

from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.sweep.active import Active
from rlhf_sweeps.sweep.configurations import Configurations
from rlhf_sweeps.sweep.study.trials import SweepTrial


class SeedRuns:
    """Gives each run of a trial once."""

    def __init__(self, sweep: Sweep, configurations: Configurations) -> None:
        self._sweep, self._configurations = sweep, configurations

    def seeds(self, trial: SweepTrial) -> Sequence[int]:
        """The seeds over which a trial's objectives are averaged."""
        return self._configurations[trial.configuration].seeds

    def first(self, trial: SweepTrial) -> Active:
        """The run on a trial's first seed."""
        trial.num_runs = 1
        return self._make_run(trial, 0)

    def next(self, trial: SweepTrial) -> Active | None:
        """The run on the next seed; None if all runs were given."""
        if trial.num_runs == len(self.seeds(trial)):
            return None
        trial.num_runs += 1
        if not trial.going:  # the score and the KL of the seed before are not those of this one
            trial.score = trial.kl = None
        return self._make_run(trial, trial.num_runs - 1)

    def test(self, trial: SweepTrial, seed: int) -> Active:
        """The run of a trial's setting on a test seed."""
        return Active(trial, self._sweep.test_run(trial.number, seed), seed, None)

    def record(self, trial: SweepTrial, index: int = 0) -> Run:
        """The record of a trial's run, by default that on its first seed."""
        seeds = self.seeds(trial)
        return self._sweep.run(trial.number, seeds[index] if len(seeds) > 1 else None)

    def records(self, trial: SweepTrial) -> dict[int, Run]:
        """Seed -> record, of the runs of a complete trial; empty for others, whose runs need not have ended."""
        return {seed: self.record(trial, i) for i, seed in enumerate(self.seeds(trial)) if trial.objectives}

    def _make_run(self, trial: SweepTrial, index: int) -> Active:
        return Active(trial, self.record(trial, index), self.seeds(trial)[index], index)
