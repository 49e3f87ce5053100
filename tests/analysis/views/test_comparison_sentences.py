"""What a comparison says: its answer first with the numbers behind it, or why nothing is known."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from helpers.compared_runs import run, seeds, source

from analysis.comparison.compare import GroupComparison, compare_groups
from analysis.records.runs import RunRecord
from analysis.views.comparison_sentences import (
    write_comparison_answer,
    write_comparison_statements,
    write_design_sentences,
)
from rlhf_sweeps.verdicts.pairs import BETTER, NOISE, UNKNOWN, WORSE


def compared(*groups: Sequence[float]) -> GroupComparison:
    """Groups `k0`, `k1` and so on of runs with these values."""
    runs = [one for key, values in enumerate(groups) for one in seeds(values, f"{key}/", key=f"k{key}")]
    return compare_groups(source(runs), "key")


def test_a_winner_is_named_with_the_largest_p() -> None:
    comparison = compared([9.0, 9.1, 9.2], [5.0, 5.1, 5.2], [1.0, 1.1, 1.2])
    first = write_comparison_answer(comparison)
    assert comparison.winner == "k0"
    assert first.text.startswith("k0 is better than every other group")
    largest = max(pair.p_value for pair in comparison.pairs if pair.first == "k0")
    assert first.evidence == pytest.approx(
        {"value of k0": 9.1, "value of k1": 5.1, "largest p against the best": largest}
    )


def test_the_others_are_named_by_verdict() -> None:
    comparison = compared([9.0, 9.1, 9.2], [9.0, 9.05, 9.15], [1.0, 1.1, 1.2], [0.5])
    assert [pair.verdict for pair in comparison.pairs[:3]] == [NOISE, BETTER, UNKNOWN]
    assert write_comparison_answer(comparison).text == (
        "k0 has the best value. It is better than k2 by more than noise, and within noise of k1. "
        "There are too few runs to compare it with k3"
    )


def test_a_group_that_is_worse_in_shared_settings_is_told() -> None:
    def runs(key: str, values: dict[str, list[float]]) -> list[RunRecord]:
        return [one for other, own in values.items() for one in seeds(own, f"{key}{other}/", key=key, other=other)]

    first = {"x": [1.0, 1.1], "y": [1.0, 1.1], "z": [90.0, 91.0], "w": [92.0, 93.0]}
    second = {"x": [5.0, 5.1], "y": [5.0, 5.1]}
    third = {"x": [0.0, 0.1], "y": [0.0, 0.1]}
    comparison = compare_groups(source([*runs("a", first), *runs("b", second), *runs("c", third)]), "key")
    assert comparison.pairs[0].verdict == WORSE
    assert "worse than b in the settings that both have" in write_comparison_answer(comparison).text


def test_one_seed_each_tells_nothing() -> None:
    comparison = compare_groups(source([run("a", 1.0, key=1), run("b", 5.0, key=2)]), "key")
    assert (comparison.winner, comparison.pairs[0].verdict) == (None, UNKNOWN)
    assert write_comparison_answer(comparison).text.startswith("each group has one run")


def test_equal_values_are_said_to_be_equal() -> None:
    assert write_comparison_answer(compared([1.0, 1.0], [1.0, 1.0])).text.startswith("all groups have the same")
    # Runs that agree by chance, as rates of few prompts may, are no evidence.
    assert compared([1.0, 1.0], [0.0, 0.0]).pairs[0].verdict == UNKNOWN


def test_without_values_or_others_there_is_nothing_to_compare() -> None:
    nothing = write_comparison_answer(compare_groups(source([run("a", None, key=1), run("b", None, key=2)]), "key"))
    alone = write_comparison_answer(compare_groups(source([run("a", 1.5, key=1), run("b", None, key=2)]), "key"))
    assert (nothing.evidence, alone.evidence) == ({}, {"value of 1": 1.5})
    assert all("nothing to compare" in one.text for one in (nothing, alone))


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        (([9.0], [1.0, 2.0, 3.0]), "it has one run only, so the noise is unknown"),
        (([8.0, 9.0], [1.0], [2.0]), "the others have one run only, so the noise is unknown"),
        (([9.0] * 3, [1.0] * 3), "runs of a group are all alike"),
        (([9.0] * 3, [1.0] * 3, [2.0]), "the others have one run only, or runs that are all alike"),
    ],
)
def test_why_nothing_is_known_of_noise(groups: Sequence[Sequence[float]], reason: str) -> None:
    assert f"k0 has the best value, but {reason}" in write_comparison_answer(compared(*groups)).text


def test_the_same_difference_in_every_setting_is_told() -> None:
    runs = [
        run(f"{key}{other}", key + other, key=key, other=other) for key in (0.0, 1.0) for other in (10.0, 20.0, 40.0)
    ]
    assert (
        "1 has the best value, but its lead is the same in every setting"
        in write_comparison_answer(compare_groups(source(runs), "key")).text
    )


def test_sweeps_are_told_the_key_and_tables_are_not() -> None:
    runs = [run("a", 1.0, key=1), run("b", 5.0, key=2)]
    assert "sweep.seeds" not in write_comparison_answer(compare_groups(source(runs), "key")).text
    swept = [replace(one, trial=number) for number, one in enumerate(runs)]
    assert "sweep.seeds=3" in write_comparison_answer(compare_groups(source(swept), "key")).text


def test_groups_of_few_runs_are_told_once_and_of_five_not() -> None:
    few = "fewest runs in a group"
    assert [
        line.evidence
        for line in write_comparison_statements(compared([1.0, 2.0, 3.0, 4.0], [5.0, 6.0]))
        if few in line.evidence
    ] == [{few: 2}]
    assert not any(
        few in line.evidence for line in write_comparison_statements(compared([1.0, 2, 3, 4, 5], [5.0, 6, 7, 8, 9]))
    )


def test_settings_that_are_compared_one_by_one_are_told() -> None:
    runs = [run(f"{a}{b}", a + b + 0.1 * a * b, a=a, b=b) for a in (0.0, 1.0) for b in (10.0, 20.0, 40.0)]
    (sentence,) = write_design_sentences(compare_groups(source(runs), "a").pairs)
    assert "setting by setting" in sentence
    assert write_design_sentences(compared([1.0, 2.0], [3.0, 4.0]).pairs) == []
