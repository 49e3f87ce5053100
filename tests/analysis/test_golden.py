"""The numbers of every CSV and JSON file that the analysis commands write, and all sentences, as they were recorded."""

import json
import math
from difflib import unified_diff
from pathlib import Path
from typing import Any

import pytest
from golden.made import RECORDS
from golden.numbers import numbers_of
from golden.sentences import sentences_of

GOLDEN = Path(__file__).parents[1] / "golden"
# Sums in other orders differ by up to 1.2e-12 between processors: measured without AVX-512, and without AVX2.
RELATIVE, ABSOLUTE = 1e-9, 1e-12


@pytest.mark.parametrize("name", RECORDS)
def test_the_numbers_are_those_that_were_recorded(name: str, tmp_path: Path) -> None:
    expected = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    found = numbers_of(RECORDS[name].write(tmp_path / name), RECORDS[name].by, tmp_path / "out")
    places = list(dict.fromkeys([*expected, *found]))
    missing = "nothing"
    others = [
        f"{place}: {found.get(place, missing)}, was {expected.get(place, missing)}"
        for place in places
        if not is_same(found.get(place, missing), expected.get(place, missing))
    ]
    assert not others, f"{len(others)} of {len(places)} differ:\n" + "\n".join(others[:20])


@pytest.mark.parametrize("name", RECORDS)
def test_the_sentences_are_those_that_were_recorded(name: str, tmp_path: Path) -> None:
    sentences = sentences_of(RECORDS[name].write(tmp_path / name), RECORDS[name].by)
    difference: list[str] = []
    for view, text in sentences.items():
        file = GOLDEN / "sentences" / f"{name}_{view}.txt"
        recorded = file.read_text(encoding="utf-8") if file.exists() else ""
        difference += unified_diff(recorded.splitlines(), text.splitlines(), file.name, view, lineterm="")
    anew = f"`python -m tests.golden {name}` records the sentences anew"
    assert not difference, "\n".join([anew, *difference])


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are; numbers up to rounding."""
    numbers = [value for value in (one, other) if isinstance(value, int | float) and not isinstance(value, bool)]
    return math.isclose(*numbers, rel_tol=RELATIVE, abs_tol=ABSOLUTE) if len(numbers) == 2 else one == other
