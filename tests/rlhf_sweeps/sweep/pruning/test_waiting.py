"""Who waits, and who comes back first: the rule by hand on runs of 30 updates, then in a sweep."""

from pathlib import Path

import pytest
from helpers.fake_trainer import value
from helpers.sweeping import starts, sweep, trials

from rlhf_sweeps.sweep.pruning.curves import ObjectiveCurve
from rlhf_sweeps.sweep.pruning.halving import Asha

RULE = Asha()


def curve(number: int, **values: float) -> ObjectiveCurve:
    """at_5=0.1"""
    return ObjectiveCurve(number, {int(step.removeprefix("at_")): value for step, value in values.items()})


PEERS = [curve(1, at_5=0.4, at_10=0.5), curve(2, at_5=0.3), curve(3, at_5=0.2)]


@pytest.mark.parametrize(
    ("trial", "expected"),
    [
        (curve(0, at_5=0.35), False),  # second of four
        (curve(0, at_5=0.25), True),  # third of four
        (curve(0, at_5=0.35, at_10=0.45), True),  # second of two at update 10
        (curve(0, at_5=0.1, at_10=0.9), False),
        (curve(0, at_5=0.35, at_10=0.9, at_15=0.1), False),  # beyond the points to wait at, rungs decide
        (curve(0, at_3=0.1), False),  # before the first
        (curve(0, at_7=0.1), True),  # the first update after the first
    ],
)
def test_the_worse_half_waits_at_a_sixth_and_a_third(trial: ObjectiveCurve, expected: bool) -> None:
    assert RULE.should_wait(trial, PEERS, 30) == expected


def test_the_first_trial_does_not_wait_and_nobody_does_without_the_rule() -> None:
    assert not RULE.should_wait(curve(0, at_5=-9.0), [], 30)
    assert not Asha(wait_factor=1.0).should_wait(curve(0, at_5=-9.0), PEERS, 30)


@pytest.mark.parametrize(("own", "expected"), [(0.35, True), (0.25, False), (0.2, False)])
def test_a_trial_comes_back_once_it_is_in_the_better_half(own: float, expected: bool) -> None:
    assert RULE.may_resume(curve(0, at_5=own), PEERS) == expected


def test_what_waited_is_gone_on_with_where_it_stopped_and_ends_as_it_would_have(tmp_path: Path) -> None:
    """Four points, the best last: the second one waits, and in the end all have been run to their end or a rung."""
    points = (1e-3, 2e-4, 3e-4, 5e-4)
    fixed = ("ppo.kl_coef=0.02", "objective.kl_budget=null", "hydra.sweeper.pruner=asha")
    sweep(tmp_path, f"ppo.lr={','.join(map(str, points))}", *fixed)
    found = trials(tmp_path)
    assert sorted(trial.params["ppo.lr"] for trial in found) == sorted(points)
    assert sum(starts(tmp_path / str(number)) for number in range(4)) > 4
    for trial in found:
        whole = value(trial.params["ppo.lr"], 0.02, 0)
        # The fake trainer's curves are straight lines: nothing of them is lost or counted twice.
        assert trial.intermediate_values == pytest.approx(
            {step: whole * step / 30 for step in trial.intermediate_values}
        )
        updates = (tmp_path / str(trial.number) / "history").read_text().split("\n")
        made = [line for line in updates if line.startswith("update ")]
        assert made == [f"update {number}" for number in range(1, len(made) + 1)]


def test_each_point_to_wait_at_is_twice_as_far_as_the_one_before() -> None:
    """At a sixteenth, an eighth and a quarter of a run; the first rung is at a half."""
    rule = Asha(first_wait=1 / 16)
    assert [rule._count_waits(step, 16) for step in range(9)] == [0, 1, 2, 2, 3, 3, 3, 3, 3]
