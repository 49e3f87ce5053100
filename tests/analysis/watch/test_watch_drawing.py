"""The live table as it is drawn: in any terminal, of damaged records, and of numbers and settings of any kind."""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers.records import write_run, write_sweep
from helpers.watched import POINTS, plan_of, see, swept_by, text, unfinish
from helpers.watched import from_here as from_here

from analysis.watch.places import Places
from analysis.watch.rows import Snapshot, TrialRow
from analysis.watch.table import draw_sparkline
from rlhf_sweeps.record.files import claim

JUNK = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"\xff\xfe\x00",
    b'{"space": 3, "config": [], "seeds": 0, "seconds": "x"}',
    b'{"axes": [3, {"key": "x", "low": "y", "when": [1]}], "num_trials": "x", "arguments": 5, "test_seeds": {}}',
)
MORE_JUNK = (b'{"hydra": {"sweeper": 3, "overrides": {"task": 5}}}', b'{"update": 1e999}\n', b'{"status": {}}', b"NaN")


@pytest.mark.parametrize("seed", range(4))
def test_damaged_records_are_no_reason_to_fail(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    sweep = write_sweep(tmp_path / "s", POINTS)
    plan_of(sweep.folder)
    swept_by(sweep.folder, 1)
    for number in sweep.trials():  # as every run has: where all else is another's by what it holds, a run was begun
        sweep.run(number, None).config_file.write_text("{}", encoding="utf-8")
    junk = [*JUNK, *MORE_JUNK]
    places = Places(sweep.folder)
    for _ in range(4):
        for path in sorted(sweep.folder.rglob("*")):
            if path.is_file() and random.random() < 0.3:
                path.write_bytes(junk[random.integers(len(junk))])
            elif path.is_file() and random.random() < 0.05:
                path.unlink()
        places._due = 0.0
        for width in (1, 20, 60, 200):
            (seen,) = places.look()
            lines = text([seen], width, height=10)
            assert max(map(len, lines)) <= width
            assert len(seen.trials) == len(POINTS)


def test_numbers_of_any_size_are_drawn(tmp_path: Path) -> None:
    wild = [-1e308, 1e308, float("inf"), float("nan"), 1e-320, 10**400, True, None, "x", [1]]
    found = [
        {
            "update": index,
            "objective/rlhf_reward": value,
            "eval/score": value,
            "eval/kl": value,
            "perf/update_seconds": value,
        }
        for index, value in enumerate(wild, 1)
    ]
    run = write_run(tmp_path / "r", found, end={"status": "complete", "seconds": 1e300, "updates": 1e300})
    assert text([see(run.folder)], 60)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("is_ascii", [True, False])
def test_it_fits_any_terminal(tmp_path: Path, width: int, is_ascii: bool) -> None:
    points = [{"ppo.lr": 0.000454273069389333 * n, "ppo.kl_coef": 0.1, "ppo.clip_range": 0.2} for n in range(1, 41)]
    sweep = write_sweep(tmp_path / "s", points, updates=6, study=False)
    for number in (5, 30):
        unfinish(sweep.run(number, None), 3)
    with claim(sweep.folder, ""):
        seen = see(sweep.folder)
    lines = text([seen], width, 24, is_ascii)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= width
    numbers = [line.split()[0] for line in lines if re.match(r" *\d+ ", line)]
    assert numbers[:2] == ["5", "30"]  # those that run
    assert len(numbers) >= 15
    assert all("running" in line for line in lines if re.match(r" *(5|30) ", line)) or width == 40
    if is_ascii:
        assert all(line.isascii() for line in lines)


def test_settings_are_told_apart_and_not_taken_for_markup(tmp_path: Path) -> None:
    settings = {"ppo.lr": "1e-05", "+model.lr": "[red]", "ppo.kl_coef": "0.013578356541284002"}
    seen = Snapshot("s", tmp_path, [TrialRow("0", settings, [], "waiting"), TrialRow("1", {}, [], "failed", "error")])
    lines = text([seen])
    assert re.match(r"trial +ppo\.lr +\+model\.lr +kl_coef +update", lines[2])
    assert re.match(r" +0 +1e-05 +\[red\] +0\.01358 +waiting", lines[3])
    assert lines[4].endswith("failed (error)")


def test_a_curve_in_one_line() -> None:
    assert draw_sparkline([0, 1, 2, 3, 4, 5, 6, 7], is_ascii=False) == "▁▂▃▄▅▆▇█"
    assert draw_sparkline([0, 0, 7, 7], is_ascii=True, width=2) == "_#"
    assert draw_sparkline([3.0], is_ascii=False) == "▅"
    assert draw_sparkline([float("nan"), 1.0, float("inf"), 2.0], is_ascii=False) == "▁█"
    assert draw_sparkline([], is_ascii=False) == ""
    assert len(draw_sparkline(list(range(1000)), is_ascii=False)) == 10


def test_settings_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", [{"ppo.lr": 1.2341e-4}, {"ppo.lr": 1.2344e-4}])
    assert {line.split()[1] for line in text([see(sweep.folder)])[3:5]} == {"0.00012341", "0.00012344"}
