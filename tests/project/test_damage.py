"""Every file of a record damaged in every way, and every reader: no traceback, a line, and nothing silently different.

By default a seeded sample is tried; all of it is slow. RELIABILITY.md has the figures.
"""

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from helpers import damage, file_damages
from helpers.damage import Told

SEED = 0
Case = tuple[str, str]  # a file, and what is done to it


class Attacked(NamedTuple):
    """A sound record, and what a reader makes of it.

    Attributes:
        expected: its result.
        text: what the reader says.
    """

    whole: Path
    read: Callable[[Path], Told]
    result: Callable[[Path], Any]
    expected: Any
    text: str


def attacked(
    whole: Path, scratch: Path, read: Callable[[Path], Told], result: Callable[[Path], Any] | None = None
) -> Attacked:
    target = scratch / "record"
    shutil.copytree(whole, target)
    told = read(target)
    assert (told.status, told.failure) == (0, "")
    expected = None if result is None else result(target)
    assert not isinstance(expected, str), expected
    shutil.rmtree(target)
    return Attacked(whole, read, result or (lambda _: None), expected, told.text)


def faults(record: Attacked, scratch: Path, cases: Sequence[Case], by_text: bool = False) -> list[str]:
    """What is wrong, a line for each case that something is wrong with; at least half of the cases must be possible."""
    found, num, target = [], 0, scratch / "record"
    for name, how in cases:
        shutil.rmtree(target, ignore_errors=True)
        if file_damages.damaged(record.whole, target, name, how, SEED):
            num += 1
            told = record.read(target)
            is_same = told.text == record.text if by_text else record.result(target) == record.expected
            if (wrong := damage.fault(told, name, is_same)) is not None:
                found.append(f"{name} ({how}): {wrong}")
    assert num >= len(cases) / 2
    return found


def drawn(folder: Path, number: int) -> list[Case]:
    """Some of all cases, the same at every run; different ones where SEED is another."""
    return random.Random(SEED).sample(list(file_damages.cases(file_damages.files_of(folder))), number)


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage") / "record"
    damage.make_interrupted_sweep(folder)
    return folder


def test_a_run_goes_on_from_a_damaged_record(interrupted: Path, tmp_path: Path) -> None:
    record = attacked(interrupted, tmp_path, damage.train_again, damage.result_of_run)
    assert faults(record, tmp_path, drawn(interrupted, 3)) == []


def test_a_complete_run_with_a_damaged_record_is_checked(complete: Path, tmp_path: Path) -> None:
    record = attacked(complete, tmp_path, damage.train_again, damage.result_of_run)
    cases = [("model/model.safetensors", "flipped bit"), ("metrics.jsonl", "flipped bit"), *drawn(complete, 2)]
    assert faults(record, tmp_path, cases) == []


def test_a_damaged_policy_is_not_sampled(complete: Path, tmp_path: Path) -> None:
    record = attacked(complete, tmp_path, damage.ask)
    cases = [(f"model/{name}", how) for name in ("model.safetensors", "tokenizer.json") for how in ("cut", "missing")]
    assert faults(record, tmp_path, cases, by_text=True) == []


@pytest.mark.parametrize("viewer", ["health", "watch"])
def test_what_looks_at_a_damaged_record_says_so(viewer: str, complete: Path, tmp_path: Path) -> None:
    record = attacked(complete, tmp_path, damage.VIEWERS[viewer])
    read = [name for name in file_damages.files_of(complete) if "/" not in name]
    cases = [(name, how) for name in read for how in file_damages.DAMAGES]
    assert faults(record, tmp_path, random.Random(SEED).sample(cases, 8), by_text=viewer != "watch") == []


@pytest.mark.slow
@pytest.mark.parametrize("what", ["run", "complete", "ask", "sweep", *damage.VIEWERS])
def test_all_of_it(what: str, interrupted: Path, complete: Path, swept: Path, tmp_path: Path) -> None:
    """Minutes each."""
    readers: dict[str, tuple[Path, Callable[[Path], Told], Callable[[Path], Any] | None]] = {
        "run": (interrupted, damage.train_again, damage.result_of_run),
        "complete": (complete, damage.train_again, damage.result_of_run),
        "sweep": (swept, damage.sweep_again, damage.result_of_sweep),
        "ask": (complete, damage.ask, None),
    }
    whole, read, result = readers.get(what, (complete, damage.VIEWERS.get(what, damage.ask), None))
    record = attacked(whole, tmp_path, read, result)
    cases = list(file_damages.cases(file_damages.files_of(whole)))
    if what == "sweep":  # whose trials are runs: a third
        cases = random.Random(SEED).sample(cases, len(cases) // 3)
    if what in damage.VIEWERS:  # which read nothing of these
        cases = [case for case in cases if not case[0].startswith(("model/", "checkpoint/", "base/", ".copies/"))]
    assert faults(record, tmp_path, cases, by_text=result is None and what != "watch") == []


# What a record or a table may be beside damaged


def test_the_attack_notices_a_difference_that_nobody_tells(tmp_path: Path) -> None:
    """And a traceback, and a refusal that names nothing."""
    assert damage.fault(Told(0, "all is well"), "metrics.jsonl", is_same=True) is None
    assert damage.fault(Told(0, "metrics.jsonl: damaged"), "metrics.jsonl", is_same=False) is None
    assert damage.fault(Told(2, "error: metrics.jsonl: damaged"), "metrics.jsonl", is_same=False) is None
    for told in (Told(0, "all is well"), Told(2, "error: no"), Told(0, "metrics.jsonl", "Traceback"), Told(139, "")):
        assert damage.fault(told, "metrics.jsonl", is_same=False) is not None
