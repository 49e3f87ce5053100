"""Sections as one HTML file that needs nothing else: no link, no font, no request."""

from collections.abc import Collection, Sequence
from pathlib import Path

from analysis.output.charts import Chart
from analysis.output.colors import hex_of
from analysis.output.embed import embedded, plotly_script, script_hash
from analysis.output.parts import Block, Section
from analysis.output.plotly_figures import figures
from analysis.wording.statements import capitalize, format_number

_FOLDER = Path(__file__).parent / "templates"


def page(title: str, subtitle: str, sections: Sequence[Section], names: Collection[str] = ()) -> str:
    """The whole file.

    Args:
        title: what is reported on; any text, since all that comes from a record is escaped.
        subtitle: one line below it.
        sections: the tabs, in order.
        names: words that a sentence may begin with, and that stay as they are.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {
        "number": format_number,
        "heading": lambda text: capitalize(text, names),
        "hex": lambda layer: hex_of(getattr(layer, "color", 0)),
        "sentence": lambda text: _sentence(text, names),
    }
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


def _sentence(text: str, names: Collection[str]) -> str:
    return capitalize(text, names) + ("" if text.endswith((".", "?", "!", "…")) else ".")


def _policy(*scripts: str) -> str:
    """What a browser lets the page do: run these scripts, draw; no other script, no request."""
    return (
        f"default-src 'none'; script-src {' '.join(scripts)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
