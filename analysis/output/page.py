"""Sections as one HTML file that needs nothing else: no link, no font, no request."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.output.charts import Chart, Intervals, Layer, Line, Points
from analysis.output.colors import find_hex
from analysis.output.embed import embed_json, hash_script, read_plotly_script
from analysis.output.parts import Block, Cell, Section, Table
from analysis.output.plotly_figures import make_figures
from analysis.wording.short_labels import shorten_apart
from analysis.wording.statements import capitalize
from rlhf_sweeps.figures import format_number

_FOLDER = Path(__file__).parent / "templates"
_SCRIPTS = ("report_tables.js", "report.js")  # one script of the page, in this order
_LONGEST_CELL = 160  # characters
# The marks in a legend; the page's font has them all.
_GLYPHS = {
    "circle": "●",
    "hollow": "○",
    "diamond": "◆",
    "square": "■",
    "cross": "×",
    "thick cross": "✖\ufe0e",  # not the emoji
    "star": "★",
    "triangle": "▼",
    "tick": "|",
}


def render_page(title: str, subtitle: str, sections: Sequence[Section], names: Collection[str] = ()) -> str:
    """The whole file.

    Args:
        title: what is reported on; any text, since all that comes from a record is escaped.
        subtitle: one line below it.
        sections: the tabs, in order.
        names: words that a sentence may begin with, and that stay as they are.

    Raises:
        ValueError: if an id stands twice, or has other characters than letters, digits and dashes.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    filters: dict[str, Any] = {
        "number": format_number,
        "heading": lambda text: capitalize(text, names),
        "hex": lambda layer: find_hex(getattr(layer, "color", 0)),
        "glyph": lambda layer: _GLYPHS[layer.symbol] if isinstance(layer, Points) else "",
        "look": _look,
        "shortened": _shorten_cells,
        "sentence": lambda text: _make_sentence(text, names),
    }
    environment.filters |= filters
    _check_ids(sections)
    charts = [part for section in sections for part in section.parts if isinstance(part, Chart)]
    blocks = [part for section in sections for part in section.parts if isinstance(part, Block)]
    data = {
        "figures": {name: figure for chart in charts for name, figure in make_figures(chart).items()},
        "curves": next((block.content for block in blocks if block.kind == "curves"), None),
    }
    plotly, plotly_hash = read_plotly_script()
    script = "".join((_FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    return environment.get_template("report.html").render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        style=(_FOLDER / "report.css").read_text(encoding="utf-8"),
        script=script,
        data=embed_json(data),
        plotly=plotly,
        policy=_write_policy(plotly_hash, hash_script(script.encode("utf-8"))),
    )


def _look(layer: Layer) -> str:
    """The classes of a layer's mark in a legend: a glyph, a line with its dashes, or the block of an area."""
    if isinstance(layer, Points):
        return "glyph"
    if isinstance(layer, Line | Intervals):
        return f"line {getattr(layer, 'dash', 'solid')}"
    return "block-mark"


def _shorten_cells(table: Table) -> Iterator[Sequence[Cell]]:
    """Rows whose long texts are cut, column by column, so that those that differ still do; answers stay whole."""
    columns = []
    for column, *cells in zip(table.columns, *table.rows, strict=True):
        whole = [cell.text for cell in cells]
        columns.append(whole if column.is_whole else shorten_apart(whole, _LONGEST_CELL))
    for row, texts in zip(table.rows, zip(*columns, strict=True), strict=True):
        yield [cell if cell.text == text else replace(cell, text=text) for cell, text in zip(row, texts, strict=True)]


def _check_ids(sections: Sequence[Section]) -> None:
    """The ids of tabs, of charts and of tables are names in the page: a second part would replace the first."""
    parts = [part for section in sections for part in section.parts]
    kinds: dict[str, list[str]] = {
        "tab": [section.id for section in sections],
        "chart": [part.id for part in parts if isinstance(part, Chart)],
        "table": [part.id for part in parts if isinstance(part, Table)],
    }
    for kind, ids in kinds.items():
        for name, count in Counter(ids).items():
            if count > 1:
                raise ValueError(f"the id {name!r} of a {kind} stands twice in the page")
            if not re.fullmatch(r"[A-Za-z0-9-]+", name):
                raise ValueError(f"the id {name!r} of a {kind} must be of letters, digits and dashes")


def _make_sentence(text: str, names: Collection[str]) -> str:
    return capitalize(text, names) + ("" if text.endswith((".", "?", "!", "…")) else ".")


def _write_policy(*scripts: str) -> str:
    """What a browser lets the page do: run these scripts, draw; no other script, no request."""
    return (
        f"default-src 'none'; script-src {' '.join(scripts)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
