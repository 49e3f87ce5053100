"""The sweep views for the terminal, with the tables and figures that belong to them."""

import math
from collections.abc import Sequence
from pathlib import Path

from analysis.records.runs import FAILED, Source, Trial
from analysis.sweep.analysis import SweepAnalysis, ViewAnalysis, analyse
from analysis.sweep.importance import Importance, Share
from analysis.sweep.ledger import Cost, Ledger
from analysis.sweep.pictures import write_pictures
from analysis.sweep.sentences import shown_values
from analysis.sweep.slices import Slice
from analysis.sweep.tables import write_tables
from analysis.views.cost import cost_words, saved_sentence, untold_sentences
from analysis.wording.short_labels import shorten_apart
from analysis.wording.statements import clipped, counted, duration, number
from rlhf_sweeps.record.trials import counts_text

_MAX_FRONT = 10
_MAX_FAILURES = 8
_MAX_STATES = 8


def write_sweep_views(source: Source, out: Path) -> tuple[str, list[Path]]:
    """What a sweep found, cost, and leaves open.

    Args:
        out: a folder for trials.csv, importance.csv, ledger.csv, ledger.json and the figures; made if need be.

    Returns:
        The text for the terminal, without a newline at the end, and the files that were written.
    """
    found = analyse(source)
    from analysis.output.files import write
    from analysis.views.cost import cost_view

    paths = [*write_tables(source, found, out), *write(cost_view(found.ledger), out), *write_pictures(found, out)]
    return sweep_text(source, found), paths


def sweep_text(source: Source, found: SweepAnalysis) -> str:
    """Everything in words and small tables."""
    counts = counts_text((trial.state, trial.cause) for trial in source.trials)
    lines = [f"{source.name}: {len(source.trials)} trials: {counts}"] if source.trials else [source.name]
    lines += [f"note: {note}" for note in found.notes]
    for one in found.views:
        # A trial for each reward model, and nothing else: its objective alone says nothing.
        if one.view.axes or not one.view.label or one.failures:
            lines += ["", *_view_lines(one)]
    lines += ["", *_ledger_lines(found.ledger), *_failure_lines(source.trials)]
    return "\n".join(lines)


def _view_lines(one: ViewAnalysis) -> list[str]:
    lines = [f"reward_model {one.view.label}"] if one.view.label else []
    lines += [statement.text for statement in one.statements]
    for result in one.importances:
        lines += _importance_lines(result)
    if not one.view.is_single:
        lines += _front_lines(one)
    for metric, cuts in zip(one.view.metrics, one.slices, strict=False):
        lines += [line for cut in cuts for line in _slice_lines(cut, metric)]
    if one.steps:
        lines += ["what to try next:", *(f"  {i}. {step.text}" for i, step in enumerate(one.steps, 1))]
    return lines


def _importance_lines(result: Importance) -> list[str]:
    if not any(key.is_clear for key in result.keys):
        return []
    width = max(len(key.key) for key in result.keys)
    lines = [f"importance for {result.metric}, % (range over resampled settings)"]
    lines.append(f"  {'':{width}}  {'fANOVA':14}  {'PED-ANOVA':14}  p by permutation")
    for key in result.keys:
        shares = f"{_share(key.fanova):14}  {_share(key.ped_anova):14}"
        lines.append(f"  {key.key:{width}}  {shares}  {number(key.p_value, 2)}")
    return lines


def _share(share: Share | None) -> str:
    return "-" if share is None else f"{100 * share.value:.0f} ({100 * share.low:.0f} to {100 * share.high:.0f})"


def _front_lines(one: ViewAnalysis) -> list[str]:
    lines = [f"Pareto front ({', '.join(one.view.metrics)}):"] if one.front else []
    for setting in one.front[:_MAX_FRONT]:
        values = ", ".join(number(float(value)) for value in setting.objectives)
        lines.append(f"  {values}  trial {setting.numbers[0]}: {shown_values(setting, one.view)}")
    left = len(one.front) - _MAX_FRONT
    return [*lines, f"  and {left} more, in trials.csv"] if left > 0 else lines


def _slice_lines(cut: Slice, metric: str) -> list[str]:
    if len(cut.bins) < 2:
        return []
    labels = shorten_apart([part.label for part in cut.bins])
    width = max(map(len, labels))
    lines = [f"{metric} against {cut.axis.key}: mean [95 %], best, settings"]
    for label, part in zip(labels, cut.bins, strict=True):
        interval = f"[{number(part.mean_low)}, {number(part.mean_high)}]" if part.num > 2 else "[-]"
        lines.append(f"  {label:{width}}  {number(part.mean):>7} {interval:18} {number(part.best):>7}  {part.num}")
    return lines


def _ledger_lines(costs: Ledger) -> list[str]:
    total = costs.total
    if not total.runs and math.isnan(total.seconds):
        return ["cost: not recorded"]
    lines = [f"cost: {', '.join([*cost_words(total), counted(total.runs, 'run')])}"]
    if total.gpu_seconds > 0:
        lines[0] += f"; {number(costs.gpu_hours)} GPU-hours (of one worker each)"
    if costs.price is not None:
        lines[0] += f"; {number(costs.price)} at {number(costs.cost_per_hour)} an hour"
    states = sorted(costs.by_state.items(), key=lambda one: -(one[1].seconds if one[1].seconds > 0 else 0.0))[
        :_MAX_STATES
    ]
    lines += [f"  {state:10} {_time(cost):>10}  {_part(cost, total)}" for state, cost in states]
    lines += [f"  {line}" for line in untold_sentences(total)]
    if saved := saved_sentence(total):
        lines.append(f"  {saved}")
    if costs.wall_seconds > 0:
        busy = f", {number(total.seconds / costs.wall_seconds, 2)} workers busy on average" if total.seconds > 0 else ""
        lines.append(f"  on the clock {duration(costs.wall_seconds)}{busy}")
    if total.seconds > 0 and total.scoring_seconds > 0:
        lines.append(f"  scoring took {100 * total.scoring_seconds / total.seconds:.1f} % of the time")
    if total.peak_memory_mb == total.peak_memory_mb:
        lines.append(f"  peak memory of a run {number(total.peak_memory_mb / 1024)} GB")
    if costs.num_without_end:
        lines.append(
            f"  {costs.num_without_end} runs wrote no summary; they count as far as their updates are recorded"
        )
    return lines


def _part(cost: Cost, total: Cost) -> str:
    share = f"{100 * cost.seconds / total.seconds:3.0f} %" if cost.seconds >= 0 and total.seconds > 0 else "  - %"
    tokens = "" if math.isnan(cost.tokens) else f", {number(cost.tokens, 3)} tokens"
    return f"{share}  {counted(cost.runs, 'run')}, {counted(cost.updates, 'update')}{tokens}"


def _time(cost: Cost) -> str:
    return "-" if math.isnan(cost.seconds) else duration(cost.seconds)


def _failure_lines(trials: Sequence[Trial]) -> list[str]:
    failed = [trial for trial in trials if trial.state == FAILED]
    lines = ["failed trials:"] if failed else []
    for trial in failed[:_MAX_FAILURES]:
        message = clipped(" ".join((trial.message or "").split()), 160)
        lines.append(f"  {trial.number}  {trial.cause or 'unknown'}{': ' + message if message else ''}")
    left = len(failed) - _MAX_FAILURES
    return [*lines, f"  and {left} more, in trials.csv"] if left > 0 else lines
