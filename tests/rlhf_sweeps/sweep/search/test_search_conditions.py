"""Keys that count under conditions alone, in grids and in searches."""

from typing import Any

from helpers.search_spaces import HYDRA, space
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from optuna.distributions import BaseDistribution, CategoricalDistribution

CONDITIONAL = ("ppo.kl_target=6.0,null", "ppo.kl_in=reward,loss", "ppo.kl_coef=0.1,0.2")


def test_conditions_in_a_grid() -> None:
    grid = space(*CONDITIONAL, conditions={"ppo.kl_target": {"ppo.kl_in": "reward"}})
    assert grid.parameters[0].when == {"ppo.kl_in": ("reward",)}
    # Hydra's order; where kl_target does not count, only its first value's points.
    assert [list(grid.settings(point).values()) for point in grid.grid()] == [
        ["6.0", "reward", "0.1"],
        ["6.0", "reward", "0.2"],
        ["loss", "0.1"],
        ["loss", "0.2"],
        ["null", "reward", "0.1"],
        ["null", "reward", "0.2"],
    ]


def test_a_conditional_grid_is_the_product_with_duplicates_merged() -> None:
    conditions = {"a": {"c": [1, 2]}, "d": {"a": "x"}, "b": {"c": 3, "e": True}}
    overrides = ["a=x,y", "b=range(3)", "c=1,2,3", "d=p,q", "e=true,false"]
    (jobs,) = BasicSweeper.split_arguments(HYDRA.parse_overrides(overrides), max_batch_size=None)
    expected: dict[tuple[str, ...], None] = {}
    for job in jobs:
        a, b, c, d, e = job
        a = a if c in ("c=1", "c=2") else ""
        expected[tuple(filter(None, (a, b if (c, e) == ("c=3", "e=True") else "", c, d if a == "a=x" else "", e)))] = (
            None
        )
    swept = space(*overrides, conditions=conditions)
    assert [tuple(swept.overrides(point)) for point in swept.grid()] == list(expected)
    # The child's conditions include its parent's.
    assert swept.parameters[3].when == {"a": ("x",), "c": ("1", "2")}


def test_suggest_asks_parents_first_and_only_for_what_is_active() -> None:
    swept = space(
        "ppo.kl_horizon=int(interval(1,9))",
        "ppo.kl_target=tag(log,interval(1,10))",
        "ppo.kl_in=reward,loss",
        conditions={"ppo.kl_target": {"ppo.kl_in": ["reward"]}, "ppo.kl_horizon": {"ppo.kl_in": "reward"}},
    )
    asked: list[str] = []

    def answer(values: dict[str, Any]) -> dict[str, Any]:
        def suggest(name: str, distribution: BaseDistribution) -> Any:
            assert distribution == {entry.name: entry.distribution for entry in swept.parameters}[name]
            asked.append(name)
            return values[name]

        return swept.suggest(suggest)

    assert answer({"ppo.kl_in": "loss"}) == {"ppo.kl_in": "loss"}
    values = {"ppo.kl_in": "reward", "ppo.kl_horizon": 3, "ppo.kl_target": 2.5}
    assert answer(values) == values
    assert asked == ["ppo.kl_in", "ppo.kl_in", "ppo.kl_horizon", "ppo.kl_target"]
    assert swept.overrides(values) == ["ppo.kl_horizon=3", "ppo.kl_target=2.5", "ppo.kl_in=reward"]
    assert swept.settings({"ppo.kl_in": "loss", "ppo.kl_target": 2.5}) == {"ppo.kl_in": "loss"}


def test_condition_values_are_taken_as_values_or_as_texts() -> None:
    def positions(value: Any, choices: str = "1,true,null,'a,b',[1,2],2.5,'1'") -> tuple[str, ...]:
        return space(f"p={choices}", "c=interval(0,1)", conditions={"c": {"p": value}}).parameters[1].when["p"]

    assert positions(1) == ("1",)
    assert positions(True) == ("True",)
    assert positions(None) == ("null",)
    assert positions("a,b") == positions("'a,b'") == ("'a,b'",)
    assert positions("[1,2]") == ("[1,2]",)
    assert positions("1") == ("'1'",)
    assert positions([2.5, 1]) == ("1", "2.5")
    assert positions("1", choices="1,2") == ("1",)
    # A range that others depend on is a list, also in a search.
    assert positions(2, choices="range(4)") == ("2",)
    swept = space("p=range(4)", "c=interval(0,1)", conditions={"c": {"p": 2}})
    assert swept.parameters[0].distribution == CategoricalDistribution([0, 1, 2, 3])
    assert (swept.settings({"p": 1}), swept.settings({"p": 2, "c": 0.5})) == ({"p": "1"}, {"p": "2", "c": "0.5"})


def test_plus_signs_may_be_left_out_in_conditions_and_ties() -> None:
    swept = space("+a=x,y", "++b=1,2", "c=1,2", conditions={"c": {"a": "x"}}, ties=[["a", "b"]])
    assert [tuple(swept.overrides(point)) for point in swept.grid()] == [
        ("+a=x", "++b=1", "c=1"),
        ("+a=x", "++b=1", "c=2"),
        ("+a=y", "++b=2"),
    ]
