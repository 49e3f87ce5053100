"""Any value that is chosen comes back from Hydra's own parser as it was."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from helpers.search_spaces import HYDRA, space


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
