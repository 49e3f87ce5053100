"""What a comparison says: its answer first, or why nothing is known."""

from dataclasses import replace

import pytest
from helpers.compared_runs import run, seeds, source

from analysis.comparison.compare import compare
from analysis.comparison.text import comparison_text, statements
from rlhf_sweeps.verdicts.pairs import UNKNOWN


def test_one_seed_each_tells_nothing():
    found = compare(source([run("a", 1.0, key=1), run("b", 5.0, key=2)]), "key")
    assert found.winner is None
    assert found.pairs[0].verdict == UNKNOWN
    assert "do not show how much seeds differ, and so not which is better" in statements(found)[0].text


def test_equal_values():
    found = compare(source(seeds([1.0, 1.0], key=1) + seeds([1.0, 1.0], "b", key=2)), "key")
    assert statements(found)[0].text == "all groups have the same value"
    # Runs that agree by chance, as rates of few prompts may, are no evidence.
    found = compare(source(seeds([1.0, 1.0], key=1) + seeds([0.0, 0.0], "b", key=2)), "key")
    assert found.pairs[0].verdict == UNKNOWN


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        (([9.0], [1.0, 2.0, 3.0]), "it has one run only, so that nothing can be said about noise; more seeds show it"),
        (
            ([8.0, 9.0], [1.0], [2.0]),
            "the others have one run only, so that nothing can be said about noise; more seeds show it",
        ),
        (([9.0] * 3, [1.0] * 3), "runs of a group are all alike, which does not show how much others would differ"),
        (
            ([9.0] * 3, [1.0] * 3, [2.0]),
            "the others have one run only, or runs that are all alike, so that nothing can be said about noise",
        ),
    ],
)
def test_why_nothing_is_known_of_noise(groups, text):
    runs = [one for key, values in enumerate(groups) for one in seeds(values, f"{key}/", key=f"k{key}")]
    assert statements(compare(source(runs), "key"))[0].text == f"k0 has the best value, but {text}"


def test_the_same_difference_in_every_setting_is_told():
    runs = [
        run(f"{key}{other}", key + other, key=key, other=other) for key in (0.0, 1.0) for other in (10.0, 20.0, 40.0)
    ]
    why = "by the same in every setting, which does not show how much other settings would differ"
    assert statements(compare(source(runs), "key"))[0].text == f"1 has the best value, but {why}"


def test_sweeps_are_told_the_key_and_tables_are_not():
    runs = [run("a", 1.0, key=1), run("b", 5.0, key=2)]
    assert statements(compare(source(runs), "key"))[0].text.endswith("; more seeds show it")
    swept = [replace(one, trial=number) for number, one in enumerate(runs)]
    assert statements(compare(source(swept), "key"))[0].text.endswith("; sweep.seeds=3 shows it")


def test_text_is_narrow_and_names_the_answer():
    names = [f"{'long' * 20}{index}" for index in range(40)]
    runs = [run(f"{key}/{seed}", key + 0.01 * seed, key=name) for key, name in enumerate(names) for seed in range(3)]
    text = comparison_text(compare(source(runs), "key"))
    assert max(map(len, text.splitlines())) <= 120
    assert "is better than every other group by more than noise" in text
    assert "and 25 more groups" in text
    assert "fewer than 5 runs in a group" in text
