"""A stock phrase, answers that become alike, truncation of all answers, and runs that are too short to judge."""

import numpy as np
import pytest
from helpers.health_runs import found

from analysis.health.phrases import find_spread_phrase, measure_distinct
from analysis.health.thresholds import FEWEST_UPDATES
from analysis.records.runs import RunRecord, Source
from analysis.results.results import Results
from analysis.views.health import health_view, write_health_sentences

PHRASE = "what a lovely question"
BASE = [f"answer number {place} is about the subject s{place}" for place in range(50)]


def answer(shares: dict[int, float], base_share: float = 0.02) -> RunRecord:
    """A run with an evaluation at some updates: update -> the share of 50 answers that begin with the phrase."""

    def make(share: float) -> list[str]:
        return [f"{PHRASE.capitalize()}! {text}" if place < share * 50 else text for place, text in enumerate(BASE)]

    samples = [
        {"update": update, "response": response, "base_response": base}
        for update, share in shares.items()
        for response, base in zip(make(share), make(base_share), strict=True)
    ]
    return RunRecord("0", {"update": np.arange(1.0, 31.0)}, {}, read_samples=lambda: samples)


def test_a_stock_phrase_is_found_from_where_it_is_half_as_frequent() -> None:
    finding = found(answer({5: 0.02, 10: 0.3, 15: 0.5, 20: 0.6}))["stock phrase"]
    assert finding.update == 15  # 0.3 is below the middle of 0.02 and 0.6
    assert finding.text.startswith(f"60 % of the answers have the phrase “{PHRASE}”, 2 % of the base policy's; ")
    assert finding.evidence["share of the answers with the phrase"] == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("shares", "base_share"),
    [({5: 0.02, 20: 0.48}, 0.02), ({5: 0.5, 20: 0.7}, 0.5), ({5: 0.9, 20: 0.02}, 0.02)],
    ids=["rare", "the base policy has it, too", "it has passed"],
)
def test_no_stock_phrase(shares: dict[int, float], base_share: float) -> None:
    assert not found(answer(shares, base_share))


def test_answers_that_repeat_each_other_share_few_phrases() -> None:
    # Three kinds of answers, each a third of all: no phrase of one kind is in half of them, but 9 of 90 are distinct.
    samples = [
        {
            "update": 3,
            "response": f"one{place % 3} two three {place % 3} four five",
            "base_response": f"{place} a{place} b c d e",
        }
        for place in range(30)
    ]
    run = RunRecord("0", {"update": np.arange(1.0, 31.0)}, {}, read_samples=lambda: samples)
    assert measure_distinct(["a b c d", "a b c d", "e"]) == pytest.approx(2 / 3)
    assert find_spread_phrase(["a b c d e"], ["a b c d"]) == ("b c d e", 1.0, 0.0)
    assert set(found(run)) == {"answers become alike"}


@pytest.mark.parametrize(
    ("shares", "is_found"), [([1.0], True), ([0.96, 1.0], True), ([0.5], False), ([1.0, 0.5], False)]
)
def test_truncation_of_all_answers_is_found_at_the_first_update(shares: list[float], is_found: bool) -> None:
    metrics = {"update": np.arange(1.0, len(shares) + 1), "objective/truncated_rate": np.array(shares)}
    findings = found(RunRecord("0", metrics))
    assert ("truncated answers" in findings) is is_found
    if is_found:
        assert findings["truncated answers"].update == 1


@pytest.mark.parametrize("num", [FEWEST_UPDATES - 1, FEWEST_UPDATES])
def test_a_short_run_is_not_called_sound(num: int) -> None:
    run = RunRecord("a", {"update": np.arange(1.0, num + 1), "objective/kl": np.where(np.arange(num) > 0, 0.5, 0.0)})
    results = Results(Source("s", "run", [run]))
    lines = write_health_sentences(results.findings, results.ranking, [run])
    short = [f"this run is too short to judge: a verdict takes {FEWEST_UPDATES} recorded updates"]
    assert lines == (short if num < FEWEST_UPDATES else ["no findings in 1 run"])
    assert health_view(results)[0].tone == ("" if num < FEWEST_UPDATES else "good")  # type: ignore[union-attr]
