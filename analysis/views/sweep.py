"""What a sweep says: the best setting, which keys matter, what to try next, what it cost, which trials failed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis.output.charts import Chart
from analysis.output.parts import (
    Cell,
    Column,
    Command,
    Part,
    Rows,
    Sentences,
    Table,
    make_number_cell,
    make_setting_cell,
    make_text_cell,
)
from analysis.records.remarks import find_remark
from analysis.records.runs import FAILED, Source, TrialRecord
from analysis.results.results import Results
from analysis.sweep.analysis import SweepAnalysis, ViewAnalysis
from analysis.sweep.importance import Importance, ImportanceShare
from analysis.sweep.settings import normalize_settings
from analysis.sweep.slices import Slice
from analysis.views.cost import cost_view
from analysis.views.likeness import make_unlike_parts
from analysis.views.parallel import make_parallel_chart
from analysis.views.sweep_charts import make_contour_chart, make_front_chart, make_importance_chart, make_slices_chart
from analysis.views.sweep_sentences import write_view_statements
from analysis.views.trial_charts import make_history_chart, make_intermediate_values_chart, make_timeline_chart
from rlhf_sweeps.figures import format_interval, format_percent
from rlhf_sweeps.record.quantities import name_objectives
from rlhf_sweeps.record.trials import format_counts

# Chosen by looking at drawings and lists.
_MOST_STEPS = 4  # next steps
_MOST_PRINTED = 10  # rows of a table that has a file
_LONGEST_FILE_LABEL = 40  # of a reward model in the name of a file


def sweep_view(results: Results) -> list[Part]:
    """The tab's parts, then those that have a tab of their own in the page: history, cost, failures."""
    analysis = results.sweep
    parts = make_sweep_tab(results)
    for place, each in enumerate(analysis.views):
        if _can_be_searched(each):
            parts += _name_chart(make_history_chart(results.ranking, each.view), analysis, place)
    return [
        *parts,
        Sentences([], "what the sweep cost"),
        *cost_view(results.costs),
        *_describe_failures(results.source.trials),
    ]


def make_sweep_tab(results: Results) -> list[Part]:
    """What the terminal, the files and the page have alike: a new figure goes here. Also trials.csv, importance.csv."""
    source, analysis = results.source, results.sweep
    counts = format_counts((trial.state, find_remark(trial.state, trial.cause, trial.runs)) for trial in source.trials)
    name = f"{source.name}: {len(source.trials)} trials: {counts}" if source.trials else source.name
    unlike = make_unlike_parts(source)
    return [
        Sentences([name, *analysis.notes]),
        *unlike,
        *_make_files(source, analysis),
        *_make_search_parts(source, analysis),
    ]


def write_advice_sentences(source: Source, analysis: SweepAnalysis | None) -> list[str]:
    """What to try next, the most useful first; of a run outside of a sweep, that it takes several."""
    if source.kind == "run":
        return [
            "One run does not show how much seeds differ: run seed=0,1,2 with -m; search=lr_kl_clip searches for "
            "better settings"
        ]
    views = analysis.views if analysis is not None else []
    steps = [
        f"{view_analysis.view.label}: {step.text}" if view_analysis.view.label else step.text
        for view_analysis in views
        for step in view_analysis.steps
    ]
    if not steps and len(views) == 1 and views[0].view.is_single and views[0].view.best:
        return ["The record shows no need to continue this search; the tab Config has the command for the best run"]
    return steps[:_MOST_STEPS]


def _make_search_parts(source: Source, analysis: SweepAnalysis) -> list[Part]:
    """What the search says, for each view, and charts of all trials."""
    parts: list[Part] = []
    for place, view_analysis in enumerate(analysis.views):
        if _can_be_searched(view_analysis) or view_analysis.failures:
            parts += _make_view_parts(view_analysis, analysis, place)
    if len(analysis.views) == 1 and not analysis.views[0].view.label:
        charts = (make_intermediate_values_chart(source, analysis.views[0].view), make_timeline_chart(source))
        parts += [chart for chart in charts if chart is not None]
    return parts


def _can_be_searched(view_analysis: ViewAnalysis) -> bool:
    """Whether there are settings to tell apart: where a reward model has one only, its objective alone says nothing."""
    return bool(view_analysis.view.axes or not view_analysis.view.label)


def _make_view_parts(view_analysis: ViewAnalysis, analysis: SweepAnalysis, place: int) -> list[Part]:
    label = view_analysis.view.label
    title = f"results of the search on reward model {label}" if label else "results of the search"
    parts: list[Part] = [Sentences(write_view_statements(view_analysis), title)]
    if view_analysis.steps:
        parts.append(Sentences(view_analysis.steps, "what to try next", is_ordered=True))
        numbered = enumerate(view_analysis.steps, start=1)
        parts += [Command(f"step {number}", step.command) for number, step in numbered if step.command]
    for objective, importance in enumerate(view_analysis.importances):
        if any(key.is_clear for key in importance.keys):
            parts.append(_make_importance_table(importance, f"importance-{place}-{objective}"))
            parts += _name_chart(make_importance_chart(importance), analysis, place, objective)
    for objective, slices in enumerate(view_analysis.slices):
        parts += _name_chart(make_slices_chart(view_analysis, objective), analysis, place, objective)
        parts += [
            _make_slice_table(cut, view_analysis.view.names[objective], f"slice-{place}-{objective}-{index}")
            for index, cut in enumerate(slices)
            if len(cut.bins) > 1
        ]
    parts += _name_chart(make_contour_chart(view_analysis), analysis, place)
    if not view_analysis.view.is_single and view_analysis.front:
        parts.append(_make_front_table(view_analysis, f"front-{place}"))
    return [
        *parts,
        *_name_chart(make_front_chart(view_analysis), analysis, place),
        *_name_chart(make_parallel_chart(view_analysis), analysis, place),
    ]


def _name_chart(chart: Chart | None, analysis: SweepAnalysis, place: int, objective: int = 0) -> list[Part]:
    """A view's chart under an id, a title and a file's name of its own."""
    if chart is None:
        return []
    labels = [view_analysis.view.label for view_analysis in analysis.views]
    number_text = f"_{objective + 1}" if objective else ""
    title = f"{chart.title} (reward model {labels[place]})" if labels[place] else chart.title
    file = f"{chart.file}{_make_file_endings(labels)[place]}{number_text}"
    return [replace(chart, id=f"{chart.id}-{place}-{objective}", title=title, file=file)]


def _make_file_endings(labels: Sequence[str]) -> list[str]:
    """The ends of the names of reward models' files; different reward models have different ones."""
    names = ["".join(char if char.isalnum() or char in "-_" else "-" for char in label) for label in labels]
    names = [name[-_LONGEST_FILE_LABEL:] for name in names]
    return [
        f"_{name}{f'-{index}' if names.count(name) > 1 else ''}" if name else "" for index, name in enumerate(names)
    ]


def _make_importance_table(importance: Importance, identity: str) -> Table:
    rows = [
        [Cell(key.key), _make_share_cell(key.fanova), _make_share_cell(key.ped_anova), make_number_cell(key.p_value)]
        for key in importance.keys
    ]
    columns = [
        Column("Key"),
        Column("fANOVA in %", True, "share of the variance due to the key alone (range over resampled settings)"),
        Column("PED-ANOVA in %", True, "how much it matters for being among the best (range over resampled settings)"),
        Column("p", True, "the probability that any key matters as much by chance, by permutation"),
    ]
    caption = f"Importance for {importance.name} (range over resampled settings); p by permutation"
    return Table(identity, caption, columns, rows)


def _make_share_cell(share: ImportanceShare | None) -> Cell:
    if share is None:
        return Cell("-")
    bounds = f"{format_percent(share.low)} to {format_percent(share.high)}"
    return Cell(f"{format_percent(share.value)} ({bounds})", share.value)


def _make_slice_table(cut: Slice, metric: str, identity: str) -> Table:
    columns = [Column(cut.axis.key), Column("Mean", True), Column("95 % interval", True, "of the mean")]
    columns += [Column("Best", True), Column("Settings", True)]
    rows = [
        [
            Cell(part.label),
            make_number_cell(part.mean),
            Cell(format_interval(part.mean_low, part.mean_high) if part.num > 2 else "-"),
            make_number_cell(part.best),
            make_number_cell(part.num),
        ]
        for part in cut.bins
    ]
    return Table(identity, f"{metric} against {cut.axis.key}", columns, rows, is_folded=True)


def _make_front_table(view_analysis: ViewAnalysis, identity: str) -> Table:
    keys = [axis.key for axis in view_analysis.view.axes]
    columns = [Column("Trial", True), *[Column(name, True) for name in view_analysis.view.names]]
    columns += [Column(key, True) for key in keys]
    rows = []
    for setting in view_analysis.front:
        texts = {key: setting.values.get(key) for key in keys}
        settings = [
            make_setting_cell(text, view_analysis.view.label_value(key, text) if text is not None else None)
            for key, text in texts.items()
        ]
        objectives = [make_number_cell(float(value)) for value in setting.objectives]
        rows.append([make_number_cell(setting.numbers[0]), *objectives, *settings])
    caption = "Pareto front: settings that no other beats in all objectives"
    return Table(identity, caption, columns, rows, most_rows=_MOST_PRINTED, file="trials.csv")


def _describe_failures(trials: Sequence[TrialRecord]) -> list[Part]:
    rows = [
        [
            make_number_cell(trial.number),
            Cell(trial.cause or "unknown"),
            make_text_cell(" ".join((trial.message or "").split())),
        ]
        for trial in trials
        if trial.state == FAILED
    ]
    columns = [Column("Trial", True), Column("Cause"), Column("Message")]
    table = Table("failed", "failed trials", columns, rows, most_rows=_MOST_PRINTED, file="trials.csv")
    return [table] if rows else []


def _make_files(source: Source, analysis: SweepAnalysis) -> list[Part]:
    """A row for each trial, and one for each key's importance."""
    tables = {"trials.csv": list(_make_trial_rows(source)), "importance.csv": list(_make_importance_rows(analysis))}
    files: list[Part] = []
    for name, rows in tables.items():
        columns = list(dict.fromkeys(column for row in rows for column in row))
        if rows:
            files.append(Rows(name, columns, [[row.get(column) for column in columns] for row in rows]))
    return files


def _make_trial_rows(source: Source) -> Iterable[Mapping[str, Any]]:
    settings = [normalize_settings(trial) for trial in source.trials]
    keys = list(dict.fromkeys(key for values in settings for key in values))
    for trial, values in zip(source.trials, settings, strict=True):
        objectives = list(trial.objectives or []) + [None] * len(source.metrics)
        seeds = {run.seed: run.objectives for run in trial.runs if run.objectives is not None}
        yield {
            "trial": trial.number,
            "state": trial.state,
            "cause": trial.cause,
            "message": trial.message,
            **{key: values.get(key) for key in keys},
            **dict(zip(name_objectives(source.metrics), objectives, strict=False)),
            "by_seed": " ".join(f"{seed}:{'/'.join(map(repr, own))}" for seed, own in seeds.items()) or None,
            "violations": " ".join(f"{name}:{value!r}" for name, value in trial.violations.items()) or None,
            "seconds": trial.seconds or None,
        }


def _make_importance_rows(analysis: SweepAnalysis) -> Iterable[Mapping[str, Any]]:
    for view_analysis in analysis.views:
        for importance in view_analysis.importances:
            for key in importance.keys:
                start = {
                    "reward_model": view_analysis.view.label or None,
                    "objective": importance.name,
                    "key": key.key,
                }
                shares = {"fanova": key.fanova, "ped_anova": key.ped_anova}
                numbers = {
                    f"{name}{ending}": share and getattr(share, end)
                    for name, share in shares.items()
                    for ending, end in (("", "value"), ("_low", "low"), ("_high", "high"))
                }
                yield {**start, **numbers, "p_value": key.p_value, "settings": importance.num_settings}
