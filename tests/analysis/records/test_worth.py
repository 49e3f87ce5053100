"""What a run is worth by its record alone: which updates count, with and without a KL."""

import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.records.constraints import ConstrainedSetting, write_constraint_sentences
from analysis.records.runs import RunRecord
from analysis.records.worth import (
    find_kl,
    is_worth_the_base,
    measure_violations,
    recompute_objectives,
    select_counted_rows,
)

NAN = math.nan
SCORES = [0.1, 0.2, 0.3, 0.4]
CONFIG = {
    "objective.metrics": ["eval/score"],
    "objective.directions": ["maximize"],
    "objective.reduction": "best",
    "objective.kl_budget": 10.0,
    "objective.constraints": ["eval/length<=30"],
}


def run(config: dict[str, object] | None = None, **metrics: list[float]) -> RunRecord:
    """Evaluated at updates 1 to 4; `eval__kl` stands for `eval/kl`."""
    columns = {name.replace("__", "/"): np.array(values) for name, values in metrics.items()}
    start = {"update": np.arange(1.0, 5), "eval/score": np.array(SCORES), "eval/base_score": np.array([0.05] * 4)}
    return RunRecord("0", start | columns, CONFIG | (config or {}))


@pytest.mark.parametrize(
    ("config", "kls", "updates"),
    [
        ({}, {}, []),  # nothing can be held to a budget
        ({"objective.kl_budget": None}, {}, [4]),
        ({}, {"eval__kl": [1.0, 2.0, 11.0, 12.0]}, [2]),
        ({}, {"eval__kl": [1.0, NAN, NAN, 12.0]}, [1]),
        ({}, {"objective__kl": [1.0, 2.0, 3.0, 12.0]}, [3]),
        ({}, {"eval__kl": [1.0, 12.0, 12.0, 12.0], "objective__kl": [1.0, 2.0, 3.0, 4.0]}, [1]),  # held-out goes first
        ({}, {"eval__kl": [11.0, 12.0, 12.0, 12.0]}, []),
    ],
)
def test_updates_count_that_are_known_to_be_within_the_budget(
    config: dict[str, object], kls: dict[str, list[float]], updates: list[int]
) -> None:
    assert [row["update"] for row in select_counted_rows(run(config, **kls))] == updates


def test_an_update_is_held_to_the_budget_by_its_held_out_kl() -> None:
    assert find_kl({"objective/kl": 2.0, "eval/kl": 1.0}) == 1.0
    assert find_kl({"objective/kl": 2.0}) == 2.0
    assert find_kl({"update": 2.0}) is None


def test_a_run_that_never_stayed_within_the_budget_is_worth_the_base_policy_and_breaks_nothing() -> None:
    over = run(eval__kl=[11.0] * 4, eval__length=[99.0] * 4)
    assert (recompute_objectives(over), is_worth_the_base(over), measure_violations(over)) == ([0.05], True, {})
    within = run(eval__kl=[1.0] * 4, eval__length=[99.0, 99.0, 99.0, 33.0])
    assert (recompute_objectives(within), is_worth_the_base(within), measure_violations(within)) == (
        [0.4],
        False,
        {"eval/length<=30": 3.0},
    )
    assert math.isnan(measure_violations(run(eval__kl=[1.0] * 4))["eval/length<=30"])


def test_a_run_that_is_worth_the_area_under_its_frontier_keeps_its_limits_by_its_best_evaluation() -> None:
    """The area: 0.05 up to 1 nat, 0.1 up to 2, 0.2 up to 4 and 0.3 up to the budget of 10: 2.35 in all."""
    frontier = run({"objective.reduction": "frontier"}, eval__kl=[1.0, 2.0, 4.0, 12.0], eval__length=[40.0, 35, 20, 99])
    finished = replace(frontier, summary={"objectives": [0.235]})
    assert recompute_objectives(finished) == pytest.approx([0.235])
    assert [row["update"] for row in select_counted_rows(finished)] == [3]
    assert measure_violations(finished) == {"eval/length<=30": -10.0}
    assert select_counted_rows(replace(frontier, summary={"objectives": [0.3]})) == []


@pytest.mark.parametrize(
    ("config", "kl", "base"),
    [
        ({"objective.reduction": "frontier", "objective.kl_budget": None}, 1.0, 0.05),
        ({"objective.reduction": "frontier", "objective.kl_budget": 0.0}, 1.0, 0.05),
        ({"objective.reduction": "frontier", "objective.metrics": ["eval/length"]}, 1.0, 0.05),
        ({"objective.reduction": "frontier"}, 1.0, NAN),
        ({}, 11.0, NAN),  # beyond the budget
    ],
)
def test_objectives_are_unknown_where_the_record_lacks_what_they_are_computed_from(
    config: dict[str, object], kl: float, base: float
) -> None:
    record = run(config, eval__kl=[kl] * 4, eval__base_score=[base] * 4, eval__length=[20.0] * 4)
    assert recompute_objectives(record) is None
    assert not is_worth_the_base(record)


ONE, TWO = (["trial 1"], {"a<=1": 0.5, "b<=1": -1.0}), (["trial 2"], {"a<=1": 0.0, "b<=1": 2.0})
KEPT, BOTH = (["trial 3"], {"a<=1": 0.0, "b<=1": -1.0}), (["trial 4", "trial 5", "trial 6"], {"a<=1": 1.0, "b<=1": NAN})
UNKNOWN = (["trial 7"], {"a<=1": NAN, "b<=1": -1.0})


@pytest.mark.parametrize(
    ("held", "lines"),
    [
        ([KEPT], []),
        ([ONE, KEPT], ["1 trial breaks a<=1 and cannot win: trial 1"]),
        ([ONE, KEPT, TWO], ["2 trials break a<=1 and b<=1 and cannot win: trial 1 and trial 2"]),
        # What breaks one limit is not told as unknown for another.
        ([BOTH, ONE], ["2 settings break a<=1 and cannot win: trial 4 with 2 others and trial 1"]),
        (
            [KEPT, UNKNOWN],
            [
                "The record does not show whether 1 trial keeps a<=1, so it cannot win: trial 7",
            ],
        ),
        (
            [UNKNOWN, ONE, UNKNOWN],
            [
                "1 trial breaks a<=1 and cannot win: trial 1",
                "The record does not show whether 2 trials keep a<=1, so they cannot win: trial 7 and trial 7",
            ],
        ),
    ],
)
def test_what_does_not_keep_its_limits_is_told(held: list[ConstrainedSetting], lines: list[str]) -> None:
    assert write_constraint_sentences(held, "trial") == lines
