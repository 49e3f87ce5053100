"""The override grammar there and back: what is typed becomes a space, a point of it, a text that means the same.

Values are drawn at random; Hydra's own parser says what a text means.
"""

import math
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from rlhf_sweeps.record import write_override
from rlhf_sweeps.sweep.search.axes import to_text
from rlhf_sweeps.sweep.search.search_space import SearchSpace

few = settings(max_examples=20, derandomize=True, deadline=None, database=None)
ODD_TEXTS = ("null", "1", "1.0", "1e-4", "true", "nan", "a b", " a", "it's", '"', "\\", "\\'", "${x}", "[1,2]", "{a:1}",
             "a=b", "a,b", "(", "tag(int,1)", "", "é", "-", "+1", "a:b", "0x1", "1_000")  # fmt: skip
TEXTS = st.sampled_from(ODD_TEXTS) | st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029\x85"), max_size=10
)
NUMBERS = st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = TEXTS | NUMBERS | st.booleans() | st.none()


def meant(text: str) -> Any:
    """What Hydra gives a key of which this stands behind the equals sign."""
    value = OverridesParser.create().parse_override(f"key={text}").value()
    return value.text if isinstance(value, QuotedString) else value


def is_same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def parse(*overrides: str, **params: Any) -> SearchSpace:
    return SearchSpace.parse(list(overrides), params, {}, [])


@few
@given(VALUES)
def test_a_value_is_written_as_hydra_reads_it(value: Any) -> None:
    assert is_same(meant(to_text(value)), value)


@few
@given(st.lists(VALUES, min_size=1, max_size=4) | st.dictionaries(st.sampled_from("abc"), VALUES, min_size=1))
def test_so_are_lists_and_mappings_of_values(value: Any) -> None:
    found = meant(to_text(value))
    plain = found.values() if isinstance(found, dict) else found
    given_ones = value.values() if isinstance(value, dict) else value
    assert len(plain) == len(given_ones)
    for one, other in zip(plain, given_ones, strict=True):
        assert is_same(one.text if isinstance(one, QuotedString) else one, other)


@few
@given(st.lists(VALUES, min_size=2, max_size=5, unique_by=lambda value: (type(value), str(value))))
def test_a_list_of_choices_comes_back_value_by_value(values: list[Any]) -> None:
    """From text to space to point to text, for lists on the command line and in params."""
    typed = f"key={','.join(map(to_text, values))}"
    spaces = [parse(typed), parse(key={"type": "categorical", "choices": values})]
    for space in spaces:
        points = space.grid()
        assert len(points) == len(values)
        for point, value in zip(points, values, strict=True):
            assert is_same(meant(space.settings(point)["key"]), value)
            assert space.overrides(point) == [f"key={space.settings(point)['key']}"]
        # The description is what can be typed, and means the same space.
        again = parse(f"key={space.describe()['key'].removeprefix('choice(').removesuffix(')')}")
        assert again.describe() == space.describe()
        assert isinstance(space.parameters[0].distribution, CategoricalDistribution)
        assert again.parameters[0].distribution == space.parameters[0].distribution


INTERVALS = st.one_of(
    st.tuples(NUMBERS, NUMBERS, st.none(), st.just(False)),
    st.tuples(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9), st.none(), st.just(True)),
    st.tuples(st.integers(1, 999), st.integers(1, 999), st.integers(1, 7), st.just(False)),
    st.tuples(st.integers(1, 999), st.integers(1, 999), st.none(), st.just(True)),
)


@few
@given(INTERVALS, st.floats(0, 1))
def test_an_interval_comes_back_with_its_bounds_step_and_scale(given_one: Any, share: float) -> None:
    one, other, step, is_log = given_one
    low, high = sorted((one, other))
    is_int = isinstance(low, int) and isinstance(high, int)
    tags = [*(["int"] if is_int else []), *(["log"] if is_log else []), *([f"step:{step}"] if step else [])]
    body = f"interval({low!r},{high!r})"
    space = parse(f"key=tag({','.join(tags)},{body})" if tags else f"key={body}")
    found = space.parameters[0].distribution
    assert isinstance(found, IntDistribution if is_int else FloatDistribution)
    assert (found.low, found.log) == (low, is_log)
    # The last value that a step reaches, counted in whole numbers.
    assert found.high == (high if not step else low + (high - low) // step * step)
    assert found.step == (step or (1 if is_int else None))
    assert parse(f"key={space.describe()['key']}").parameters[0].distribution == found
    value = found.low + share * (found.high - found.low)
    drawn = int(value) if is_int else value
    (text,) = space.settings({"key": drawn}).values()
    assert is_same(meant(text), drawn)
    assert math.isfinite(drawn)


@few
@given(TEXTS)
def test_a_text_in_a_printed_command_is_the_text(text: str) -> None:
    """As OmegaConf resolves it, to which ${ is escaped."""
    read = meant(write_override("key", text).removeprefix("key="))
    assert OmegaConf.create({"key": read}).key == text


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_texts_stay_texts_in_a_list(text: str) -> None:
    assert meant(to_text([text, 1])) == [text, 1]
