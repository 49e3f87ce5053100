"""Near-copies among judges: the analysis gives them one vote, as the sweep did, and says which they are."""

from typing import Any

import pytest
from helpers.compared_runs import judged, source

from analysis.comparison.compare import compare_groups
from analysis.comparison.frontier import OTHERS, trace_path
from analysis.comparison.near_copies import read_near_copies, write_near_copy_sentences
from analysis.records.runs import RunRecord
from analysis.views.comparison_sentences import write_comparison_statements

COPIES = {"near_copy_from": 0.8, "near_copies": [{"judges": ["b", "twin"], "correlation": 0.85}]}
SENTENCE = (
    "b and twin are near-copies (rank correlation within prompts 0.85, from 0.8 on): together they have one vote, and "
    "none is an independent judge of another"
)


def make_runs() -> list[RunRecord]:
    """Under b and its copy the policies of a win 60 %, under c 70 %; those of b win 50 % under a and 62 % under c."""
    runs = [judged(f"a{seed}", "a", seed, a=0.99, b=0.6, twin=0.6, c=0.7) for seed in range(3)]
    return runs + [judged(f"b{seed}", "b", seed, a=0.5, b=0.97, twin=0.97, c=0.62) for seed in range(3)]


def test_near_copies_have_one_vote_and_none_of_them_judges_another() -> None:
    found = compare_groups(source(make_runs(), comparison=COPIES), "reward_model")
    values = {group.label: group.estimate.value for group in found.groups if group.estimate}
    assert values == pytest.approx({"a": (0.6 + 0.7) / 2, "b": (0.5 + 0.62) / 2})
    assert "all judges but the run's own reward model and its near-copies" in found.measure.text
    assert SENTENCE in [statement.text for statement in write_comparison_statements(found)]
    assert found.grouping.near_copies[0].judges == ["b", "twin"]


def test_reward_against_kl_has_the_same_votes() -> None:
    (run, *_) = make_runs()
    run.metrics["eval/kl"] = run.metrics["judge/c/win_rate"]
    near_copies = read_near_copies(COPIES)
    judges = ["a", "b", "c", "twin"]
    assert trace_path(run, OTHERS, judges, near_copies).gains == pytest.approx([(0.6 + 0.7) / 2 - 0.5])
    assert trace_path(run, OTHERS, judges).gains == pytest.approx([(0.6 + 0.6 + 0.7) / 3 - 0.5])


def test_without_near_copies_each_judge_has_a_vote_and_nothing_is_said() -> None:
    found = compare_groups(source(make_runs()), "reward_model")
    values = {group.label: group.estimate.value for group in found.groups if group.estimate}
    assert values == pytest.approx({"a": (0.6 + 0.6 + 0.7) / 3, "b": (0.5 + 0.97 + 0.62) / 3})
    assert not any("near-cop" in text for text in [found.measure.text, *found.notes])


def test_by_a_metric_nobody_votes() -> None:
    found = compare_groups(source(make_runs(), comparison=COPIES), "reward_model", "eval/win_rate")
    assert SENTENCE not in found.notes


@pytest.mark.parametrize("written", [None, {}, {"near_copies": 3}, {"near_copies": [{"judges": ["a", "b"]}]},
                                     {"near_copies": [{"judges": ["a"], "correlation": 1.0}]}])  # fmt: skip
def test_files_of_earlier_versions_and_damaged_ones_name_no_near_copies(written: dict[str, Any] | None) -> None:
    assert read_near_copies(written) == []
    assert write_near_copy_sentences(written) == []
