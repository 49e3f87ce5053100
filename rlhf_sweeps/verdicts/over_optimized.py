"""Which reward models were over-optimized: their policies win under their own judge and lose under another."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rlhf_sweeps.verdicts.crossed import pool_seed_variance
from rlhf_sweeps.verdicts.intervals import Outcomes, estimate_win_rate


def count_wins(pairs: Outcomes) -> Outcomes:
    """1 for a win, 0 for a loss, 1/2 for a tie, (seeds, prompts), from score and base score, (seeds, prompts, 2)."""
    return (np.sign(pairs[..., 0] - pairs[..., 1]) + 1) / 2


def find_over_optimized(outcomes: Sequence[tuple[str, Mapping[str, Outcomes]]]) -> Iterator[dict[str, Any]]:
    """Yield the reward models whose policies surely win under their own judge and surely lose under another.

    A single seed does not show it: any training moves a policy, and another seed may move it the other way. The own
    judge has chosen the evaluation, so it is often won. So the losses have to be sure among all that could be found.

    Args:
        outcomes: reward model, and judge -> score and base score, (seeds, prompts, 2).
    """
    repeated = [
        (name, {judge: count_wins(pairs) for judge, pairs in scores.items() if len(pairs) > 1})
        for name, scores in outcomes
    ]
    num_tests = sum(len(wins.keys() - {name}) for name, wins in repeated)
    pooled = pool_seed_variance([wins for _, by_judge in repeated for wins in by_judge.values()])
    for name, by_judge in repeated:
        rates = {
            judge: estimate_win_rate(wins, 1 if judge == name else num_tests, pooled)
            for judge, wins in by_judge.items()
        }
        own = rates.pop(name, None)
        losing = {judge: rate.mean for judge, rate in rates.items() if rate.high is not None and rate.high < 0.5}
        if own is not None and own.low is not None and own.low > 0.5 and losing:
            yield {"reward_model": name, "win_rate": own.mean, "judges": losing}
