"""Time left, by hand: means of what has ended."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlhf_sweeps.sweep.clock import Clock
from rlhf_sweeps.sweep.trials import COMPLETE, PRUNED, RUNNING, Trial


def plan(hours: float | None = None, test_seeds: int = 0) -> Any:
    limits = SimpleNamespace(budget_hours=hours, num_tested=3)
    return SimpleNamespace(config=SimpleNamespace(sweep=limits), test_seeds=list(range(test_seeds)))


def trial(number: int, state: str, seconds: float, seeds: int = 1) -> Trial:
    by_seed = {seed: [0.0] for seed in range(seeds)}
    return Trial(number, {}, {}, Path(), state=state, seconds=seconds, by_seed=by_seed)


TRIALS = [trial(0, COMPLETE, 40.0, seeds=2), trial(1, PRUNED, 20.0), trial(2, RUNNING, 10.0)]


def test_time_left_is_that_of_the_rest_at_the_mean_of_what_has_ended() -> None:
    assert Clock(plan(), 0.0, 2).left(TRIALS, 4) == pytest.approx((4 * 30 + 20) / 2)
    assert Clock(plan(), 0.0, 2).left(TRIALS[2:], 4) is None
    assert Clock(plan(), 0.0, 2).left(TRIALS, None) is None


def test_tests_take_a_run_each() -> None:
    clock = Clock(plan(test_seeds=4), 0.0, 2)
    assert clock.of_tests(TRIALS) == pytest.approx(4 * 3 * 20 / 2)  # 40 s for two seeds
    # Of a setting that is complete and one that runs no more than two can be tested.
    assert clock.left(TRIALS, 0) == pytest.approx(20 / 2 + 4 * 2 * 20 / 2)
    assert clock.left(TRIALS, 1) == pytest.approx((30 + 20) / 2 + 4 * 3 * 20 / 2)


def test_earlier_starts_count() -> None:
    clock = Clock(plan(hours=1), 3000.0, 1)
    assert clock.seconds == pytest.approx(3000, abs=5)
    assert clock.of_budget == pytest.approx(600, abs=5)
    assert clock.left(TRIALS, 1000) == pytest.approx(600, abs=5)
