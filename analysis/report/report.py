"""One HTML file that says what came out of a sweep or a run: which settings won, by how much, why, and at what cost."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from analysis.ranking import Ranking, rank
from analysis.records import Source
from analysis.report.parts import Part, Section, Sentences
from analysis.statements import counted
from rlhf_sweeps.runs import open_atomically

# Bytes. Beyond, the report is made again with fewer points and samples.
LIMIT = 4_900_000
_SAMPLES = (60, 40, 20)
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
    content = b""
    for detail in range(len(_SAMPLES)):
        content = report(source, detail).encode("utf-8", errors="replace")  # half of a surrogate pair is no text
        if len(content) <= LIMIT:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_atomically(path, "wb") as file:
        file.write(content)
    return path


def report(source: Source, detail: int = 0) -> str:
    """The page as text.

    Args:
        detail: 0: everything; 1 and 2: less, for sources that do not fit else.
    """
    from analysis.report.page import page

    # Numbers of a damaged record may overflow, which is no news to a reader.
    with np.errstate(all="ignore"):
        ranking = rank(source)
        make = _Maker()
        sections = _sections(source, ranking, detail, make)
        sections.append(Section("problems", "Problems", _problems(source, ranking, make.missing)))
    return page(source.name, _subtitle(source), sections, _names(source, ranking))


@dataclass
class _Maker:
    """Makes one part after the other; one that cannot be made costs itself alone, and the report says so.

    Attributes:
        missing: a sentence for each part that could not be made.
    """

    missing: list[str] = field(default_factory=list)

    def __call__(self, name: str, make: Callable[[], Sequence[Part]]) -> Sequence[Part]:
        """The parts, or a sentence in their place."""
        made = self.value(name, make)
        return made if made is not None else [Sentences([self.missing[-1]], tone="bad")]

    def value(self, name: str, make: Callable[[], Made]) -> Made | None:
        """What is made, or None."""
        try:
            return make()
        except Exception as error:
            _log.warning("the report has to do without %s", name, exc_info=True)
            self.missing.append(f"{name[0].upper()}{name[1:]} could not be made ({type(error).__name__}: {error})")
            return None


def _sections(source: Source, ranking: Ranking, detail: int, make: _Maker) -> list[Section]:
    from analysis.report.compare import compare_parts
    from analysis.report.config import config_parts
    from analysis.report.cost import cost_parts
    from analysis.report.curves import curve_parts
    from analysis.report.health import find_all, health_parts, health_sentences
    from analysis.report.noise import noise_sentences
    from analysis.report.overview import overview_parts
    from analysis.report.phases import phase_parts
    from analysis.report.samples import sample_parts
    from analysis.report.sweep import advice_sentences, sweep_parts
    from analysis.report.trials import trial_parts
    from analysis.sweep.analysis import analyse
    from analysis.sweep.ledger import ledger

    found = make.value("the health check", lambda: find_all(source)) or {}
    phases = make.value("what the curves do", lambda: phase_parts(source, ranking)) or []
    analysis = make.value("the analysis of the sweep", lambda: analyse(source))

    def overview() -> Sequence[Part]:
        advice = advice_sentences(source, analysis)
        health = health_sentences(found, ranking)
        return overview_parts(source, ranking, noise_sentences(ranking, analysis), advice, health, phases[:1])

    def curves() -> Sequence[Part]:
        return [*curve_parts(source, ranking, detail), *phases]

    def compared() -> Sequence[Part]:
        return compare_parts(source, ranking.comparison) if len(source.runs) > 1 else []

    parts: dict[tuple[str, str], Callable[[], Sequence[Part]]] = {
        ("overview", "Overview"): overview,
        ("curves", "Curves"): curves,
        ("compare", "Compare"): compared,
        ("sweep", "Sweep"): lambda: sweep_parts(source, analysis),
        ("trials", f"{ranking.word.capitalize()}s"): lambda: trial_parts(source, ranking),
        ("samples", "Samples"): lambda: sample_parts(source, ranking, _SAMPLES[detail]),
        ("health", "Health"): lambda: health_parts(source, ranking, found),
        ("cost", "Cost"): lambda: cost_parts(analysis.ledger if analysis else ledger(source)),
        ("config", "Config"): lambda: config_parts(source, ranking),
    }
    sections = [Section(name, title, make(f"the tab {title}", part)) for (name, title), part in parts.items()]
    return [section for section in sections if section.parts]


def _problems(source: Source, ranking: Ranking, missing: Sequence[str]) -> Sequence[Part]:
    from analysis.report.problems import problem_parts

    return problem_parts(source, ranking, missing)


def _subtitle(source: Source) -> str:
    what = {"run": "A run", "sweep": "A sweep", "folder": "A folder", "table": "A table", "wandb": "Runs from W&B"}
    updates = [run.num_updates for run in source.runs]
    kind = what.get(source.kind, "Runs")
    if source.kind == "run":
        return f"{kind} of {counted(sum(updates), 'update')}"
    start = kind if source.kind == "wandb" else f"{kind} with {counted(len(updates), 'run')}"
    return f"{start}, {counted(sum(updates), 'update')} in all"


def _names(source: Source, ranking: Ranking) -> frozenset[str]:
    """Words of the record that a sentence may begin with, and that are no words to capitalize."""
    values = {value for entry in ranking.entries for value in entry.settings.values()}
    models = {str(run.value("reward_model")) for run in source.runs}
    return frozenset(values | models | {run.name for run in source.runs} | set(source.metric_names) | set(ranking.keys))
