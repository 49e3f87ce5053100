"""What cannot be searched is refused in one line that names it."""

from typing import Any

import pytest
from helpers.search_spaces import SEARCH, error, space


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
        ([["a", "d"], ["a", "e"]], "ties: a: is tied twice"),
        ([["a", "a"]], "ties: a: is tied twice"),
        ([["a"]], "ties: ['a']: must be a list of two keys or more"),
        (["ab"], "ties: ab: must be a list of two keys or more"),
        ([["d", "e"]], "ties: d, e: at least one of these lists must have no repeated values"),
    ],
)
def test_ties_that_cannot_be(ties: Any, says: str) -> None:
    assert error("a=x,y", "b=1,2,3", "c=interval(0,1)", "d=1,1", "e=p,p", ties=ties).startswith(says)
