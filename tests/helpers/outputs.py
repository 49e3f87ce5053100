"""All that is said of a record, sentence by sentence, in every output."""

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.comparison.compare import compare_groups
from analysis.comparison.groups import group_runs
from analysis.comparison.own_matrix import REWARD_MODEL
from analysis.curves.metrics import ENTROPY, KL
from analysis.output.parts import Alert, Answers, Part, Rows, Sentences, Table
from analysis.records.runs import REWARD, Source
from analysis.results.ranking import SourceRanking
from analysis.results.results import Results
from analysis.views.compare import compare_view
from analysis.views.curves import curves_view
from analysis.views.health import health_view
from analysis.views.report import _make_sections, _Maker
from analysis.views.sweep import sweep_view
from analysis.wording.errors import AnalysisError
from analysis.wording.statements import Statement, join_words
from helpers.claims import ONE_MODEL, Said
from rlhf_sweeps.sweep.comparison_table import write_table
from rlhf_sweeps.sweep.last_lines import write_last_lines
from rlhf_sweeps.sweep.results_file import make_results
from rlhf_sweeps.sweep.study.trials import SweepTrial


def everything_said(source: Source) -> list[Said]:
    """By the commands, in the report, and at the end of a sweep."""
    return [*_curves(source), *_health(source), *_comparisons(source), *_sweep(source), *_report(source), *_end(source)]


def names_of(source: Source) -> dict[str, str]:
    """Other names of a setting where one key alone was swept: `trial 3` is `ppo.lr=0.001`."""
    if not source.trials or len(source.axes) != 1:
        return {}
    found = {}
    for group in group_runs(source, None).groups:
        runs = [*group.chosen, *group.tests]
        if len({run.look_up(source.axes[0]) for run in runs}) > 1:  # a range, which is no setting
            continue
        numbers = sorted({run.trial for run in runs if run.trial is not None})
        name = f"{source.axes[0]}={group.label}"
        found |= {f"trial {number}": name for number in numbers}
        found[f"trials {join_words(map(str, numbers))}"] = name
    return found


def _curves(source: Source) -> Iterator[Said]:
    metrics = [metric for metric in (REWARD, ENTROPY, KL) if metric in source.metric_names]
    results = Results(source)
    for by in (None, *source.axes[: source.kind == "sweep"]) if metrics else ():
        for part in curves_view(results, metrics, by):
            if isinstance(part, Sentences):
                about = part.title if by is None else ""
                yield from (Said("curves", _text(line), about) for line in part.lines)


def _health(source: Source) -> Iterator[Said]:
    for part in health_view(Results(source)):
        if isinstance(part, Alert):
            for name in _runs_of(part, source):
                yield Said("health", part.title, name)
                yield from (Said("health", _text(line), name) for line in part.lines)


def _runs_of(alert: Alert, source: Source) -> list[str]:
    """The runs that have a finding: those that are named, or the only one."""
    names = re.split(r", | and ", alert.where.partition(": ")[2])
    return [run.name for run in source.runs if run.name in names or len(source.runs) == 1]


def _comparisons(source: Source) -> Iterator[Said]:
    results = Results(source)
    for key in source.axes:
        try:
            parts = compare_view(results, key)
        except AnalysisError:
            continue
        for part in parts:
            yield from (replace(said, place="compare") for said in _of_part(part, results.ranking, source))
            if isinstance(part, Rows):
                yield from _of_file(part, key)


def _of_file(part: Rows, key: str) -> Iterator[Said]:
    """The rows of comparison.csv, which has the group first and the verdict last."""
    first, *others = part.rows
    yield Said(part.file, f"place 1: {first[0]}", key=key)
    for row in others:
        yield Said(part.file, f"row {first[0]} | {row[0]} | {row[-1]}", key=key)


def _sweep(source: Source) -> Iterator[Said]:
    if source.trials:
        parts = [part for part in sweep_view(Results(source)) if isinstance(part, Sentences)]
        lines = [getattr(line, "text", line) for part in parts for line in part.lines]
        yield from (Said("sweep", line, _one_model(source)) for line in lines)


def _one_model(source: Source) -> str:
    """What the views of a sweep are of where reward models are compared: each of one, that alone."""
    return ONE_MODEL if source.comparison is not None else ""


def _report(source: Source) -> Iterator[Said]:
    results, make = Results(source), _Maker()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger("analysis.views.report"), "disabled", True)
        sections = _make_sections(results, 0, make)
    assert not make.missing
    for section in sections:
        for part in section.parts:
            for said in _of_part(part, results.ranking, source):
                about = said.about or (_one_model(source) if section.id == "sweep" else "")
                yield replace(said, place=f"report: {section.title}", about=about)


def _list_groups(source: Source, key: str) -> list[str]:
    """Those that are compared by a key; none where runs with other objectives forbid it, which the part says."""
    try:
        return [group.label for group in compare_groups(source, key).groups if group.place]
    except AnalysisError:
        return []


def _of_part(part: Part, ranking: SourceRanking, source: Source) -> Iterator[Said]:
    labels = [entry.title[0].lower() + entry.title[1:] for entry in ranking.ranked]
    key = ""
    if ranking.comparison is not None:
        labels, key = [group.label for group in ranking.comparison.groups if group.place], REWARD_MODEL
    if isinstance(part, Sentences) and (by := re.fullmatch(r"By (\S+)", part.title)):
        groups = _list_groups(source, by[1])
        yield from (Said("", _text(line), labels=groups, key=by[1]) for line in part.lines)
    elif isinstance(part, Sentences):
        about = _run_of(part.title, ranking)
        yield from (Said("", _text(line), about, labels, key) for line in part.lines)
    elif isinstance(part, Answers):
        yield from (Said("", line, labels=labels, key=key) for _, lines in part.answers for line in lines)
    elif isinstance(part, Table):
        yield from _row_claims(part)
    elif isinstance(part, Alert):
        yield from (Said("", part.title, run) for run in _runs_of(part, source))


def _text(line: str | Statement) -> str:
    return line.text if isinstance(line, Statement) else line


def _row_claims(part: Table) -> Iterator[Said]:
    columns, key = [column.label for column in part.columns], re.match(r"Groups by (\S+),", part.caption)
    if "Against the best" in columns and key:
        place = columns.index("Against the best")
        for row in part.rows[1:]:
            yield Said("", f"row {part.rows[0][0].text} | {row[0].text} | {row[place].text}", key=key[1])


def _run_of(title: str, ranking: SourceRanking) -> str:
    """The only run that a title speaks of; empty where there are several."""
    if found := re.match(r"What run (\S+) did", title):
        return found[1]
    best = ranking.best
    is_of_best = best is not None and title.startswith(f"What {best.title[0].lower()}{best.title[1:]}")
    return best.runs[0].name if is_of_best and best is not None and len(best.runs) == 1 else ""


def _end(source: Source) -> Iterator[Said]:
    """The sweep's last lines, where its trials are settings: seeds as settings are not ranked there as here yet."""
    if source.comparison is not None:
        lines = write_table(source.comparison).splitlines()
        yield from (Said("last lines", line.strip(), key=REWARD_MODEL) for line in lines)
    if not source.trials or any("seed" in trial.settings for trial in source.trials):
        return
    trials = [
        SweepTrial(
            one.number,
            {},
            one.settings,
            Path(str(one.number)),
            one.state,
            objectives=list(one.objectives) if one.objectives else None,
            by_seed={seed: list(run.objectives) for seed, run in enumerate(one.runs) if run.objectives},
            tested={run.seed or 0: list(run.objectives) for run in one.tests if run.objectives},
            violations=dict(one.violations),
            cause=one.cause,
        )
        for one in source.trials
    ]
    if source.comparison is None:
        found = make_results(trials, source.directions)
        if found["best_trial"] is not None:
            yield Said("optimization_results.yaml", f"best: trial {found['best_trial']}, {found['best_params']}")
    block = write_last_lines(
        trials,
        metrics=source.metrics,
        directions=source.directions,
        fixed=[],
        hydra={},
        folder=Path("sweep"),
        is_grid=True,
        is_comparison=source.comparison is not None,
    )
    yield from (Said("last lines", line.strip()) for line in block.splitlines())
