"""Figures as people read them."""

import math

import pytest

from rlhf_sweeps.figures import compare_p_value, format_interval, format_number, format_p_value, format_share


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.596, "1.6"),
        (1.6449, "1.64"),
        (-0.10604, "-0.106"),
        (12345.0, "12345"),
        (0.0001234, "0.000123"),
        (None, "-"),
        (math.nan, "-"),
        (-math.inf, "-inf"),
    ],
)
def test_a_number_has_three_digits(value: float | None, text: str) -> None:
    assert format_number(value) == text


def test_a_share_is_in_per_cent() -> None:
    assert [format_share(share) for share in (0.9634, 1.0, 0.07, 0.0, 0.00028)] == [
        "96.3 %", "100 %", "7 %", "0 %", "0.028 %",
    ]  # fmt: skip


def test_an_interval_and_a_p_value() -> None:
    assert format_interval(1.4149, 2.0851) == "[1.41, 2.09]"
    assert format_interval(math.nan, math.nan) == ""
    assert [format_p_value(0.03841), format_p_value(0.0009)] == ["0.0384", "< 0.001"]
    assert [compare_p_value(0.5), compare_p_value(1e-9)] == ["p = 0.5", "p < 0.001"]
