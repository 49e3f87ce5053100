"""What a run is worth, from its recorded updates alone; every expectation by hand."""

import math
from dataclasses import replace

import pytest
from conftest import Compose

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import ObjectiveConfig
from rlhf_sweeps.verdicts.objective import (
    compute_objectives,
    compute_violations,
    describe_excess,
    select_updates_within_budget,
)


def row(update: int, score: float | None = None, kl: float = 1.0, train: float = 0.0) -> dict[str, float]:
    evaluated = (
        {} if score is None else {"eval/score": score, "eval/kl": kl, "eval/base_score": -0.5, "eval/length": 20.0}
    )
    return {"update": update, "objective/kl": kl, "objective/scores": train, **evaluated}


ROWS = [
    row(1, train=1.0),
    row(2, 0.5, 2.0, 2.0),
    row(3, train=4.0, kl=9.0),
    row(4, 0.9, 12.0, 3.0),
    row(5, 0.7, 4.0, 8.0),
]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), [0.9]),
        (("objective.kl_budget=10",), [0.7]),
        (("objective.kl_budget=1",), [-0.5]),  # the base policy's score
        (("objective.reduction=last",), [0.7]),
        (("objective.reduction=mean", "objective.mean_over=2"), [0.8]),
        (("objective.metrics=[objective/scores]",), [8.0]),
        (("objective.metrics=[objective/scores]", "objective.directions=[minimize]"), [1.0]),
        (("objective.metrics=[objective/scores]", "objective.reduction=mean"), [5.0]),
        (("objective.metrics=[objective/scores]", "objective.kl_budget=0.5"), None),
        (("objective.metrics=[eval/score,eval/kl]", "objective.directions=[maximize,minimize]"), [0.9, 12.0]),
        (
            ("objective.metrics=[eval/kl,eval/score]", "objective.directions=[minimize,maximize]"),
            [2.0, 0.5],
        ),
        (("objective.metrics=[eval/nothing]",), None),
    ],
)
def test_the_updates_that_count(
    overrides: tuple[str, ...], expected: list[float] | None, compose_config: Compose
) -> None:
    found = compute_objectives(ROWS, compose_config("objective.kl_budget=15", *overrides).objective)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("reduction", "budget", "expected"), [("best", 5.0, 0.9), ("best", 4.9, 0.7), ("last", 4.1, -0.5)]
)
def test_the_upper_bound_of_the_kl_counts(
    reduction: str, budget: float, expected: float, compose_config: Compose
) -> None:
    rows = [row(1, 0.9, 4.0) | {"eval/kl_bound": 5.0}, row(2, 0.7, 4.0) | {"eval/kl_bound": 4.2}]
    config = compose_config(f"objective.kl_budget={budget}", f"objective.reduction={reduction}").objective
    assert compute_objectives(rows, config) == [expected]


def test_the_frontier_is_the_mean_over_all_budgets_of_the_best_score_within_them(compose_config: Compose) -> None:
    """Up to 2 nats the base policy's -0.5, up to 4 nats 0.5, up to 10 nats 0.7; 0.9 at 12 nats is beyond the budget."""
    config = compose_config("objective.kl_budget=10", "objective.reduction=frontier").objective
    assert compute_objectives(ROWS, config) == [pytest.approx((-0.5 * 2 + 0.5 * 2 + 0.7 * 6) / 10)]
    assert compute_objectives(ROWS[:1], config) is None
    worse = [*ROWS, row(6, 0.6, 5.0), row(7, -0.9, 0.5)]  # worse than one with less KL, and than the base policy
    assert compute_objectives(worse, config) == compute_objectives(ROWS, config)
    bounded = [{**values, "eval/kl_bound": values["objective/kl"] + 1.0} for values in ROWS]
    assert compute_objectives(bounded, config) == [pytest.approx((-0.5 * 3 + 0.5 * 2 + 0.7 * 5) / 10)]
    unknown = [*ROWS, row(6, 5.0, math.nan), row(7, math.nan, 1.0)]
    assert compute_objectives(unknown, config) == compute_objectives(ROWS, config)
    before = compose_config("objective.kl_budget=1", "objective.reduction=frontier").objective
    assert compute_objectives(ROWS, before) == [-0.5]


@pytest.mark.parametrize(
    "overrides",
    [
        ("objective.kl_budget=null",),
        ("objective.metrics=[eval/kl]",),
        ("objective.directions=[minimize]",),
    ],
)
def test_a_frontier_of_anything_else_is_refused(overrides: tuple[str, ...], compose_config: Compose) -> None:
    with pytest.raises(
        ConfigError, match=r"^objective\.reduction=frontier: must have objective\.metrics=\[eval/score\]"
    ):
        compose_config("objective.reduction=frontier", *overrides)


def test_without_an_update_within_the_budget_the_net_score_is_the_base_policys(compose_config: Compose) -> None:
    rows = [{**row(1, 0.9, 4.0), "eval/net_score": 0.5}, {**row(2, 1.0, 6.0), "eval/net_score": 0.4}]
    for budget, expected in ((10, 0.5), (2, -0.5)):
        config = compose_config(f"objective.kl_budget={budget}", "objective.metrics=[eval/net_score]").objective
        assert compute_objectives(rows, config) == [expected]


def test_an_unknown_kl_is_not_within_the_budget(compose_config: Compose) -> None:
    config = compose_config("objective.kl_budget=5").objective
    rows = [row(1, 0.9, 4.0), row(2, 1.0, math.nan)]
    assert compute_objectives(rows, config) == [0.9]
    assert select_updates_within_budget(rows, config) == rows[:1]


def test_an_excess_names_the_bound_where_the_kl_alone_is_within_the_budget() -> None:
    assert describe_excess([23.1], [24.0], 15.0) == "KL 23.1 > 15"
    assert describe_excess([4.8], [5.12], 5.0) == "KL at most 5.12 > 5"
    assert describe_excess([40.0, 4.8], [41.0, 5.12], 5.0) == "KL at most 41, 5.12 > 5"
    assert describe_excess([40.0, 38.0], [41.0, 39.0], 5.0) == "KL 40, 38 > 5"
    assert describe_excess([40.0, 4.0], [41.0, 5.0], 5.0) is None
    assert describe_excess([40.0], [41.0], None) is None
    assert describe_excess([23.1], [None], 15.0) == "KL 23.1 > 15"  # an older record
    assert describe_excess([14.0], [None], 15.0) is None


def test_a_run_without_an_evaluation_is_worth_nothing_yet(compose_config: Compose) -> None:
    assert compute_objectives([row(1)], compose_config().objective) is None
    assert compute_objectives([], compose_config().objective) is None


def test_constraints_are_held_against_the_updates_that_count(compose_config: Compose) -> None:
    def config(*constraints: str) -> ObjectiveConfig:
        return compose_config("objective.kl_budget=15", f"objective.constraints={list(constraints)}").objective

    assert compute_violations(ROWS, config("eval/kl<=10", "eval/length>=25")) == {
        "eval/kl<=10": 2.0,
        "eval/length>=25": 5.0,
    }
    assert compute_violations(ROWS, config("eval/length<=1e3", "eval/length >= -5")) == {
        "eval/length<=1e3": -980.0,
        "eval/length >= -5": -25.0,
    }
    assert compute_violations([row(1)], config("eval/kl<=10")) == {}


def test_a_constraint_holds_also_where_the_update_that_counts_was_not_evaluated(compose_config: Compose) -> None:
    """The best of all updates is one of those between the evaluations: the newest length before it counts, 30."""
    config = compose_config(
        "objective.metrics=[objective/scores]", "objective.constraints=['eval/length<=10']", "objective.kl_budget=null"
    ).objective
    scores = {1: 0.1, 2: 0.2, 3: 0.9, 4: 0.3}
    rows = [{"update": update, "objective/scores": score, "objective/kl": 1.0} for update, score in scores.items()]
    rows[1]["eval/length"], rows[3]["eval/length"] = 30.0, 5.0
    assert compute_objectives(rows, config) == [0.9]
    assert compute_violations(rows, config) == {"eval/length<=10": 20.0}
    assert compute_violations(rows[2:], config) == {"eval/length<=10": -5.0}  # none before it: the next one


def test_what_is_no_number_is_not_the_best_and_the_newest_base_score_counts() -> None:
    config = ObjectiveConfig(["eval/score"], ["minimize"], "best", 3, 5.0, [])
    rows = [
        {"update": n, "eval/score": score, "eval/kl": kl, "objective/kl": 9.0, "eval/base_score": base}
        for n, (score, kl, base) in enumerate([(float("nan"), 1.0, 0.5), (2.0, 4.0, 0.25), (3.0, 6.0, 0.125)])
    ]
    for ordered in (rows, rows[::-1]):
        assert compute_objectives(ordered, config) == [2.0]
        assert compute_objectives(ordered, replace(config, directions=["maximize"])) == [2.0]
    assert compute_objectives(rows, replace(config, kl_budget=0.5)) == [0.125]
    assert compute_objectives(rows[:2], replace(config, kl_budget=0.5)) == [0.25]
