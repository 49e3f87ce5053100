"""The figures' colours can be seen on the page's dark ground."""

import re
from pathlib import Path

import pytest

import analysis.output
from analysis.output.colors import COLORS, FIFTHS

TEMPLATES = Path(analysis.output.__file__).parent / "templates"
LEAST = 4.5  # the contrast that WCAG 2.2 asks for of text (success criterion 1.4.3); of figures it asks for 3


def test_every_colour_of_lines_has_a_lighter_one_for_the_dark_page() -> None:
    script = "".join(file.read_text(encoding="utf-8") for file in sorted(TEMPLATES.glob("**/*.js")))
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    dark = dict(re.findall(r'"(#[0-9a-f]{6})": "(#[0-9a-f]{6})"', script))
    (card,) = set(re.findall(r"--card: (#[0-9a-f]{6})", style))
    contrasts = {color: contrast(dark[color.lower()], card) for color in (*COLORS, *FIFTHS)}
    assert min(contrasts.values()) >= LEAST, contrasts


def contrast(color: str, ground: str) -> float:
    """By WCAG 2.2."""
    high, low = sorted((luminance(color), luminance(ground)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in channels]
    return sum(weight * x for weight, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_contrast_is_that_of_wcag() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
