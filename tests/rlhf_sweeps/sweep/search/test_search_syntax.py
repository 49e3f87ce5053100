"""What is given of a search, read and told back: expectations by hand."""

import json
import random
from typing import Any

import pytest
from helpers.search_spaces import SEARCH, parameter, space
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution


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
