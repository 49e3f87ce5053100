"""Which reward models were over-optimized: what they prefer wins under their own judge and loses under another."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rlhf_sweeps.verdicts.crossed import pool_seed_variance
from rlhf_sweeps.verdicts.intervals import Outcomes, estimate_win_rate
from rlhf_sweeps.verdicts.student import Floats


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


def find_first_loss(own: Mapping[int, Floats], others: Mapping[int, Floats], num_tests: int) -> int | None:
    """The smallest n from which on the best of n answers surely wins under its own judge and surely loses under others.

    Args:
        own, others: n -> win rates against the base policy under the reward model that chooses and under the
            independent judges, (prompts,).
        num_tests: how many such losses are looked for, over all reward models and n; all intervals hold at once.

    Returns:
        None if the best of the largest n does not.
    """
    first = None
    for n in sorted(others, reverse=True):
        win, loss = estimate_win_rate(own[n][None], num_tests), estimate_win_rate(others[n][None], num_tests)
        if win.low is None or loss.high is None or win.low <= 1 / 2 or loss.high >= 1 / 2:
            break
        first = n
    return first
