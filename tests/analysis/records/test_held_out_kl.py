"""The KL that the budget is held against, where a run has upper bounds in a part of its evaluations."""

import math

import numpy as np

from analysis.comparison.run_values import find_best_update
from analysis.health.policy import check_kl_budget
from analysis.records.final_policies import find_policy_of_run
from analysis.records.held_out_kl import select_held_out_kl
from analysis.records.runs import RunRecord

NAN = math.nan


def run(kls: list[float], bounds: list[float], **config: object) -> RunRecord:
    """Evaluated at updates 1 to 4, with a rising score and a budget of 5 nats, unless the keys of objective differ."""
    keys = {f"objective.{key}": value for key, value in config.items()}
    columns = {"update": np.arange(1.0, 5), "eval/score": np.array([0.1, 0.2, 0.3, 0.4]), "eval/kl": np.array(kls)}
    return RunRecord("0", {**columns, "eval/kl_bound": np.array(bounds)}, {"objective.kl_budget": 5.0} | keys)


CONTINUED = run([1.0, 4.0, 4.8, 9.0], [NAN, NAN, 5.1, NAN])


def test_each_evaluation_has_its_bound_or_else_its_kl() -> None:
    updates, kls, bounds = select_held_out_kl(run([1.0, NAN, 4.8, NAN], [NAN, 2.0, 5.1, NAN]))
    assert (updates.tolist(), kls.tolist(), bounds.tolist()) == ([1, 2, 3], [1.0, 2.0, 4.8], [1.0, 2.0, 5.1])
    without = RunRecord("0", {"update": np.arange(1.0, 5)}, {})
    assert [len(column) for column in select_held_out_kl(without)] == [0, 0, 0]


def test_the_best_of_a_continued_run_may_be_an_evaluation_without_a_bound() -> None:
    assert find_best_update(CONTINUED) == 2
    policy = find_policy_of_run(CONTINUED)
    assert policy is not None
    assert policy.update == 2


def test_a_net_score_chooses_the_best_of_a_run_that_has_no_summary() -> None:
    """Scores 0.1 ... 0.4 minus 0.05 a nat of 1, 3.5, 4.5 and 9: 0.05, 0.025, 0.075 and -0.05."""
    for metrics, update in (("['eval/net_score']", 3), ("['eval/score']", 4)):
        objective = {"kl_budget": None, "kl_price": 0.05, "metrics": metrics, "directions": "['maximize']"}
        record = run([1.0, 3.5, 4.5, 9.0], [NAN] * 4, **objective)
        policy = find_policy_of_run(record)
        assert policy is not None
        assert policy.update == find_best_update(record) == update
    within = run([1.0, 3.5, 4.5, 9.0], [NAN] * 4, **(objective | {"kl_budget": 4.0, "metrics": "['eval/net_score']"}))
    assert find_best_update(within) == 1


def test_a_continued_run_is_not_beyond_its_budget_by_its_bounds_alone() -> None:
    finding = check_kl_budget(CONTINUED)
    assert finding is not None
    later = "the later updates do not count"
    lowest = "(lowest: 4.8 nats, lowest upper bound: 5.1 nats)"
    assert finding.text == f"no evaluation after update 2 is within objective.kl_budget=5 {lowest}, so that {later}"
    beyond = check_kl_budget(run([1.0, 4.0, 5.3, 9.0], [1.2, 4.4, 5.6, 9.5]))
    assert beyond is not None
    assert (
        beyond.text
        == f"no evaluation after update 2 is within objective.kl_budget=5 (lowest: 5.3 nats), so that {later}"
    )


def test_the_lowest_kl_is_no_bound() -> None:
    finding = check_kl_budget(run([4.8, 6.0, 7.0, 8.0], [5.1, 6.5, 7.5, 8.5]))
    assert finding is not None
    assert "kl_budget=5 (lowest: 4.8 nats, lowest upper bound: 5.1 nats), so the run counts" in finding.text
    assert (finding.evidence["lowest KL"], finding.evidence["KL at the last evaluation"]) == (4.8, 8.0)
    beyond = check_kl_budget(run([5.2, 6.0, 7.0, 8.0], [5.4, 6.5, 7.5, 8.5]))
    assert beyond is not None
    assert "(lowest: 5.2 nats), so" in beyond.text
