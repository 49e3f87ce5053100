"""What a setting is worth, and which constraints it keeps; every expectation by hand."""

import math

from rlhf_sweeps.verdicts.settings import mean_violations

NAN = math.nan


def test_a_setting_breaks_a_limit_by_the_mean_over_its_runs() -> None:
    """(1 + 2 - 6) / 3 = -1."""
    assert mean_violations([{"a<=1": 1.0}, {"a<=1": 2.0}, {"a<=1": -6.0}]) == {"a<=1": -1.0}
    assert mean_violations([]) == {}


def test_a_run_that_does_not_tell_of_a_limit_has_no_part_in_its_mean() -> None:
    """Of b one run tells nothing, and one that it is unknown: (-2 + 1) / 2 = -0.5; of c none knows anything."""
    runs = [{"b<=1": -2.0, "c<=1": NAN}, {}, {"b<=1": NAN}, {"b<=1": 1.0}]
    found = mean_violations(iter(runs))
    assert list(found) == ["b<=1", "c<=1"]
    assert found["b<=1"] == -0.5
    assert math.isnan(found["c<=1"])
