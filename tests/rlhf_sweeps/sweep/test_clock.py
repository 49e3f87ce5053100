"""Time left, by hand: means of what has ended."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlhf_sweeps.sweep.clock import Clock
from rlhf_sweeps.sweep.study.trials import COMPLETE, PRUNED, RUNNING, SweepTrial


def plan(hours: float | None = None, test_seeds: int = 0) -> Any:
    limits = SimpleNamespace(budget_hours=hours)
    config = SimpleNamespace(sweep=limits)
    tests = {"test_seeds": list(range(test_seeds)), "num_finalists": 3, "has_own_scales": False}
    return SimpleNamespace(config=config, directions=["maximize"], **tests)


def trial(number: int, state: str, seconds: float, seeds: int = 1, **fields: Any) -> SweepTrial:
    by_seed = {seed: [0.0] for seed in range(seeds)}
    objectives = [0.0] if state == COMPLETE else None
    common = {"state": state, "seconds": seconds, "by_seed": by_seed, "objectives": objectives}
    return SweepTrial(number, {}, {}, Path(), **{**common, **fields})


TRIALS = [trial(0, COMPLETE, 40.0, seeds=2), trial(1, PRUNED, 20.0), trial(2, RUNNING, 10.0)]


def test_time_left_is_that_of_the_rest_at_the_mean_of_what_has_ended() -> None:
    assert Clock(plan(), 0.0, 2).left(TRIALS, 4) == pytest.approx((4 * 30 + 20) / 2)
    assert Clock(plan(), 0.0, 2).left(TRIALS[2:], 4) is None
    assert Clock(plan(), 0.0, 2).left(TRIALS, None) is None


def test_a_trial_that_takes_longer_than_others_takes_no_less_time_than_none() -> None:
    slow = [*TRIALS[:2], trial(2, RUNNING, 100.0), trial(3, RUNNING, 12.0)]
    assert Clock(plan(), 0.0, 1).left(slow, 0) == pytest.approx(0 + 18)


def test_trials_of_another_configuration_tell_nothing_of_those_to_come() -> None:
    other = trial(3, COMPLETE, 1000.0, is_compared=False)
    assert Clock(plan(), 0.0, 2).left([*TRIALS, other], 4) == pytest.approx((4 * 30 + 20) / 2)
    assert Clock(plan(), 0.0, 2).of_run([*TRIALS, other]) == pytest.approx(20)


def test_tests_take_as_long_as_the_runs_that_chose_their_settings() -> None:
    clock = Clock(plan(test_seeds=4), 0.0, 2)
    assert clock.of_tests(TRIALS) == pytest.approx(4 * 20 / 2)  # 40 s for two seeds
    assert clock.of_tests(TRIALS, num_more=9) == pytest.approx(4 * 3 * 20 / 2)
    # Of a setting that is complete and one that runs no more than two can be tested.
    assert clock.left(TRIALS, 0) == pytest.approx(20 / 2 + 4 * 2 * 20 / 2)
    assert clock.left(TRIALS, 1) == pytest.approx((30 + 20) / 2 + 4 * 3 * 20 / 2)
    # Two short runs and two of 50 s, on two workers in turn: 10 + 50 and 10 + 50.
    slow = trial(3, COMPLETE, 50.0, objectives=[-1.0])
    assert Clock(plan(test_seeds=2), 0.0, 2).of_tests([trial(0, COMPLETE, 10.0), slow]) == pytest.approx(60)
    assert Clock(plan(test_seeds=1), 0.0, 2).of_tests([trial(0, COMPLETE, 10.0), slow]) == pytest.approx(50)


def test_what_had_nothing_to_run_took_no_time_that_counts() -> None:
    copies = [trial(number, COMPLETE, 0.0, has_run=False) for number in range(3, 9)]
    assert Clock(plan(), 0.0, 2).left([*TRIALS, *copies], 4) == pytest.approx((4 * 30 + 20) / 2)


def test_starting_and_saving_count() -> None:
    assert Clock(plan(), 0.0, 1).left([trial(0, COMPLETE, 10.0, worker_seconds=25.0)], 2) == pytest.approx(50)


def test_a_run_begins_while_the_test_seeds_still_have_their_time_after_it() -> None:
    """A run takes 100 s, two test seeds of the one that is complete and of the one to come 400 s, and a tenth more."""
    done = [trial(0, COMPLETE, 100.0)]
    assert Clock(plan(hours=1, test_seeds=2), 3600 - 550.0, 1).share_in_time(done) == pytest.approx(1.0, abs=0.02)
    assert Clock(plan(hours=1, test_seeds=2), 3600 - 495.0, 1).share_in_time(done) == pytest.approx(0.5, abs=0.02)
    assert Clock(plan(hours=1, test_seeds=2), 3600 - 220.0, 1).share_in_time(done) < 0
    assert Clock(plan(hours=1), 3600 - 5.0, 1).share_in_time(done) == math.inf
    assert Clock(plan(hours=1), 3600 + 5.0, 1).share_in_time(done) == -math.inf
    assert Clock(plan(), 3600 + 5.0, 1).share_in_time(done) == math.inf
    assert not Clock(plan(hours=1, test_seeds=2), 3600 - 221.0, 1).is_time_for_tests(done)
    assert Clock(plan(hours=1, test_seeds=2), 3600 - 219.0, 1).is_time_for_tests(done)
    assert not Clock(plan(hours=1, test_seeds=2), 3600 - 5.0, 1).is_time_for_tests([])
    # Half of the tenth to spare is for what does not stop at once.
    assert not Clock(plan(hours=1, test_seeds=2), 3600 - 211.0, 1).is_too_late(done)
    assert Clock(plan(hours=1, test_seeds=2), 3600 - 209.0, 1).is_too_late(done)


def test_earlier_starts_count() -> None:
    clock = Clock(plan(hours=1), 3000.0, 1)
    assert clock.seconds == pytest.approx(3000, abs=5)
    assert clock.of_budget == pytest.approx(600, abs=5)
    assert clock.left(TRIALS, 1000) == pytest.approx(600, abs=5)
