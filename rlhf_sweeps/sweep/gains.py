"""How much better a trial's policies are than the base policy, from the samples of its runs."""

from collections.abc import Sequence

from rlhf_sweeps.record import Run, Sweep, as_mapping
from rlhf_sweeps.sweep.study.tested import select_measured
from rlhf_sweeps.sweep.study.trials import SweepTrial
from rlhf_sweeps.verdicts.against_base import Gain, measure_gain, read_differences


def measure_trial(sweep: Sweep, trial: SweepTrial, seeds: Sequence[int]) -> Gain | None:
    """The gain on the test seeds, if it was run on some, else on the seeds that chose it; None if it is unknown.

    Args:
        seeds: of every trial; a trial has a run for each of several seeds.
    """
    tests = [sweep.test_run(trial.number, seed) for seed in select_measured(trial.tested)]
    if tests:
        return measure_runs(tests)
    number = trial.number
    return measure_runs([sweep.run(number, seed) for seed in seeds] if len(seeds) > 1 else [sweep.run(number, None)])


def measure_runs(runs: Sequence[Run]) -> Gain | None:
    """The gain of runs of one setting, each at its best evaluation within the KL budget; None if one has none."""
    differences = []
    for run in runs:
        update = as_mapping((run.summary() or {}).get("best")).get("update")
        differences.append(read_differences(run.samples(), update) if isinstance(update, int) else {})
    return measure_gain(differences)
