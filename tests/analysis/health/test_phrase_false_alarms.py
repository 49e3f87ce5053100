"""How often answers of the base policy itself are said to share a phrase, or to have become alike."""

import numpy as np
import pytest
from helpers.health_runs import BASE_ANSWERS

from analysis.health.phrases import check_phrases
from analysis.records.runs import RunRecord

NUM_DRAWS = 100  # of each size; with 1,000 of each, none had a finding


@pytest.mark.parametrize("num", [20, 40, 60])
def test_answers_of_the_base_policy_have_no_finding(num: int) -> None:
    """Two draws without a common answer, one in place of the policy's answers and one as the base policy's."""
    alarms = []
    for seed in range(NUM_DRAWS):
        order = np.random.default_rng([seed, num]).permutation(len(BASE_ANSWERS))
        pairs = zip(order[:num], order[num : 2 * num], strict=True)
        samples = [{"update": 5, "response": BASE_ANSWERS[a], "base_response": BASE_ANSWERS[b]} for a, b in pairs]
        finding = check_phrases(RunRecord("0", {}, read_samples=lambda samples=samples: samples))
        alarms += [] if finding is None else [(seed, finding.text)]
    assert alarms == []


def test_base_answers_are_many_and_different() -> None:
    assert len(BASE_ANSWERS) == 120
    assert len(set(BASE_ANSWERS)) >= 100
