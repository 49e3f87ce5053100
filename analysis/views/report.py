"""One HTML file about a sweep or a run: which setting is best, by how much, why, and at what cost."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from analysis.curves.metrics import choose_panel_metrics
from analysis.output.charts import Chart
from analysis.output.parts import Part, Section, Sentences
from analysis.records.runs import Source
from analysis.results.ranking import SourceRanking
from analysis.results.results import Results
from analysis.wording.statements import format_count
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.record import open_atomically

# Bytes. Beyond, the report is made again with fewer points and samples. The limit that users read is 5 MB.
LIMIT = 4_900_000
_SAMPLES = (60, 40, 20)  # pairs of answers of a run, by detail; chosen
_DETAILED = ("curves", "samples")  # the tabs that hold most of a file
Made = TypeVar("Made")
_log = logging.getLogger(__name__)


def write_report(source: Source, path: Path) -> Path:
    """Write the report; the same source gives the same bytes.

    Args:
        source: a sweep, a run, a table or a W&B project, however unfinished.
        path: the file, whose folder is made.

    Returns:
        The file's path.
    """
    results, make, content = Results(source), _Maker(), b""
    for detail in range(len(_SAMPLES)):
        text = _make_page(results, make, detail)
        content = text.encode("utf-8", errors="replace")  # half of a surrogate pair is no text
        if len(content) <= LIMIT:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_atomically(path, "wb") as file:
        file.write(content)
    return path


def make_report_page(source: Source, detail: int = 0) -> str:
    """The page as text.

    Args:
        detail: 0: everything; 1 and 2: less, for sources that do not fit else.
    """
    return _make_page(Results(source), _Maker(), detail)


@dataclass
class _Maker:
    """Makes one part after the other, each once; one that cannot be made costs itself alone, and the report says so.

    Attributes:
        missing: part that could not be made -> a sentence about it.
    """

    missing: dict[str, str] = field(default_factory=dict)
    _made: dict[tuple[str, int], Any] = field(default_factory=dict)

    def __call__(self, name: str, make: Callable[[], Sequence[Part]], detail: int = 0) -> Sequence[Part]:
        """The parts, or a sentence in their place."""
        made = self.attempt(name, make, detail)
        return made if made is not None else [Sentences([self.missing[name]], tone="bad")]

    def attempt(self, name: str, make: Callable[[], Made], detail: int = 0) -> Made | None:
        """What is made, or None; again only for another detail."""
        if (name, detail) not in self._made:
            self._made[name, detail] = self._try(name, make)
        made: Made | None = self._made[name, detail]
        return made

    def _try(self, name: str, make: Callable[[], Made]) -> Made | None:
        try:
            with report_activity(name):
                return make()
        except Exception as error:
            _log.warning("the report lacks %s", name, exc_info=True)
            title = f"{name[0].upper()}{name[1:]}"
            self.missing[name] = f"{title} could not be made ({type(error).__name__}: {error})"
            return None


def _make_page(results: Results, make: _Maker, detail: int) -> str:
    """The page from what is known; parts that do not depend on the detail are as they were made before."""
    from analysis.output.page import render_page

    # Numbers of a damaged record may overflow, which is no news to a reader.
    with np.errstate(all="ignore"):
        source, ranking = results.source, results.ranking
        sections = _make_sections(results, detail, make)
        sections.append(Section("problems", "Problems", _make_problems(results, list(make.missing.values()))))
    return render_page(source.name, _write_subtitle(source), sections, _collect_names(source, ranking))


def _make_sections(results: Results, detail: int, make: _Maker) -> list[Section]:
    from analysis.views.compare import make_compare_tab
    from analysis.views.config import config_view
    from analysis.views.cost import cost_view
    from analysis.views.counted import SCORE
    from analysis.views.curve_chooser import make_curve_chooser
    from analysis.views.curves import curves_view, write_course_sentences
    from analysis.views.examples import make_examples
    from analysis.views.health import health_view, write_health_sentences
    from analysis.views.noise import is_lead_clear, measure_standing, write_noise_sentences
    from analysis.views.overview import make_overview_parts
    from analysis.views.samples import samples_view
    from analysis.views.sweep import make_sweep_tab, write_advice_sentences
    from analysis.views.trials import trials_view

    source, ranking = results.source, results.ranking
    findings = make.attempt("the health check", lambda: results.findings)
    phases = make.attempt("the description of the curves", lambda: write_course_sentences(results)) or []
    analysis = make.attempt("the analysis of the sweep", lambda: results.sweep)

    def make_overview() -> Sequence[Part]:
        advice = write_advice_sentences(source, analysis)
        health = [] if findings is None else write_health_sentences(findings, ranking, source.runs)
        course = make("the training curves", make_single_curves) or phases[:1]
        examples = make("the answers before and after", lambda: make_examples(results))
        noise = write_noise_sentences(ranking, analysis)
        is_decided = is_lead_clear(measure_standing(ranking, analysis))
        return make_overview_parts(source, ranking, noise, advice, health, course, examples, is_decided)

    def make_single_curves() -> Sequence[Part]:
        """The curves of a run that is alone, with the sentences on them: it has no settings to draw."""
        if len(source.runs) != 1:
            return []
        metrics = [*choose_panel_metrics(source.runs), *({SCORE} & source.runs[0].metrics.keys())]
        return [part for part in curves_view(results, metrics or None) if isinstance(part, Chart)]

    def make_curves() -> Sequence[Part]:
        return [*make_curve_chooser(results, detail), *phases]

    parts: dict[tuple[str, str], Callable[[], Sequence[Part]]] = {
        ("overview", "Overview"): make_overview,
        ("curves", "Curves"): make_curves,
        ("compare", "Compare"): lambda: make_compare_tab(results) if len(source.runs) > 1 else [],
        ("sweep", "Sweep"): lambda: make_sweep_tab(results) if analysis is not None and source.trials else [],
        ("trials", f"{ranking.word.capitalize()}s"): lambda: trials_view(results),
        ("samples", "Samples"): lambda: samples_view(results, _SAMPLES[detail]),
        ("health", "Health"): lambda: health_view(results),
        ("cost", "Cost"): lambda: cost_view(results.costs),
        ("config", "Config"): lambda: config_view(results),
    }
    sections = [
        Section(name, title, make(f"the tab {title}", part, detail if name in _DETAILED else 0))
        for (name, title), part in parts.items()
    ]
    return [section for section in sections if section.parts]


def _make_problems(results: Results, missing: Sequence[str]) -> Sequence[Part]:
    from analysis.views.problems import problems_view

    return problems_view(results, missing)


def _write_subtitle(source: Source) -> str:
    kinds = {"run": "A run", "sweep": "A sweep", "folder": "A folder", "table": "A table", "wandb": "Runs from W&B"}
    updates = [run.num_updates for run in source.runs]
    kind = kinds.get(source.kind, "Runs")
    if source.kind == "run":
        planned = source.runs[0].planned_updates if source.runs else None
        if planned and planned > sum(updates):
            return f"{kind}, {sum(updates):,} of {format_count(int(planned), 'update')}"
        return f"{kind} of {format_count(sum(updates), 'update')}"
    start = kind if source.kind == "wandb" else f"{kind} with {format_count(len(updates), 'run')}"
    return f"{start}, {format_count(sum(updates), 'update')} in all"


def _collect_names(source: Source, ranking: SourceRanking) -> frozenset[str]:
    """Words of the record that a sentence may begin with, and that are no words to capitalize."""
    values = {value for entry in ranking.entries for value in entry.settings.values()}
    models = {str(run.look_up("reward_model")) for run in source.runs}
    return frozenset(values | models | {run.name for run in source.runs} | set(source.metric_names) | set(ranking.keys))
