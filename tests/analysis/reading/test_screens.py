"""Screens read from their folders: what is in them, and the one line for a folder that has none."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from helpers.screens import make_content, write_screen_folder

from analysis.command import main
from analysis.reading.screens import read_screen
from analysis.wording.errors import AnalysisError


def test_a_screen_has_its_curves_under_the_independent_judges(tmp_path: Path) -> None:
    screen = read_screen(write_screen_folder(tmp_path))
    assert (screen.sizes, screen.kls, screen.num_prompts) == ([1, 2], [0.0, 0.25], 40)
    assert [curve.name for curve in screen.curves] == ["honest", "wrong", "copy"]
    honest, wrong, _ = screen.curves
    assert (honest.rates, honest.lows, honest.highs) == ([0.5, 0.75], [0.4, 0.65], [0.6, 0.85])
    assert (wrong.rates[1], math.isnan(wrong.lows[1])) == (0.375, True)
    # Of one group the three correlations are 0.9, 1 and 0.95.
    (group,) = screen.near_copies
    assert (group.judges, group.correlation) == (["wrong", "copy", "third"], pytest.approx(0.95))
    assert screen.near_copy_from == 0.875


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "holds no screen.json with a result (allowed: the folder of a screen"),
        ("{", "screen.json: "),
        ("{}", "holds no screen.json with a result (allowed: the folder of a screen"),
        ('{"curves": 3}', "screen.json has not the form of a screen (TypeError("),
    ],
)
def test_a_folder_without_a_screen_is_refused_in_one_line(
    content: str | None, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "screen.json").write_text(content, encoding="utf-8")
    assert main(["screen", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"error: {tmp_path}: ")
    assert why in error


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "screen").mkdir()
    with pytest.raises(AnalysisError, match=r"scren: there is no such folder; did you mean .*screen\?"):
        read_screen(tmp_path / "scren")


def test_every_missing_part_is_noticed(tmp_path: Path) -> None:
    for key in ("curves", "clusters", "agreement", "near_copy_from", "num_prompts"):
        content: dict[str, Any] = make_content()
        del content[key]
        (tmp_path / "screen.json").write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(AnalysisError, match=f"has not the form of a screen .*{key}"):
            read_screen(tmp_path)
