"""The picture of a screen: its lines, its bands, the KL below each n, and what is printed beside it."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.screens import write_screen_folder

from analysis.command import main
from analysis.output.charts import Band, Line, Rule
from analysis.output.parts import Sentences
from analysis.reading.screens import Screen, read_screen
from analysis.views.screen import make_screen_chart, screen_view


@pytest.fixture
def screen(tmp_path: Path) -> Screen:
    return read_screen(write_screen_folder(tmp_path))


def test_each_reward_model_has_its_line_and_each_group_its_band(screen: Screen) -> None:
    (panel,) = make_screen_chart(screen).panels
    lines = [layer for layer in panel.layers if isinstance(layer, Line)]
    assert [line.name for line in lines] == ["honest", "wrong", "copy (near-copy of wrong)"]
    # log2 of 1 and 2; shares in per cent.
    assert [(list(line.x), list(line.y)) for line in lines[:2]] == [([0, 1], [50, 75]), ([0, 1], [50, 37.5])]
    assert lines[1].color == lines[2].color != lines[0].color
    assert lines[2].dash != lines[1].dash == lines[0].dash
    assert lines[1].width > lines[2].width
    bands = [layer for layer in panel.layers if isinstance(layer, Band)]
    assert [(list(band.low), list(band.high)) for band in bands[:1]] == [([40, 65], [60, 85])]
    assert [band.color for band in bands] == [lines[0].color, lines[1].color]
    assert [layer.place for layer in panel.layers if isinstance(layer, Rule)] == [50]


def test_below_each_n_stands_its_kl(screen: Screen) -> None:
    (panel,) = make_screen_chart(screen).panels
    assert list(panel.x.ticks) == [(0, "1\n0"), (1, "2\n0.25")]
    assert "KL" in panel.x.label
    assert "nats" in panel.x.label


def test_more_reward_models_than_colours_are_counted(screen: Screen) -> None:
    many = replace(screen, curves=[replace(screen.curves[0], name=f"model{number}") for number in range(11)])
    chart = make_screen_chart(many)
    assert len([layer for layer in chart.panels[0].layers if isinstance(layer, Line)]) == 8
    assert chart.note.endswith("the first 8 of 11 reward models")


def test_without_an_independent_judge_nothing_is_drawn(screen: Screen) -> None:
    (sentences,) = screen_view(replace(screen, curves=[]))
    assert isinstance(sentences, Sentences)
    assert sentences.lines == ["nothing to draw: no reward model has an independent judge"]


def test_the_command_draws_and_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_screen_folder(tmp_path)
    assert main(["screen", str(folder), "--format", "png"]) == 0
    picture = folder / "analysis" / "screen.png"
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert not (folder / "analysis" / "screen.svg").exists()
    text = " ".join(capsys.readouterr().out.split())
    assert "wrong, copy and third are near-copies (rank correlation within prompts 0.95, from 0.875 on)" in text
    assert "75 % [65, 85]" in text
    assert "written: " in text
    other = tmp_path / "elsewhere"
    assert main(["screen", str(folder), "--out", str(other)]) == 0
    assert sorted(path.name for path in other.glob("[!.]*")) == ["screen.png", "screen.svg"]
