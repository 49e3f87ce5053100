"""Whether it is decided which setting of a sweep is best: the same test as in the analysis, by runs on each seed."""

from collections.abc import Sequence

from rlhf_sweeps.sweep.study.tested import select_measured
from rlhf_sweeps.sweep.study.trials import SweepTrial


def is_decided(ranked: Sequence[SweepTrial], directions: Sequence[str]) -> bool:
    """Whether the best setting is better than every other one by more than noise; never with one run of each.

    Args:
        ranked: complete trials, best first, as from `results.rank`.
        directions: "maximize" or "minimize" for each objective; with several objectives nothing is decided.
    """
    if len(directions) > 1 or len(ranked) < 2 or max(len(ranked[0].by_seed), len(ranked[0].tested)) < 2:
        return False
    import numpy as np

    from rlhf_sweeps.verdicts.pairs import MOST_GROUPS, rank

    compared = ranked[:MOST_GROUPS]
    chosen = {str(trial.number): trial.by_seed for trial in compared}
    tested = {str(trial.number): values for trial in compared if (values := select_measured(trial.tested))}
    ranking = rank(
        {label: {(): np.array([values[0] for values in by_seed.values()])} for label, by_seed in chosen.items()},
        directions[0] == "minimize",
        {label: {(): np.array([values[0] for values in by_seed.values()])} for label, by_seed in tested.items()},
        {label: list(by_seed) for label, by_seed in chosen.items()},
        {label: list(by_seed) for label, by_seed in tested.items()},
    )
    return ranking.winner == str(ranked[0].number)
