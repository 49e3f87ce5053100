"""The report on a reward model by hand, and against scipy."""

import math
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
from scipy.stats import binomtest

from rlhf_sweeps.data import PreferencePair
from rlhf_sweeps.reward_models.surface_rules import SURFACE_FEATURES, fit_rules, mean_word_length
from rlhf_sweeps.reward_training.report import calibrate, compute_sign_test, estimate_share, make_report, rank_outcomes
from rlhf_sweeps.reward_training.report_text import _name_data, _write_metadata, format_report

ASK = [{"role": "user", "content": "How are you?"}]


def pair(chosen: str, rejected: str) -> PreferencePair:
    return PreferencePair(ASK, chosen, rejected)


LONGER = [pair("aaa bbb ccc", "aaa bbb")] * 3
SHORTER = [pair("aaa", "aaa bbb")]


def test_outcomes_and_their_interval() -> None:
    assert rank_outcomes([0.1, -3.0, 0.0]) == [1, 0, 0.5]
    found = estimate_share([1.0] * 17 + [0.0] * 3)
    expected = binomtest(17, 20).proportion_ci(method="wilson")
    assert (found.value, found.num_pairs) == (0.85, 20)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_calibration_by_hand() -> None:
    # Probabilities 0.76, 0.76, 0.24, 0.92 and, for the tie, 0.5; bins are 0.05 wide.
    sure, surer = math.log(0.76 / 0.24), math.log(0.92 / 0.08)
    calibration = calibrate([sure, sure, -sure, surer, 0.0])
    places = [(one.low, one.num_pairs, one.confidence, one.accuracy) for one in calibration.bins]
    assert [place for one in places for place in one] == pytest.approx(
        [0.5, 1, 0.5, 0.5, 0.75, 3, 0.76, 2 / 3, 0.9, 1, 0.92, 1.0]
    )
    assert calibration.expected_error == pytest.approx((3 * (0.76 - 2 / 3) + 0.08) / 5)
    assert calibration.brier == pytest.approx((2 * 0.24**2 + 0.76**2 + 0.08**2 + 0.5**2) / 5)
    assert calibration.log_loss == pytest.approx(-math.log(0.76**2 * 0.24 * 0.92 * 0.5) / 5)


def test_calibration_of_huge_margins() -> None:
    right, wrong = calibrate([1e4]), calibrate([-1e4])
    assert (right.brier, right.log_loss, right.expected_error) == (0, 0, 0)
    assert (wrong.brier, wrong.log_loss, wrong.expected_error) == (1, 1e4, 1)


def test_the_sign_test_by_hand() -> None:
    # Better on 5, worse on 1, equal on 2: twice (1 + 6) of 2^6.
    assert compute_sign_test([1, 1, 1, 1, 0.5, 0, 1, 0], [0, 0, 0.5, 0, 0, 1, 1, 0]) == pytest.approx(14 / 64)
    assert compute_sign_test([1, 0.5], [1, 0.5]) == 1


def test_which_way_a_rule_ranks_is_fixed_on_the_training_pairs() -> None:
    assert next(rule.name for rule in fit_rules(LONGER + SHORTER)) == "longer"
    assert next(rule.name for rule in fit_rules(LONGER + SHORTER * 4)) == "shorter"
    tied = [rule.name for rule in fit_rules([pair("same", "same")])]
    assert tied == ["longer", "more ?", "more !", "more emoji", "shorter words", "less about AI"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", [0, 0, 0, 0, 0.0, 0]),
        ("Why? Why not?! 😊🎉", [17, 2, 1, 2, 3.0, 0]),
        ("As an AI language model, I aid.", [31, 0, 0, 0, 23 / 7, 2]),
    ],
)
def test_what_rules_see(text: str, numbers: list[float]) -> None:
    assert [surface.measure(text) for surface in SURFACE_FEATURES] == pytest.approx(numbers)
    assert mean_word_length("don’t stop") == 4.5


def test_a_report_by_hand() -> None:
    held_out = LONGER + SHORTER + [pair("no!", "yes")]
    report = make_report([2.0, 1.0, -1.0, 3.0, 1.0], held_out, fit_rules(LONGER))
    assert report.accuracy.value == pytest.approx(4 / 5)
    assert report.longer is not None
    assert report.shorter is not None
    assert [report.longer.value, report.longer.num_pairs] == pytest.approx([2 / 3, 3])
    assert [report.shorter.value, report.shorter.num_pairs] == [1, 1]
    found = {one.rule: one.accuracy.value for one in report.comparisons}
    # Longer: 3 right, 1 wrong, 1 tie. More !: right once, else ties. Shorter words: right once ("no" against "yes").
    assert found == pytest.approx(
        {
            "longer": 0.7,
            "more !": 0.6,
            "shorter words": 0.6,
            "more ?": 0.5,
            "more emoji": 0.5,
            "less about AI": 0.5,
        }
    )
    assert [one.accuracy.value for one in report.comparisons] == sorted(found.values(), reverse=True)
    # Against "longer": better on the shorter one and the tie, worse on the third.
    assert report.comparisons[0].p_value == 1
    assert "'longer' 70 %" in str(report.warning)
    table = format_report(report)
    assert "rule: longer" in table
    wilson = binomtest(4, 5).proportion_ci(method="wilson")
    (first,) = [line for line in table.splitlines() if line.startswith("reward model ")]
    bounds = [f"{100 * wilson.low:.3g}", "to", f"{100 * wilson.high:.3g}", "%"]
    assert first.split("model")[1].split() == ["80", "%", *bounds, "5"]
    assert "warning: the reward model ranks 80 % of 5 held-out pairs right" in table
    assert len(asdict(report)["comparisons"]) == 6


def test_no_warning_where_every_rule_is_beaten() -> None:
    held_out = LONGER * 10 + SHORTER * 10
    report = make_report([1.0] * 40, held_out, fit_rules(LONGER))
    assert report.warning is None
    assert "warning" not in format_report(report)
    # Wrong 10 times where the reward model is right: 2 / 2^10 = 0.002; with 5 of them 2 / 2^5 = 0.06 is noise.
    assert report.comparisons[0].p_value == pytest.approx(2 / 2**10)
    assert make_report([1.0] * 35, LONGER * 10 + SHORTER * 5, fit_rules(LONGER)).warning is not None


def test_a_worse_reward_model_is_warned_of_however_sure_the_difference() -> None:
    report = make_report([-1.0] * 60, LONGER * 20, fit_rules(LONGER))
    assert report.comparisons[0].p_value < 1e-6
    assert report.warning is not None
    assert report.shorter is None


def test_what_no_held_out_pair_shows_has_no_line() -> None:
    table = format_report(make_report([-1.0] * 60, LONGER * 20, fit_rules(LONGER)))
    firsts = [line[:30].rstrip() for line in table.splitlines()]
    assert any(line.startswith("  where the chosen is longer") for line in firsts)
    assert not any(line.startswith("  where the chosen is shorter") for line in firsts)


@pytest.mark.parametrize(
    ("path", "wheel", "line"),
    [
        ("HuggingFaceTB/SmolLM2-135M", "", ["base_model: HuggingFaceTB/SmolLM2-135M"]),
        ("embedded:tiny_policy", "", []),  # no hub has it
        ("folder/in/wheel", "some-package", []),
    ],
)
def test_a_card_names_a_base_that_model_hubs_have(path: str, wheel: str, line: list[str]) -> None:
    config: Any = SimpleNamespace(base=SimpleNamespace(path=path, pypi_wheel=wheel), base_key="base.path")
    assert [one for one in _write_metadata(config).splitlines() if one.startswith("base_model")] == line


def test_a_card_names_all_sources_of_its_pairs() -> None:
    one, two = (SimpleNamespace(path=path, sources=[]) for path in ("a.jsonl", "b.jsonl"))
    for dataset, name in ((one, "`a.jsonl`"), (SimpleNamespace(path=None, sources=[two, one]), "`b.jsonl`, `a.jsonl`")):
        config: Any = SimpleNamespace(dataset=dataset)
        assert _name_data(config) == name
