"""The policies by which a trial is compared with the base policy, from the records of its runs."""

from collections.abc import Sequence

from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.sweep.study.tested import select_measured
from rlhf_sweeps.sweep.study.trials import SweepTrial
from rlhf_sweeps.verdicts.final_policies import FinalPolicy, find_final_policy


def find_final_policies(sweep: Sweep, trial: SweepTrial, seeds: Sequence[int]) -> list[FinalPolicy | None]:
    """Those of the runs on the test seeds, if the trial was run on some, else on the seeds that chose it.

    Args:
        seeds: of every trial; a trial has a run for each of several seeds.
    """
    number = trial.number
    runs: list[Run] = [sweep.test_run(number, seed) for seed in select_measured(trial.tested)]
    runs = runs or ([sweep.run(number, seed) for seed in seeds] if len(seeds) > 1 else [sweep.run(number, None)])
    return [find_final_policy(run.summary() or {}, run.samples(), _read_reward_model(run)) for run in runs]


def _read_reward_model(run: Run) -> str | None:
    """The name of the run's own reward model, if its record says it."""
    name = ((run.start() or {}).get("config") or {}).get("reward_model") or {}
    return name.get("name") if isinstance(name, dict) else None
