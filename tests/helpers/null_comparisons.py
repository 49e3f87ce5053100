"""Comparisons of groups that do not differ, and what is claimed in them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from analysis.comparison.compare import compare_groups
from analysis.records.runs import Source
from helpers.judged_sweeps import drawn, judged_source, written
from helpers.null_sweeps import grid, pruned, search
from rlhf_sweeps.sweep.comparison_table import write_table
from rlhf_sweeps.verdicts.pairs import BETTER, WORSE

CHANCE = 0.65  # of every reward model to win against the base policy


def add_settings(source: Source) -> Source:
    """The sweep with its settings in the configs of its runs, by which these are compared."""
    trials = [
        replace(
            each,
            runs=[replace(own, config={**own.config, **each.settings}, trial=each.number) for own in each.runs],
            tests=[
                replace(own, config={**own.config, **each.settings}, trial=each.number, is_test=True)
                for own in each.tests
            ],
        )
        for each in source.trials
    ]
    return replace(source, trials=trials, runs=[own for each in trials for own in (*each.runs, *each.tests)])


def list_claims_by_axis(source: Source) -> set[str]:
    """The axes of which some group is said to be better than another one, as `compare --by` says it."""
    source = add_settings(source)
    return {
        axis
        for axis in source.axes
        if any(pair.verdict in (BETTER, WORSE) for pair in compare_groups(source, axis).pairs)
    }


def list_claims_of_judges(seed: int, num_models: int, num_seeds: int) -> set[str]:
    """What is said of reward models that win equally often under a judge that trained none of them."""
    random = np.random.default_rng(seed)
    wins = drawn(random, dict.fromkeys((f"model{number}" for number in range(num_models)), CHANCE), num_seeds)
    comparison = written(wins)
    pairs = compare_groups(judged_source(wins, comparison), "reward_model").pairs
    claims = {"better"} if any(pair.verdict == BETTER for pair in pairs) else set()
    return claims | ({"over-optimized"} if "over-optimized" in write_table(comparison) else set())


# What nothing differs in; all axes of a sweep together have one rate.
COMPARED: dict[str, Callable[[int], set[str]]] = {
    "grid 3 x 3, 3 seeds, compared by each axis": lambda seed: list_claims_by_axis(grid(seed, (3, 3), 3)),
    "grid 4 x 4, 1 seed, compared by each axis": lambda seed: list_claims_by_axis(grid(seed, (4, 4), 1)),
    "search of 20, 2 seeds, compared by each axis": lambda seed: list_claims_by_axis(search(seed, 20, 2)),
    "search of 20, 3 test seeds, compared by each axis": lambda seed: list_claims_by_axis(
        search(seed, 20, num_tests=3)
    ),
    "search of 24, half of it pruned on the first of 3 seeds, compared by each axis": lambda seed: list_claims_by_axis(
        pruned(seed, 24, 3)
    ),
    "4 reward models, 3 seeds, compared by a judge": lambda seed: list_claims_of_judges(seed, 4, 3),
    "2 reward models, 1 seed, compared by a judge": lambda seed: list_claims_of_judges(seed, 2, 1),
}
