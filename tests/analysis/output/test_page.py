"""The page as HTML: legends, lists, long texts; what a browser does with it is in test_page_browser.py."""

import base64
import hashlib
import html
import re

import numpy as np

from analysis.output.charts import Band, Chart, ChartAxis, Layer, Line, Panel, Points
from analysis.output.page import render_page
from analysis.output.parts import Column, Part, Section, Sentences, Table, make_text_cell
from analysis.output.plotly_figures import _SYMBOLS
from analysis.output.terminal import render_text

X = np.array([1.0, 2.0])


def html_of(*parts: Part) -> str:
    whole = render_page("title", "subtitle", [Section("a", "A", parts)])
    return whole[whole.index("<main") : whole.index("</main>")]


def test_each_symbol_has_its_own_mark_in_a_legend() -> None:
    layers: list[Layer] = [Points(X, X, symbol, symbol=symbol) for symbol in _SYMBOLS]
    layers += [Line(X, X, "dashes", dash="dash"), Line(X, X, "solid"), Band(X, X, X, "area")]
    panels = [Panel(ChartAxis(), ChartAxis(), layers)] * 2
    marks = re.findall(r'<i data-color="#\w+" class="([^"]*)">([^<]*)</i>([^<]*)<', html_of(Chart("a", "a", panels)))
    assert [name for *_, name in marks] == [*_SYMBOLS, "dashes", "solid", "area"]
    glyphs = [glyph for kind, glyph, _ in marks if kind == "glyph"]
    assert len(set(glyphs)) == len(_SYMBOLS)
    assert all(glyphs)
    assert [kind for kind, *_ in marks[-3:]] == ["line dash", "line solid", "block-mark"]


def test_an_ordered_list_has_numbers() -> None:
    steps = html_of(Sentences(["one step"], "what to try next", is_ordered=True))
    assert re.search(r"<h3>What to try next</h3><ol[^>]*><li>One step\.</li></ol>", steps)


def test_long_texts_that_differ_at_their_end_stay_apart() -> None:
    names = [f"models/{'x' * 180}{letter}" for letter in "AB"]
    table = Table("t", "models", [Column("model")], [[make_text_cell(name)] for name in names])
    cells = re.findall(r"<td>([^<]*)</td>", html_of(table))
    assert [cell[-1] for cell in cells] == ["A", "B"]
    assert max(map(len, cells)) <= 160
    lines = render_text([table]).split("\n")
    assert len(set(lines)) == len(lines)


def test_the_policy_names_the_scripts_of_the_page() -> None:
    whole = html.unescape(render_page("title", "subtitle", []))
    (script,) = re.findall(r"<script>(.*?)</script>", whole, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in whole
    assert script.index("function showTables") < script.index("showTables(all, one);")
