"""Sections as one HTML file that needs nothing else: no link, no font, no request."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from analysis.output.charts import Chart
from analysis.output.colors import hex_of
from analysis.output.embed import embedded, plotly_script, script_hash
from analysis.output.parts import Block, Section, Table
from analysis.output.plotly_figures import figures
from analysis.wording.statements import format_number

_FOLDER = Path(__file__).parent / "templates"


def page(title: str, subtitle: str, sections: Sequence[Section], names: Collection[str] = ()) -> str:
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
    environment.filters |= {
        "number": format_number,
        "heading": lambda text: _capitalized(text, names),
        "hex": lambda layer: hex_of(getattr(layer, "color", 0)),
        "sentence": lambda text: _sentence(text, names),
    }
    _check_ids(sections)
    charts = [part for section in sections for part in section.parts if isinstance(part, Chart)]
    blocks = [part for section in sections for part in section.parts if isinstance(part, Block)]
    data = {
        "figures": {name: figure for chart in charts for name, figure in figures(chart).items()},
        "curves": next((block.content for block in blocks if block.kind == "curves"), None),
    }
    plotly, plotly_hash = plotly_script()
    script = (_FOLDER / "report.js").read_text(encoding="utf-8")
    return environment.get_template("report.html").render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        style=(_FOLDER / "report.css").read_text(encoding="utf-8"),
        script=script,
        data=embedded(data),
        plotly=plotly,
        policy=_policy(plotly_hash, script_hash(script.encode("utf-8"))),
    )


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


def _capitalized(text: str, names: Collection[str]) -> str:
    """With a capital first letter, unless the first word is a key or a name."""
    first = text.split(" ", 1)[0].rstrip(",:;")
    return text[:1].upper() + text[1:] if first.replace("-", "").isalpha() and first not in names else text


def _sentence(text: str, names: Collection[str]) -> str:
    return _capitalized(text, names) + ("" if text.endswith((".", "?", "!", "…")) else ".")


def _policy(*scripts: str) -> str:
    """What a browser lets the page do: run these scripts, draw; no other script, no request."""
    return (
        f"default-src 'none'; script-src {' '.join(scripts)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
