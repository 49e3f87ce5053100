"""The policies by which a trial is compared with the base policy, from the records of its runs."""

from collections.abc import Sequence

from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.sweep.study.tested import select_measured
from rlhf_sweeps.sweep.study.trials import SweepTrial
from rlhf_sweeps.verdicts.final_policies import FinalPolicy, find_final_policy


def find_final_policies(sweep: Sweep, winners: Sequence[SweepTrial], seeds: Sequence[int]) -> list[FinalPolicy | None]:
    """Those of the best trial's runs on the test seeds, if it was run on some, else on the seeds that chose it.

    Args:
        winners: the best trials; of several the first counts, of none there is no policy.
        seeds: of every trial; a trial has a run for each of several seeds.
    """
    if not winners:
        return []
    tested = [sweep.test_run(winners[0].number, seed) for seed in select_measured(winners[0].tested)]
    return [
        find_final_policy(run.summary() or {}, run.samples(), _read_reward_model(run), run.confirmation())
        for run in tested or list_choosing_runs(sweep, winners[0], seeds)
    ]


def list_choosing_runs(sweep: Sweep, trial: SweepTrial, seeds: Sequence[int]) -> list[Run]:
    """The trial's runs on the seeds that choose: one for each of several seeds, or its only one."""
    return [sweep.run(trial.number, seed) for seed in (seeds if len(seeds) > 1 else [None])]


def _read_reward_model(run: Run) -> str | None:
    """The name of the run's own reward model, if its record says it."""
    name = ((run.start() or {}).get("config") or {}).get("reward_model") or {}
    return name.get("name") if isinstance(name, dict) else None
