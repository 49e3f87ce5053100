"""The table of tuned settings on the page of conf/experiment: a row for each published record, by its results."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.publication.experiment import EXPERIMENTS, RECORD_LINE
from analysis.reading.sources import read
from analysis.records.runs import COMPLETE, DIVERGED, FAILED, PRUNED, RunRecord, Source
from analysis.results.entries import Entry
from analysis.results.ranking import SourceRanking
from analysis.results.results import Results
from analysis.views.counted import SCORE, find_counted
from analysis.wording.errors import AnalysisError
from analysis.wording.statements import format_count, format_duration, join_words
from rlhf_sweeps.figures import format_interval, format_number
from rlhf_sweeps.record import Sweep, find_records, natural_key, read_plan, write_atomically
from rlhf_sweeps.verdicts.estimates import estimate, mean

SHOWCASE = Path("outputs") / "showcase"
PAGE = EXPERIMENTS / "README.md"
BEGIN, END = "<!-- table of tuned settings: begin -->", "<!-- table of tuned settings: end -->"
_COLUMNS = (
    "experiment",
    "model",
    "reward model",
    "data",
    "tuned",
    "held-out score [95 %]",
    "KL",
    "updates x responses",
    "time, device",
    "record",
)
_ENDED = (COMPLETE, PRUNED, FAILED, DIVERGED)
_NONE_YET = "No record has been published yet."


def write_table(root: Path = Path()) -> Path:
    """Write the table of all records in outputs/showcase anew; returns the page.

    Args:
        root: the folder of the project.

    Raises:
        AnalysisError: if the page has no place for the table.
    """
    page = root / PAGE
    write_atomically(page, make_page(root))
    return page


def make_page(root: Path = Path()) -> str:
    """The text of the page with the table; the arguments are those of `write_table`, and it raises alike."""
    page = root / PAGE
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise AnalysisError(f"{page}: has no lines {BEGIN} and {END}, between which the table is written")
    return f"{before}{BEGIN}\n{make_table(root)}{END}{after}"


def make_table(root: Path) -> str:
    """The table in Markdown, or a sentence where there is no record."""
    places = [path for path in (root / SHOWCASE).glob("*") if path.is_dir() and not path.name.startswith(".")]
    folders = [path for path in places if any(find_records(path))]  # in others git has left what it ignores
    experiments = _find_experiments(root)
    rows = [make_row(folder, experiments) for folder in sorted(folders, key=lambda path: natural_key(path.name))]
    if not rows:
        return f"{_NONE_YET}\n"
    return "".join(map(_write_line, [_COLUMNS, ["---"] * len(_COLUMNS), *rows]))


def _find_experiments(root: Path) -> dict[str, str]:
    """Folder of a record -> name of the experiment that has its setting."""
    experiments = {}
    for file in sorted((root / EXPERIMENTS).glob("*.yaml")):
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.startswith(RECORD_LINE):
                experiments[line.removeprefix(RECORD_LINE).strip()] = file.stem
    return experiments


def make_row(folder: Path, experiments: Mapping[str, str]) -> list[str]:
    """The cells of a record's row.

    Args:
        folder: of the copy.
        experiments: folder of a record -> name of the experiment that has its setting.
    """
    source = read(folder)
    ranking = Results(source).ranking
    best = ranking.best if ranking.is_comparable else None
    runs = [best.run] if best is not None and best.run is not None else source.runs
    name = (SHOWCASE / folder.name).as_posix()
    progress = describe_progress(source)
    link = f"[{folder.name}](../../{name}){f', {progress}' if progress else ''}"
    if not runs:
        return ["-"] * (len(_COLUMNS) - 1) + [link]
    reported = replace(best, runs=best.tested_runs) if best is not None and ranking.is_tested(best) else best
    counted = find_counted(reported) if reported is not None else None
    devices = sorted({str(device) for each in source.runs if (device := each.summary.get("device"))})
    seconds = source.seconds or sum(each.seconds for each in source.runs)
    return [
        f"`{experiments[name]}`" if name in experiments else "-",
        *(_name_choices(runs, group) for group in ("model", "reward_model", "dataset")),
        f"`{best.settings_text}`" if best is not None and best.settings else "-",
        _write_score(ranking, best) if best is not None else "-",
        format_number(counted.kl if counted is not None else None),
        f"{max(run.num_updates for run in runs)} x {runs[0].look_up('ppo.batch_size') or '-'}",
        ", ".join([format_duration(seconds), *devices]),
        link,
    ]


def _name_choices(runs: Sequence[RunRecord], group: str) -> str:
    """The names of a group's choices; of a model or of data that is the user's own its place."""
    choices = dict.fromkeys((run.look_up(group), str(run.config.get(f"{group}.path"))) for run in runs)
    named = [(str(name), path) for name, path in choices if name is not None]
    return ", ".join(f"`{path if name in ('local', Path(path).name) else name}`" for name, path in named) or "-"


def _write_score(ranking: SourceRanking, best: Entry) -> str:
    """`-0.11 -> 0.42 [0.31, 0.53], 3 test seeds`: the base policy's, then the setting's, with its interval."""
    is_tested = ranking.is_tested(best)
    runs = best.tested_runs if is_tested else best.runs
    values = np.array([run.objectives[0] for run in runs if run.objectives])
    value, interval = ranking.choose_value(best), ""
    if len(values) > 1:
        estimated = estimate([values], statistic=mean)
        value, interval = estimated.value, f" {format_interval(estimated.low, estimated.high)}".rstrip()
    base = best.average_summary("base_score") if ranking.metric == SCORE else None
    start = (
        f"{format_number(base)} -> " if base is not None else "" if ranking.metric == SCORE else f"{ranking.metric} "
    )
    return f"{start}{format_number(value)}{interval}, {format_count(len(runs), 'test seed' if is_tested else 'seed')}"


def describe_progress(source: Source) -> str:
    """How far a run or sweep has come; empty if it came to its end."""
    if source.kind == "sweep":
        plan = read_plan(Sweep(source.folder or Path()).start() or {})
        num_ended = sum(trial.state in _ENDED for trial in source.trials)
        planned = max(plan.num_trials or 0, len(source.trials))
        return "" if num_ended == planned else f"unfinished: {num_ended} of {planned} trials ended"
    unfinished = [run for run in source.runs if run.state != COMPLETE]
    return join_words(
        f"{run.state}: update {run.num_updates} of {format_number(run.planned_updates)}" for run in unfinished
    )


def _write_line(cells: Iterable[str]) -> str:
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |\n"
