"""Keys that are tied move together: lists by position, intervals by their relative position."""

import random

import pytest
from helpers.search_spaces import SEARCH, parameter, space
from optuna.distributions import CategoricalDistribution


def test_tied_lists_move_together() -> None:
    swept = space("a=x,x,y", "b=1,2,3", "c=p,q", ties=[["a", "b"]])
    assert [(entry.name, entry.distribution) for entry in swept.parameters] == [
        ("b", CategoricalDistribution([1, 2, 3])),
        ("c", CategoricalDistribution(["p", "q"])),
    ]
    assert [tuple(swept.settings(point).items()) for point in swept.grid()] == [
        (("a", a), ("b", b), ("c", c)) for a, b in (("x", "1"), ("x", "2"), ("y", "3")) for c in "pq"
    ]
    # In a search, a tied range is a list.
    assert parameter("a=range(3)", "b=x,y,z", SEARCH, ties=[["a", "b"]]).texts == ("0", "1", "2")


def test_tied_intervals_keep_their_relative_position() -> None:
    swept = space(
        "ppo.lr=tag(log,interval(1e-6,1e-2))",
        "ppo.value_lr=tag(log,interval(1e-5,1e-1))",
        "n=int(interval(10,20))",
        "ppo.gamma=interval(0.5,1)",
        "s=tag(step:0.1,interval(0.1,0.5))",
        "ppo.kl_coef=interval(0,1)",
        ties=[["ppo.lr", "ppo.value_lr", "n", "ppo.gamma", "s"]],
    )
    assert [entry.name for entry in swept.parameters] == ["ppo.lr", "ppo.kl_coef"]
    # 1e-5 is a quarter of the way from 1e-6 to 1e-2 in log.
    settings = swept.settings({"ppo.lr": 1e-5, "ppo.kl_coef": 0.25})
    assert {key: float(text) for key, text in settings.items()} == pytest.approx(
        {"ppo.lr": 1e-5, "ppo.value_lr": 1e-4, "n": 12, "ppo.gamma": 0.625, "s": 0.2, "ppo.kl_coef": 0.25}
    )
    assert (settings["ppo.lr"], settings["n"], settings["s"]) == ("1e-05", "12", "0.2")
    for value, ends in ((1e-6, ["1e-06", "1e-05", "10", "0.5", "0.1"]), (1e-2, ["0.01", "0.1", "20", "1.0", "0.5"])):
        assert list(swept.settings({"ppo.lr": value, "ppo.kl_coef": 0.5}).values()) == [*ends, "0.5"]
    # 1.9 of the 4 steps is 2; 0.1 + 2 * 0.1 would be 0.30000000000000004. 4.75 of 10 whole steps is 5.
    settings = swept.settings({"ppo.lr": 10**-4.1, "ppo.kl_coef": 0.25})
    assert (settings["s"], settings["n"]) == ("0.3", "15")


def test_tied_intervals_stay_within_their_bounds() -> None:
    draw = random.Random(3)
    for _ in range(100):
        low, high = sorted(round(10 ** draw.uniform(-2, 9), 6) for _ in range(2))
        for tag in ("tag(log,interval({0},{1}))", "interval({0},{1})", "tag(step:{2},interval({0},{1}))"):
            swept = space(
                "a=interval(0,3)", "b=" + tag.format(low, high, round((high - low) / 7, 6)), ties=[["a", "b"]]
            )
            for value in (0.0, 3.0):
                found = float(swept.settings({"a": value})["b"])
                assert low <= found <= high
                assert found == pytest.approx((low, high)[value > 0], rel=1e-9) or "step" in tag


def test_a_single_value_is_an_interval_too() -> None:
    swept = space("a=tag(log,interval(2,2))", "b=interval(1,4)", ties=[["a", "b"]])
    assert swept.probes() == [{"a": 2.0}]
    assert swept.settings({"a": 2.0}) == {"a": "2.0", "b": "1.0"}


def test_conditions_hold_for_all_that_is_tied() -> None:
    swept = space(
        "a=x,x,y", "b=1,2,3", "c=p,q", "d=7,8", ties=[["a", "b"]], conditions={"c": {"a": "x"}, "a": {"d": 7}}
    )
    when = {entry.name: dict(entry.when) for entry in swept.parameters}
    assert when == {"b": {"d": ("7",)}, "c": {"b": ("1", "2"), "d": ("7",)}, "d": {}}
    assert [swept.settings(point) for point in swept.grid() if point["d"] == 8] == [{"d": "8"}]
    assert len(swept.grid()) == 2 * 2 + 1 + 1
