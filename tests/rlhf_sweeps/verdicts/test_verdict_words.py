"""The list of what every word means is true: it has all of them, with the thresholds that the code has."""

import re

import pytest
from conftest import ROOT

from rlhf_sweeps import verdicts
from rlhf_sweeps.verdicts import error_rate, pairs, policy, trend

# Word -> the numbers that its definition must name.
THRESHOLDS = {
    "leads": (),
    error_rate.DECIDED: (error_rate.SIGNIFICANCE_LEVEL,),
    pairs.NOISE: (error_rate.SIGNIFICANCE_LEVEL, error_rate.SHARE_OF_PAIRS),
    pairs.BETTER: (error_rate.SIGNIFICANCE_LEVEL,),
    pairs.WORSE: (error_rate.SIGNIFICANCE_LEVEL,),
    pairs.UNKNOWN: (),
    "best": (),
    "to report": (),
    policy.BLOW_UP: (
        policy.TIMES_BUDGET,
        policy.NATS_PER_TOKEN,
        policy.NATS,
        policy.NATS_OF_ANY,
        policy.TIMES_BEFORE,
        policy.LEAST,
    ),
    policy.NEGATIVE: (-policy.BELOW_ZERO, policy.ERRORS_BELOW_ZERO),
    policy.OVER_BUDGET: (policy.USUAL_BUDGET,),
    policy.CLOSE: (policy.NEAR_BUDGET,),
    policy.UNDER_CONTROL: (policy.NEAR_BUDGET,),
    policy.COLLAPSE: (policy.ENTROPY_LEFT, policy.ENTROPY_LEFT * policy.SUM_LEFT),
    policy.RISE: (policy.ENTROPY_RISEN,),
    trend.NO_TREND: (trend.TREND_CHANCE, trend.LEAST_CHANGE),
}


def defined() -> dict[str, str]:
    """Word -> its definition, of the indented lists in the room's docstring."""
    found: dict[str, str] = {}
    word = ""
    for line in (verdicts.__doc__ or "").splitlines():
        if begins := re.match(r"    (\S.*?)(?:  +(\S.*))?$", line):
            word, found[begins[1]] = begins[1], begins[2] or ""
        elif line.startswith(" " * 25):
            found[word] += f" {line.strip()}"
    return found


def test_every_word_is_defined_and_no_other() -> None:
    assert set(defined()) == set(THRESHOLDS)


@pytest.mark.parametrize("word", THRESHOLDS)
def test_a_definition_names_the_thresholds_of_the_code(word: str) -> None:
    told = re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", defined()[word])
    assert {f"{number:g}" for number in THRESHOLDS[word]} <= set(told)


def defined_on_page() -> dict[str, str]:
    """Word -> its definition, of the tables on the analysis's page."""
    page = (ROOT / "analysis" / "README.md").read_text(encoding="utf-8")
    section = page.partition("\n## Verdicts\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", section, flags=re.MULTILINE))


def test_the_page_of_the_analysis_has_the_same_words_and_thresholds() -> None:
    assert set(defined_on_page()) == set(THRESHOLDS)
    for word, numbers in THRESHOLDS.items():
        told = re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", defined_on_page()[word])
        assert {f"{number:g}" for number in numbers} <= set(told), word


def test_words_are_of_the_room() -> None:
    """What health and the curves call a run is made of these words."""
    from analysis.health import policy as health

    assert f"KL {policy.BLOW_UP}" == health.KL_BLOW_UP
    assert f"{policy.NEGATIVE} KL" == health.NEGATIVE_KL
    assert f"entropy {policy.COLLAPSE}" == health.ENTROPY_COLLAPSE
    assert f"entropy {policy.RISE}s" == health.ENTROPY_RISE
