"""Answers of both policies side by side."""

from dataclasses import replace

from helpers.report_records import ATTACK, run, samples, sweep

from analysis.output.parts import Block
from analysis.records.runs import Source
from analysis.results.results import Results
from analysis.views.samples import SampleSet, samples_view


def sample_set(source: Source, most: int = 60) -> SampleSet:
    (block,) = samples_view(Results(source), most)
    assert isinstance(block, Block)
    (only,) = block.content
    assert isinstance(only, SampleSet)
    return only


def test_each_scorer_has_its_counts_and_mean() -> None:
    set_ = sample_set(sweep())
    # Own gains are i - 2 for i = 0 .. 7: five up, two down, one equal, 1.5 on average; the judge's are 2 - i.
    assert set_.sentences[:2] == [
        "its own score: higher than the base policy's for 5 of 8 prompts, lower for 2, equal for 1; "
        # Their deviation is sqrt(6), and 2.365 sqrt(6 / 8) = 2.048.
        "the policy is not distinguishable from the base policy (difference 1.5 [-0.548, 3.55])",
        "judge vader: higher than the base policy's for 2 of 8 prompts, lower for 5, equal for 1; -1.5 more on average",
    ]
    assert [pair.position for pair in set_.pairs] == [7, 6, 5, 4, 3, 2, 1, 0]
    assert set_.pairs[0].earlier == [(20, f"answer 7 at 20 {ATTACK}")]


def test_of_many_samples_both_ends_stay() -> None:
    many = replace(run(0), read_samples=lambda: samples(100))
    set_ = sample_set(Source("one", "run", [many]), most=10)
    assert [pair.position for pair in set_.pairs] == [99, 98, 97, 96, 95, 4, 3, 2, 1, 0]
    assert "of 100 prompts" in set_.sentences[-1]
