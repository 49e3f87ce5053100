"""Overrides and distributions, there and back: expectations by hand, and from Hydra's own parser and sweeper."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.sweep.search.search_space import Parameter, SearchSpace

HYDRA = OverridesParser.create()
SEARCH = "ppo.gamma=interval(0.9,1)"  # one interval makes the others part of a search


def space(
    *overrides: str,
    params: Mapping[str, Any] | None = None,
    conditions: Mapping[str, Any] | None = None,
    ties: Sequence[Sequence[str]] = (),
    config_loader: Any = None,
) -> SearchSpace:
    return SearchSpace.parse(list(overrides), params or {}, conditions or {}, ties, config_loader)


def parameter(*overrides: str, **keywords: Any) -> Parameter:
    return space(*overrides, **keywords).parameters[0]


def error(*overrides: str, **keywords: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        space(*overrides, **keywords)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("value", "distribution"),
    [
        ("interval(0,1)", FloatDistribution(0, 1)),
        ("tag(log,interval(1e-6,1e-4))", FloatDistribution(1e-6, 1e-4, log=True)),
        ("int(interval(1,10))", IntDistribution(1, 10)),
        ("tag(int,interval(1,10))", IntDistribution(1, 10)),
        ("tag(int,log,interval(1,1024))", IntDistribution(1, 1024, log=True)),
        ("int(tag(log,interval(1,1024)))", IntDistribution(1, 1024, log=True)),
        ("tag(step:0.5,interval(0,2))", FloatDistribution(0, 2, step=0.5)),
        ("tag('step=0.5',interval(0,2))", FloatDistribution(0, 2, step=0.5)),
        # The last value that the step reaches; Optuna would warn.
        ("tag(step:0.3,interval(0.1,1))", FloatDistribution(0.1, 1.0, step=0.3)),
        ("tag(step:0.4,interval(0.1,1))", FloatDistribution(0.1, 0.9, step=0.4)),
        ("tag(int,step:4,interval(1,10))", IntDistribution(1, 9, step=4)),
        # A range's stop is not in it.
        ("range(1,10)", IntDistribution(1, 9)),
        ("range(1,10,3)", IntDistribution(1, 7, step=3)),
        ("range(10,1,-3)", IntDistribution(4, 10, step=3)),
        ("range(4)", IntDistribution(0, 3)),
        ("range(0,1,0.1)", FloatDistribution(0, 0.9, step=0.1)),
        ("range(0.1,0.8,0.1)", FloatDistribution(0.1, 0.7, step=0.1)),
        ("range(0,2.1,0.7)", FloatDistribution(0, 1.4, step=0.7)),
        ("range(1,0,-0.25)", FloatDistribution(0.25, 1, step=0.25)),
        ("float(range(1,4))", FloatDistribution(1, 3, step=1)),
        ("tag(log,range(1,100))", IntDistribution(1, 99, log=True)),
        ("tag(int,range(0.0,4.0,2.0))", IntDistribution(0, 2, step=2)),
        # No float is written 0.5000000000000000001: a range that Optuna would cut short stays a list.
        ("range(1e-19,1,0.5)", CategoricalDistribution([1e-19, 0.5])),
        ("shuffle(range(1,4))", CategoricalDistribution([1, 2, 3])),
        ("1,2,4", CategoricalDistribution([1, 2, 4])),
        ("choice(1e-5,0.5,3)", CategoricalDistribution([1e-5, 0.5, 3])),
        ("sort(4,1,2)", CategoricalDistribution([1, 2, 4])),
        ("shuffle(4,1,2)", CategoricalDistribution([4, 1, 2])),
        ("a,b", CategoricalDistribution(["a", "b"])),
        ("1,1,2", CategoricalDistribution([1, 2])),
        ("1,1.0", CategoricalDistribution(["1", "1.0"])),
        ("1,true", CategoricalDistribution(["1", "True"])),
        ("2,true", CategoricalDistribution(["2", "True"])),
        ("1,inf", CategoricalDistribution(["1", "inf"])),
        ("null,'x,y',[1,2]", CategoricalDistribution(["null", "'x,y'", "[1,2]"])),
    ],
)
def test_syntax_in_a_search(value: str, distribution: BaseDistribution) -> None:
    assert parameter(f"x={value}", SEARCH).distribution == distribution
    assert space(SEARCH, params={"x": value}).parameters[0].distribution == distribution


@pytest.mark.parametrize(
    ("value", "distribution"),
    [
        ({"type": "float", "low": 0, "high": 1}, FloatDistribution(0, 1)),
        ({"type": "float", "low": 1e-6, "high": 1e-4, "log": True}, FloatDistribution(1e-6, 1e-4, log=True)),
        ({"type": "float", "low": 0, "high": 1, "step": 0.25}, FloatDistribution(0, 1, step=0.25)),
        ({"type": "int", "low": 1, "high": 8, "step": None, "log": True}, IntDistribution(1, 8, log=True)),
        ({"type": "int", "low": 1, "high": 8, "step": 3}, IntDistribution(1, 7, step=3)),
        ({"type": "categorical", "choices": [1, 2]}, CategoricalDistribution([1, 2])),
        ({"type": "categorical", "choices": ["null", None]}, CategoricalDistribution(["'null'", "null"])),
    ],
)
def test_params_as_mappings(value: dict[str, Any], distribution: BaseDistribution) -> None:
    assert parameter(SEARCH, params={"x": value}).distribution == distribution


def test_grid_or_search() -> None:
    assert space("a=1,2", "b=range(3)", "c=choice(x)").is_grid
    assert not space("a=1,2", SEARCH).is_grid
    assert not space(params={"a": {"type": "int", "low": 1, "high": 2}}).is_grid
    assert (space("a=1").is_grid, space("a=1").grid()) == (True, [{}])
    # In a grid, a range is a list like any other.
    assert parameter("b=range(3)").distribution == CategoricalDistribution([0, 1, 2])


def test_what_is_not_swept_is_forwarded() -> None:
    swept = space("+new=3", "ppo.lr=1e-5,1e-6", "~tracking", "name='a, b'", params={"eval.every": None, "seed": 7})
    assert swept.fixed == ["eval.every=null", "seed=7", "+new=3", "~tracking", "name='a, b'"]
    assert swept.overrides({"ppo.lr": 1e-6}) == [*swept.fixed, "ppo.lr=1e-06"]
    assert space(params={"x": [1, "a,b"], "y": True, "z": "x y"}).fixed == [r"x=[1,a\,b]", "y=True", "z=x y"]


def test_what_is_typed_wins_over_params_in_their_place() -> None:
    swept = space("b=3,4", "c=5,6", "d=9", params={"a": "1,2", "b": "interval(0,1)", "d": "7,8", "x": 0})
    assert [entry.name for entry in swept.parameters] == ["a", "b", "c"]
    assert swept.is_grid
    assert swept.fixed == ["d=9", "x=0"]
    assert space("x=3", params={"+x": "1,2"}).fixed == ["x=3"]


GRIDS = [
    ["a=1,2", "b=x,y,z", "c=3"],
    ["b=range(1,4)", "a=range(0,1,0.1)"],
    ["a=range(0.1,1,0.2)", "model@x=a,b", "+new=1,null", "++other=true,false"],
    ["a='x,y',\"it's\",[1,2],{k:v}", "b=choice(1)", r"c=a\,b,c\ d,/x/y.z-1", "d=1e-5,2.0"],
    ["a=sort(c,a,b)", "b=sort(range(1,5),reverse=true)", "c=float(range(1,3))", "d=str(a,b)", "e=bool(0,1)"],
]


@pytest.mark.parametrize("overrides", GRIDS)
def test_grids_are_hydras(overrides: list[str]) -> None:
    grid = space(*overrides)
    (jobs,) = BasicSweeper.split_arguments(HYDRA.parse_overrides(overrides), max_batch_size=None)
    points = grid.grid()
    assert len(points) == len(jobs)
    for point, job in zip(points, jobs, strict=True):
        assert sorted(grid.overrides(point)) == sorted(job)


def test_a_glob_is_the_groups_options(tmp_path: Any) -> None:
    (tmp_path / "model").mkdir()
    for name in ("tiny", "small", "other"):
        (tmp_path / "model" / f"{name}.yaml").write_text("x: 1\n")
    loader = ConfigLoaderImpl(create_config_search_path(str(tmp_path)))
    assert space("model=glob(*)", config_loader=loader).grid() == [
        {"model": "other"},
        {"model": "small"},
        {"model": "tiny"},
    ]
    assert parameter("model=glob([t*,s*],exclude=tiny)", config_loader=loader).texts == ("small",)
    assert error("model=glob(z*)", config_loader=loader) == "model=glob(z*): holds no value; must hold at least one"
    assert error("model=glob(*)").startswith("model=glob(*): there are no config groups here")


def test_equal_points_are_one() -> None:
    assert space("a=1,2,1", "b=x,x").grid() == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]


def test_a_shuffled_grid_is_one_order_of_the_same_points() -> None:
    grid = space("a=shuffle(range(100))", "b=x,y")
    points = [(point["a"], point["b"]) for point in grid.grid()]
    assert sorted(points) == [(a, b) for a in range(100) for b in "xy"]
    assert points != sorted(points)
    assert [b for _, b in points[:4]] == ["x", "y", "x", "y"]
    assert [(point["a"], point["b"]) for point in grid.grid()] == points
    assert grid.describe() == space("a=range(100)", "b=x,y").describe()
    # A study that is continued compares choices with their order.
    assert grid.parameters[0].distribution == CategoricalDistribution(list(range(100)))


def random_text(draw: random.Random) -> str:
    return "".join(draw.choice("ab1 .,:=()[]{}\\'\"$-+_/%*?|~#\téN") for _ in range(draw.randrange(6)))


def random_value(draw: random.Random, depth: int = 0) -> Any:
    kinds: list[Callable[[], Any]] = [
        lambda: random_text(draw),
        lambda: draw.choice(["null", "true", "1", "1e-5", "nan", "", " ", "${x}", "a,b", "choice(1,2)", "\\"]),
        lambda: draw.choice([None, True, False]),
        lambda: draw.randrange(-(10**9), 10**9),
        lambda: draw.uniform(-1, 1) * 10.0 ** draw.randrange(-20, 20),
    ]
    if depth < 2:
        kinds.append(lambda: [random_value(draw, depth + 1) for _ in range(draw.randrange(4))])
        kinds.append(lambda: {f"k{n}": random_value(draw, depth + 1) for n in range(draw.randrange(3))})
    return draw.choice(kinds)()


def typed(value: Any) -> Any:
    """The value with its types, since 1 == 1.0 == True."""
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    return type(value), value


def test_any_choice_comes_back_from_hydra() -> None:
    draw = random.Random(0)
    for _ in range(60):
        values = [random_value(draw) for _ in range(4)]
        swept = space(params={"x": {"type": "categorical", "choices": values}})
        seen = [typed(HYDRA.parse_override(swept.overrides(point)[0]).value()) for point in swept.grid()]
        expected = [typed(value) for value in values]
        assert seen == [value for n, value in enumerate(expected) if value not in expected[:n]]
        fixed = space(params={"x": values}).fixed
        assert typed(HYDRA.parse_override(fixed[0]).value()) == expected


def test_strings_that_look_like_something_else_stay_strings() -> None:
    # Hydra drops the quotes of a function's arguments.
    for override in ("x='1','null'", "x=choice('1','null')", "x=str(1,'null')"):
        swept = space(override)
        assert [HYDRA.parse_override(swept.overrides(point)[0]).value() for point in swept.grid()] == ["1", "null"]


def test_any_number_comes_back_from_hydra() -> None:
    draw = random.Random(1)
    swept = space("lr=tag(log,interval(1e-30,1e30))", "n=tag(int,interval(-1e9,1e9))", "+s=range(0,1,0.1)")
    for _ in range(100):
        point = {"lr": 10 ** draw.uniform(-30, 30), "n": draw.randrange(-(10**9), 10**9), "+s": draw.randrange(10) / 10}
        seen = {key.get_key_element(): key.value() for key in HYDRA.parse_overrides(swept.overrides(point))}
        assert typed(seen) == typed(point)
    # Some samplers hand out NumPy's numbers, whose repr is another.
    assert swept.settings({"lr": np.float64(0.5), "n": np.int64(3), "+s": 0.1}) == {"lr": "0.5", "n": "3", "+s": "0.1"}


def test_ranges_by_exact_arithmetic() -> None:
    draw = random.Random(2)
    for _ in range(100):
        start, step, count = draw.randrange(-50, 50), draw.randrange(1, 30), draw.randrange(1, 20)
        stop = (
            start + step * count - draw.randrange(step)
        )  # in hundredths; the last value is start + step * (count - 1)
        found = parameter(f"x=range({start / 100},{stop / 100},{step / 100})", SEARCH).distribution
        low, high = start / 100, (start + step * (count - 1)) / 100
        assert found == FloatDistribution(low, high, step=step / 100)


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


def test_probes_visit_every_choice_and_both_bounds() -> None:
    swept = space(
        "a=x,y,z",
        "b=int(interval(1,9))",
        "c=interval(0,1)",
        "e=3,4",
        conditions={"b": {"e": 4}, "e": {"a": ["y", "z"]}},
    )
    expected = [
        {"a": "x", "c": 0.0},
        {"a": "y", "c": 0.0, "e": 3},
        {"a": "z", "c": 0.0, "e": 3},
        {"a": "y", "b": 1, "c": 0.0, "e": 4},
        {"a": "y", "b": 9, "c": 0.0, "e": 4},
        {"a": "x", "c": 1.0},
    ]
    assert swept.probes() == expected
    assert space("a=1,2", "b=x,y").probes() == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}, {"a": 1, "b": "y"}]


def test_spaces_are_the_same_if_they_are_described_the_same() -> None:
    same = [
        ("x=tag(log,interval(1e-6,1e-4))", "x=tag(log,interval(0.000001,0.0001))"),
        ("x=int(interval(1,9))", "x=tag(int,step:1,interval(1,9))"),
        ("x=range(1,10,4)", "x=tag(int,step:4,interval(1,11))"),
        ("x=a,b", "x=shuffle(choice(a,b))"),
        ("x=1,2", "x=1,2,1"),
    ]
    for one, other in same:
        assert space(one, SEARCH).describe() == space(other, SEARCH).describe()
    different = ["x=interval(0,1)", "x=tag(log,interval(0.1,1))", "x=interval(0.1,1)", "x=int(interval(0,1))", "x=0,1"]
    different += ["x=tag(step:0.5,interval(0,1))", "x=1,0", "x=0.0,1.0", "x='0','1'", "x=range(3)", "x=0,1,2", "+x=0,1"]
    assert len({json.dumps(space(one, SEARCH).describe(), sort_keys=True) for one in different}) == len(different)


def test_a_description_names_conditions_and_ties() -> None:
    base = ("a=x,y", "b=tag(log,interval(1,8))", "c=int(interval(1,3))", "d=1,2")
    swept = space(*base, conditions={"b": {"d": 2, "a": ["y", "x"]}}, ties=[["b", "c"]])
    assert swept.describe() == {
        "a": "choice(x,y)",
        "b": "tag(log,interval(1.0,8.0)) with c=tag(int,interval(1,3)) if a=x,y and d=2",
        "d": "choice(1,2)",
    }
    again = space(*reversed(base), conditions={"b": {"a": ["x", "y"], "d": [2]}}, ties=[["b", "c"]])
    assert again.describe() == swept.describe()


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("x=tag(log,interval(0,1))", "> 0"),
        ("x=interval(2,1)", "lower one first"),
        ("x=interval(0,inf)", "finite"),
        ("x=interval(nan,1)", "finite"),
        ("x=tag(int,interval(1.5,4))", "whole numbers"),
        ("x=tag(int,step:0.5,interval(1,4))", "whole numbers"),
        ("x=tag(log,step:0.5,interval(1,4))", "exclude"),
        ("x=tag(log,int,step:2,interval(1,4))", "exclude"),
        ("x=tag(step:0,interval(1,4))", "step must be > 0"),
        ("x=tag(step:nan,interval(1,4))", "step must be > 0"),
        ("x=tag(step:abc,interval(1,4))", "allowed are int, log and one step:<number>"),
        ("x=tag(step:1,step:2,interval(1,4))", "allowed are"),
        ("x=tag(loq,interval(1,4))", "the tag loq; allowed are"),
        ("x=tag(loq,range(1,4))", "the tag loq; allowed are"),
        ("x=tag(log,choice(1,4))", "takes no tags"),
        ("x=tag(step:2,range(1,4))", "third argument"),
        ("x=tag(int,range(0,4,0.5))", "whole numbers"),
        ("x=tag(log,range(0.5,4,0.5))", "exclude"),
        ("x=range(1,4,0)", "step other than 0"),
        ("x=tag(step:0.893360367373017,interval(1.92027437995e-05,6.25))", "too many digits"),
        ("x=range(4,1)", "holds no value"),
        ("x=range(0,inf)", "finite"),
        ("x=range(0,1,1e-9)", "more than 1000000 values"),
        ("x=choice(1,choice(2,3))", "sweeps within"),
        ("x=1,range(1,2)", "sweeps within"),
        ("x=a,glob(*)", "sweeps within"),
        ("x=1,,2", "Hydra's syntax"),
        ("x=interval(1)", "Hydra's syntax"),
        ("x=foo(1)", "Hydra's syntax"),
        ("x=int(a,b)", "Hydra's syntax"),
        ("x=1,[interval(0,1)]", "Hydra's syntax"),
        (f"x=range(0,{10**400})", "Hydra's syntax"),
        ("x=tag(step:1e-300,interval(0,1))", "Hydra's syntax"),
    ],
)
def test_what_cannot_be_swept(override: str, says: str) -> None:
    message = error(override)
    assert message.startswith(f"{override}: ")
    assert says in message


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"low": 0, "high": 1}, "type must be one of float, int, categorical"),
        ({"type": "float", "low": 0}, "must have high and low"),
        ({"type": "float", "low": 0, "high": 1, "stp": 1}, "perhaps step"),
        ({"type": "float", "low": "0", "high": 1}, "must be numbers"),
        ({"type": "float", "low": 0, "high": True}, "must be numbers"),
        ({"type": "float", "low": 0, "high": 1, "log": True}, "> 0"),
        ({"type": "float", "low": 1, "high": 2, "log": "no"}, "true or false"),
        ({"type": "int", "low": 0.5, "high": 1}, "whole numbers"),
        ({"type": "categorical", "choices": "a,b"}, "must be a list"),
        ({"type": "categorical", "choices": []}, "holds no value"),
    ],
)
def test_what_params_cannot_be(value: dict[str, Any], says: str) -> None:
    message = error(params={"ppo.lr": value})
    assert message.startswith("ppo.lr={")
    assert says in message


def test_a_swept_key_is_given_once() -> None:
    for overrides in (("x=1,2", "x=3,4"), ("x=1,2", "x=3"), ("x=3", "x=1,2"), ("+x=1,2", "x=3")):
        assert "given 2 times; a key that is swept must be given once" in error(*overrides)
    assert "given 2 times" in error(params={"x": "1,2", "+x": "1,2"})
    assert space("x=1", "x=2").fixed == ["x=2"]


def test_a_search_does_not_choose_seeds() -> None:
    message = "seed: a search does not choose seeds; sweep.seeds=3 averages over them"
    assert error("seed=0,1,2", SEARCH) == error(SEARCH, params={"seed": "range(3)"}) == message
    assert error("seed=int(interval(0,9))") == message
    assert space("seed=3", SEARCH).fixed == ["seed=3"]


@pytest.mark.parametrize(
    ("conditions", "says"),
    [
        ({"z": {"a": "x"}}, "conditions: z is not swept (swept: a, b, c)"),
        ({"b": {"z": 1}}, "conditions.b: z is not swept (swept: a, b, c)"),
        ({"b": {"a": "w"}}, "conditions.b.a=w: never takes w (values: x, y)"),
        ({"b": {"a": []}}, "conditions.b: can never hold, as no value of a is left"),
        ({"a": {"c": 0.5}}, "conditions.a.c=0.5: c must be swept over a list, is an interval"),
        ({"b": "a"}, "conditions.b=a: must be a mapping"),
        ({"a": {"a": "x"}}, "conditions: a needs a; must not lead back"),
        ({"a": {"b": 1}, "b": {"a": "x"}}, "conditions: a needs b needs a; must not lead back"),
        # c would need a=x, but b, which it needs too, is there with a=y alone.
        ({"b": {"a": "y"}, "c": {"a": "x", "b": 1}}, "conditions.c: can never hold"),
    ],
)
def test_conditions_that_cannot_be(conditions: dict[str, Any], says: str) -> None:
    assert error("a=x,y", "b=1,2", "c=interval(0,1)", conditions=conditions).startswith(says)


@pytest.mark.parametrize(
    ("ties", "says"),
    [
        ([["a", "z"]], "ties: z is not swept (swept: a, b, c, d, e)"),
        ([["a", "b"]], "ties: a, b: must be lists of the same length (a has 2, b has 3)"),
        ([["a", "c"]], "ties: a, c: must be all lists or all intervals (intervals: c)"),
        ([["a", "d"], ["a", "e"]], "ties: a: is in there twice"),
        ([["a", "a"]], "ties: a: is in there twice"),
        ([["a"]], "ties: ['a']: must be a list of two keys or more"),
        (["ab"], "ties: ab: must be a list of two keys or more"),
        ([["d", "e"]], "ties: d, e: one of them must have no value twice"),
    ],
)
def test_ties_that_cannot_be(ties: Any, says: str) -> None:
    assert error("a=x,y", "b=1,2,3", "c=interval(0,1)", "d=1,1", "e=p,p", ties=ties).startswith(says)


def test_plus_signs_may_be_left_out_in_conditions_and_ties() -> None:
    swept = space("+a=x,y", "++b=1,2", "c=1,2", conditions={"c": {"a": "x"}}, ties=[["a", "b"]])
    assert [tuple(swept.overrides(point)) for point in swept.grid()] == [
        ("+a=x", "++b=1", "c=1"),
        ("+a=x", "++b=1", "c=2"),
        ("+a=y", "++b=2"),
    ]


def test_the_last_of_all_choices_is_the_bound_itself() -> None:
    """0.1 + 2 * 0.1 is more than 0.3."""
    space = SearchSpace.parse(["x=tag(step:0.1,interval(0.1,0.3))", "y=tag(int,step:2,interval(1,6))"], {}, {}, [])
    found = space.choices(most=9) or []
    assert {point["x"] for point in found} == {0.1, 0.2, 0.3}
    assert {point["y"] for point in found} == {1, 3, 5}
    assert space.choices(most=8) is None
