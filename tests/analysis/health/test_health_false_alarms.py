"""How often sound runs are called sick: recorded ones, and made-up ones of many sizes and scales."""

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.health_runs import RECORDS, Made, as_table, as_trl, recorded, sound

from analysis.health.causes import CAUSES
from analysis.health.findings import diagnose_run

FIRST_SEED, NUM_SOUND = 50_000, 300  # no threshold was set on these
HIGHEST_RATE = 0.01  # measured rates stand in health_records/README.md


@pytest.mark.parametrize("view", [lambda made: made, as_trl, as_table], ids=["ours", "trl", "table"])
def test_made_up_sound_runs_have_hardly_a_finding(view: Callable[[Made], Made]) -> None:
    found = {seed: diagnose_run(view(sound(seed)).record()) for seed in range(FIRST_SEED, FIRST_SEED + NUM_SOUND)}
    alarms = {seed: [one.kind for one in some] for seed, some in found.items() if some}
    assert len(alarms) <= HIGHEST_RATE * NUM_SOUND, alarms


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_recorded_runs_have_what_is_wrong_with_them_and_nothing_else(path: Path) -> None:
    run, expected = recorded(path)
    kinds = [one.kind for one in diagnose_run(run)]
    assert sorted(kinds) == sorted(expected)
    assert kinds[:1] == expected[:1] or not {*kinds[:1], *expected[:1]} & set(CAUSES)


def test_most_recorded_runs_are_sound() -> None:
    assert sum(not recorded(path)[1] for path in RECORDS) >= 12
