"""How often groups that do not differ are told apart, and how often those that differ are not."""

import numpy as np
import pytest

from rlhf_sweeps.verdicts import estimates
from rlhf_sweeps.verdicts.pairs import BETTER, rank


@pytest.mark.parametrize("size", [2, 3, 5, 10])
@pytest.mark.parametrize("num_groups", [2, 4])
def test_false_alarms(monkeypatch: pytest.MonkeyPatch, size: int, num_groups: int) -> None:
    """Groups of one distribution: some pair is called better in 5 % of the comparisons at most.

    Of 6,000 made-up comparisons of 2, 3, 5 and 10 groups each it was 0.1 to 3.6 % for normal values, 0.1 to 1.8 % for
    log-normal ones; the most was 5.1 % for two groups of ten uniform values.
    """
    monkeypatch.setattr(estimates, "RESAMPLES", 200)
    random = np.random.default_rng(10 * size + num_groups)
    draws = [rank({str(group): {(): random.normal(size=size)} for group in range(num_groups)}).pairs for _ in range(60)]
    alarms = sum(any(pair.verdict == BETTER for pair in pairs) for pairs in draws)
    assert alarms <= 6  # if it were 5 %, 97 of 100 such tests would find no more


def test_false_alarms_with_unequal_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "RESAMPLES", 200)
    random = np.random.default_rng(5)
    scales = [3.0, 1.0, 1.0, 1.0]
    draws = [
        rank({str(scale) + str(index): {(): scale * random.normal(size=3)} for index, scale in enumerate(scales)}).pairs
        for _ in range(60)
    ]
    assert sum(any(pair.verdict == BETTER for pair in pairs) for pairs in draws) <= 6


def test_false_alarms_with_unequal_noise_and_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two runs that is ten times as noisy. Of 400 comparisons 7 % called some pair better."""
    monkeypatch.setattr(estimates, "RESAMPLES", 200)
    random, sizes, scales = np.random.default_rng(7), (8, 2, 3, 3, 3), (1.0, 10.0, 1.0, 1.0, 1.0)
    both = [(str(index), *each) for index, each in enumerate(zip(sizes, scales, strict=True))]
    draws = [rank({name: {(): scale * random.normal(size=size)} for name, size, scale in both}) for _ in range(60)]
    # 7 if degrees of freedom are those of all runs.
    assert sum(any(pair.verdict == BETTER for pair in ranking.pairs) for ranking in draws) <= 6


# The winner was found in 41, 97 and 100 % of 6,000 comparisons of two groups of 2, 3 and 5 runs, 5 deviations apart,
# and in 20, 90 and 100 % of those of three groups.
@pytest.mark.parametrize(("size", "found_at_least"), [(2, 0.2), (3, 0.85), (5, 0.97)])
def test_power(monkeypatch: pytest.MonkeyPatch, size: int, found_at_least: float) -> None:
    monkeypatch.setattr(estimates, "RESAMPLES", 200)
    random = np.random.default_rng(size)
    winners = [
        rank({"a": {(): random.normal(5, 1, size)}, "b": {(): random.normal(size=size)}}).winner for _ in range(60)
    ]
    assert winners.count("b") == 0
    assert winners.count("a") / 60 >= found_at_least
