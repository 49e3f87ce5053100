"""Whether it is decided which setting of a sweep is best: the same test as in the analysis, by seeds and prompts."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rlhf_sweeps.sweep.study.tested import select_measured
from rlhf_sweeps.sweep.study.trials import SweepTrial

if TYPE_CHECKING:
    from rlhf_sweeps.verdicts.estimates import Strata


def is_decided(ranked: Sequence[SweepTrial], directions: Sequence[str]) -> bool | None:
    """Whether the best setting is better than every other one by more than noise; never with one run of each.

    None without another one.

    Args:
        ranked: complete trials, best first, as from `results.rank`; with their scores by prompt, if these are known.
        directions: "maximize" or "minimize" for each objective; with several objectives nothing is decided.
    """
    if len(ranked) < 2:
        return None
    if len(directions) > 1 or max(len(ranked[0].by_seed), len(ranked[0].tested)) < 2:
        return False
    from rlhf_sweeps.verdicts.pairs import MOST_GROUPS, rank

    compared = ranked[:MOST_GROUPS]
    by_number = {str(trial.number): trial for trial in compared}
    # A trial of one run may have its objectives only.
    chosen: dict[str, Mapping[Any, Sequence[float]]] = {
        str(trial.number): trial.by_seed or {None: trial.objectives or []} for trial in compared
    }
    tested = {str(trial.number): values for trial in compared if (values := select_measured(trial.tested))}
    ranking = rank(
        {label: _stack(runs) for label, runs in chosen.items()},
        directions[0] == "minimize",
        {label: _stack(runs) for label, runs in tested.items()},
        {label: list(runs) for label, runs in chosen.items()},
        {label: list(runs) for label, runs in tested.items()},
        scores={label: _list_scores(runs, by_number[label].scores) for label, runs in chosen.items()},
        test_scores={label: _list_scores(runs, by_number[label].test_scores) for label, runs in tested.items()},
    )
    return ranking.winner == str(ranked[0].number)


def _list_scores(
    runs: Mapping[Any, object], by_seed: Mapping[int, Mapping[str, float]]
) -> dict[Hashable, list[Mapping[str, float]]]:
    """The scores by prompt of the runs of one setting, in their order; empty where they are unknown."""
    return {(): [by_seed.get(seed, {}) for seed in runs]}


def _stack(runs: Mapping[Any, Sequence[float]]) -> "Strata":
    """The objectives of the runs of one setting."""
    import numpy as np

    return {(): np.array([values[0] for values in runs.values()], dtype=np.float64)}
