"""What has become of runs and trials, told one way: states, causes, counts, who is on the Pareto front."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

from rlhf_sweeps.record.trials import (
    end_of_trial,
    format_counts,
    read_cause,
    read_objectives,
    read_state,
)
from rlhf_sweeps.verdicts.settings import compute_losses, find_front


def test_counts_have_one_order_and_failures_their_causes() -> None:
    failed = [("failed", cause) for cause in ("error", None, "diverged", "error")]
    others = [("running", None), ("pruned", "no cause of a failure"), ("pruned", None), ("complete", None)]
    text = "1 complete, 2 pruned, 4 failed (2 error, 1 diverged, 1 unknown), 1 running"
    assert format_counts([*failed, *others]) == text
    assert format_counts([("failed", "timeout")] * 2) == "2 failed (timeout)"
    assert format_counts([("diverged", None), ("failed", "error")]) == "2 failed (1 diverged, 1 error)"
    assert format_counts([("crashed", None), ("unfinished", None)]) == "1 unfinished, 1 crashed"
    assert format_counts([]) == ""


@pytest.mark.parametrize(
    ("summary", "state", "cause"),
    [
        ({}, "unfinished", None),
        ({"status": "complete"}, "complete", None),
        ({"status": "diverged"}, "diverged", "diverged"),
        ({"status": "failed", "cause": "out_of_memory"}, "failed", "out_of_memory"),
        ({"status": "failed"}, "failed", "unknown"),
        ({"status": "stopped", "stop_reason": "timeout"}, "failed", "timeout"),
        ({"status": "stopped", "stop_reason": "pruned"}, "pruned", None),
        ({"status": "stopped", "stop_reason": "interrupted"}, "stopped", None),
        ({"status": "stopped", "stop_reason": "kl_budget", "objective": 1.0}, "complete", None),
        ({"status": "stopped", "stop_reason": "kl_budget", "objective": None}, "pruned", None),
        ({"status": ["x"]}, "unfinished", None),
    ],
)
def test_how_a_run_ended(summary: dict[str, Any], state: str, cause: str | None) -> None:
    assert (read_state(summary), read_cause(state, summary)) == (state, cause)


@pytest.mark.parametrize(
    ("known", "runs", "num_seeds", "state"),
    [
        ("COMPLETE", ["failed"], 1, "complete"),  # the study's word goes before
        ("FAIL", ["complete"], 1, "failed"),
        ("RUNNING", ["complete"], 1, "complete"),  # what it did not come to tell
        ("RUNNING", ["complete"], 2, None),
        (None, ["complete", "complete"], 2, "complete"),
        (None, ["complete", "diverged"], 3, "failed"),
        (None, ["complete", "pruned"], 2, "pruned"),
        (None, ["complete", None], 2, None),
        (None, ["complete", "unfinished"], 2, None),
        (None, ["waiting"], 1, "waiting"),
        (None, [], 0, None),
    ],
)
def test_what_a_trial_has_come_to(known: str | None, runs: list[str | None], num_seeds: int, state: str | None) -> None:
    trial = None if known is None else SimpleNamespace(state=SimpleNamespace(name=known))
    assert end_of_trial(trial, runs, num_seeds) == state


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ({"objective": 1}, [1.0]),
        ({"objectives": [1.0, 2], "objective": 9.0}, [1.0, 2.0]),
        ({"objectives": [1.0, None]}, None),
        ({"objectives": [], "objective": 3.0}, [3.0]),
        ({"objective": True}, None),
        ({"objective": math.inf}, None),
        ({"objective": 10**400}, None),
        ({}, None),
    ],
)
def test_what_a_run_is_worth(summary: dict[str, Any], expected: list[float] | None) -> None:
    assert read_objectives(summary) == expected


def test_the_front_by_hand() -> None:
    """More of the first and less of the second is better: (2, 6) and (1, 5) are; (1, 5) again is the same."""
    values = [[1.0, 5.0], [2.0, 6.0], [0.5, 7.0], [1.0, 5.0], [2.0, 8.0]]
    found = [compute_losses(one, ["maximize", "minimize"]) for one in values]
    assert found[1] == [-2.0, 6.0]
    assert find_front(found) == [1, 0]
    assert find_front([]) == []


@pytest.mark.parametrize("values", [None, [], [1.0], [1.0, math.nan]])
def test_what_has_no_two_numbers_is_worth_nothing_by_two(values: list[float] | None) -> None:
    assert compute_losses(values, ["maximize", "minimize"]) == []
