"""Every sentence, table and chart title that the views say of a record, as text."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from analysis.output.charts import Chart
from analysis.output.parts import Part
from analysis.output.terminal import render_text
from analysis.reading.sources import read_all
from analysis.results.results import Results
from analysis.views.compare import compare_view
from analysis.views.cost import cost_view
from analysis.views.curves import curves_view, write_course_sentences
from analysis.views.health import health_view, write_health_sentences
from analysis.views.noise import is_lead_clear, measure_standing, write_noise_sentences
from analysis.views.overview import make_overview_parts
from analysis.views.problems import problems_view
from analysis.views.sweep import sweep_view, write_advice_sentences
from analysis.views.trials import trials_view


def _overview(results: Results) -> Sequence[Part]:
    """The first screen of the report, as `analysis.views.report` assembles it."""
    source, ranking = results.source, results.ranking
    noise, advice = write_noise_sentences(ranking, results.sweep), write_advice_sentences(source, results.sweep)
    health = write_health_sentences(results.findings, ranking, results.source.runs)
    is_decided = is_lead_clear(measure_standing(ranking, results.sweep))
    course = write_course_sentences(results)[:1]
    return make_overview_parts(source, ranking, noise, advice, health, course, is_decided=is_decided)


# View -> its parts, given the config key whose values are compared.
VIEWS: Mapping[str, Callable[[Results, str], Sequence[Part]]] = {
    "compare": lambda results, by: compare_view(results, by),
    "cost": lambda results, by: cost_view(results.costs),
    "curves": lambda results, by: curves_view(results),
    "curves_by": lambda results, by: curves_view(results, by=by),
    "health": lambda results, by: health_view(results),
    "overview": lambda results, by: _overview(results),
    "problems": lambda results, by: problems_view(results, []),
    "sweep": lambda results, by: sweep_view(results),
    "trials": lambda results, by: trials_view(results),
}


def sentences_of(place: Path, by: str) -> dict[str, str]:
    """View -> what the terminal shows of it, then the words of its charts, which the terminal leaves out."""
    results = Results(read_all([str(place)]))
    texts = {}
    for name, view in VIEWS.items():
        parts = view(results, by)
        charts = [line for part in parts if isinstance(part, Chart) for line in _chart_lines(part)]
        texts[name] = render_text(parts) + "".join(f"{line}\n" for line in charts)
    return texts


def _chart_lines(chart: Chart) -> Iterator[str]:
    yield f"\nchart {chart.id}: {chart.title}"
    if chart.note:
        yield f"  {chart.note}"
    for panel in chart.panels:
        if words := [word for word in (panel.title, panel.note, panel.x.label, panel.y.label) if word]:
            yield f"  panel: {' | '.join(words)}"
    if chart.legend:
        yield f"  legend: {', '.join(name for name, _ in chart.legend)}"
