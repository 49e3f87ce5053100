"""What a run is worth by its record alone: which updates count, with and without a KL."""

import math

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
