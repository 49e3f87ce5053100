"""The cost ledger: seconds, tokens, GPU-hours, by what became of the trials; what pruning saved."""

import math
from collections.abc import Callable

from analysis.output.charts import Bars, Chart, ChartAxis, Panel
from analysis.output.colors import TEST, color_of_state
from analysis.output.parts import (
    Cell,
    Column,
    Document,
    Part,
    Rows,
    Sentences,
    Table,
    Tiles,
    count_cell,
    make_number_cell,
)
from analysis.sweep.ledger import MEASURED, Ledger, RunCost
from analysis.wording.statements import format_count, format_duration, join_words
from rlhf_sweeps.figures import format_number, format_share

_COSTS = [name for name in RunCost.__dataclass_fields__ if name != "untold"]
_WORDS = {
    "seconds": "time",
    "gpu_seconds": "time on GPUs",
    "scoring_seconds": "time of scoring",
    "tokens": "tokens",
    "episodes": "episodes",
}


def cost_view(costs: Ledger) -> list[Part]:
    """The sums, sentences on what they lack, a bar, a table by state; ledger.csv and ledger.json."""
    total = costs.total
    if not total.runs and math.isnan(total.seconds):
        return [Sentences(["neither time nor tokens are recorded"]), *_make_files(costs)]
    lines = write_cost_sentences(costs)
    parts: list[Part] = [make_cost_tiles(costs), *([Sentences(lines)] if lines else [])]
    if len(costs.by_state) > 1 and total.seconds > 0:
        parts.append(_make_bar(costs))
    return [*parts, _make_table(costs), *_make_files(costs)]


def _make_files(costs: Ledger) -> list[Part]:
    """A row for each trial, and one more for its runs on test seeds; sums as JSON."""
    rows = [(trial.number, trial.state, *_list_values(trial.cost)) for trial in costs.trials]
    rows += [(trial.number, TEST, *_list_values(trial.tests)) for trial in costs.trials if trial.tests.runs]
    sums = {
        "total": _name_values(costs.total),
        "by_state": {state: _name_values(cost) for state, cost in costs.by_state.items()},
        "worker_hours": costs.worker_hours,
        "gpu_hours": costs.gpu_hours,
        "wall_seconds": costs.wall_seconds or None,
        "cost_per_hour": costs.cost_per_hour,
        "price": costs.price,
        "runs_without_summary": costs.num_without_end,
        "runs_that_do_not_tell": dict(sorted(costs.total.untold.items())),
    }
    return [Rows("ledger.csv", ["trial", "state", *_COSTS], rows), Document("ledger.json", sums)]


def _list_values(cost: RunCost) -> list[float]:
    return [getattr(cost, name) for name in _COSTS]


def _name_values(cost: RunCost) -> dict[str, float]:
    return dict(zip(_COSTS, _list_values(cost), strict=True))


def make_cost_tiles(costs: Ledger) -> Tiles:
    """The totals; what is not recorded is unknown."""
    total = costs.total
    episodes = "" if math.isnan(total.episodes) else f", {format_count(round(total.episodes), 'episode')}"
    tiles = [("Runs", f"{total.runs:,}", format_count(total.updates, "update") + episodes)]
    tiles.append(
        ("Worker time", _format_cost(total.seconds, format_duration), _write_hint(total, "seconds", "of one worker"))
    )
    if costs.wall_seconds > 0:
        busy = (
            f"{format_number(total.seconds / costs.wall_seconds)} workers busy on average" if total.seconds > 0 else ""
        )
        tiles.append(("On the clock", format_duration(costs.wall_seconds), busy))
    on_gpus = "of workers that had a GPU" if costs.gpu_hours else "no CUDA device"
    tiles.append(
        ("GPU-hours", _format_cost(costs.gpu_hours, format_number), _write_hint(total, "gpu_seconds", on_gpus))
    )
    if not math.isnan(total.tokens):
        tiles.append(("Tokens", f"{total.tokens:,.0f}", _write_hint(total, "tokens", "in and out of all models")))
    if total.saved_updates:
        share = total.saved_updates / max(1, total.planned_updates + _count_unstarted(costs))
        not_run = f"{total.saved_updates:,} updates not run, {format_share(share)} of all that were planned"
        pace = "" if math.isnan(total.saved_seconds) else "; at the pace of the pruned trials themselves"
        tiles.append(("Saved by pruning", _format_cost(total.saved_seconds, format_duration), not_run + pace))
    if costs.price is not None:
        tiles.append(("Price", format_number(costs.price), f"at {format_number(costs.cost_per_hour)} an hour"))
    if not math.isnan(total.peak_memory_mb):
        tiles.append(("Peak memory", f"{format_number(total.peak_memory_mb / 1024)} GB", "of one run"))
    return Tiles(tiles)


def _format_cost(value: float, text: Callable[[float], str]) -> str:
    return "unknown" if math.isnan(value) else text(value)


def _write_hint(total: RunCost, name: str, otherwise: str) -> str:
    """Of how many runs a sum is, where that is not all."""
    untold = total.untold.get(name, 0)
    if not untold:
        return otherwise
    return (
        "not recorded"
        if untold == total.runs
        else f"{otherwise}; recorded for {total.runs - untold} of {total.runs} runs"
    )


def write_cost_sentences(costs: Ledger) -> list[str]:
    """What is not recorded, and where the time went; `make_cost_tiles` has the sums and what they lack."""
    total = costs.total
    lines = _write_untold_sentences(total)
    if total.seconds > 0 and total.scoring_seconds > 0:
        lines.append(f"scoring took {format_share(total.scoring_seconds / total.seconds)} of the time")
    if costs.num_without_end:
        lines.append(
            f"{format_count(costs.num_without_end, 'run')} wrote no summary; only recorded updates are counted"
        )
    return lines


def _write_untold_sentences(cost: RunCost) -> list[str]:
    """What is not recorded, of how many runs; nothing of what `_write_hint` says it of."""
    have_tiles = {"seconds", "gpu_seconds", *([] if math.isnan(cost.tokens) else ["tokens"])}
    by_count: dict[int, list[str]] = {}
    for name in MEASURED:
        if name not in have_tiles and (num := cost.untold.get(name, 0)):
            by_count.setdefault(num, []).append(_WORDS[name])
    lines = []
    for num, words in sorted(by_count.items(), reverse=True):
        verb = "is" if words[-1].startswith("time") and len(words) == 1 else "are"
        where = "" if num == cost.runs else f" in {num} of {format_count(cost.runs, 'run')}, which the sums leave out"
        lines.append(f"{join_words(words)} {verb} not recorded{where}")
    return lines


def _count_unstarted(costs: Ledger) -> int:
    """Updates of seeds that were never started: saved, and not among those that runs had planned."""
    return max(0, costs.total.updates + costs.total.saved_updates - costs.total.planned_updates)


def _make_bar(costs: Ledger) -> Chart:
    """One bar of minutes, a colour for each state."""
    bars, start = [], 0.0
    for state, cost in costs.by_state.items():
        if cost.seconds > 0:
            end = start + cost.seconds / 60
            hover = [f"{state}: {format_number(cost.seconds / 60)} min"]
            bars.append(Bars([0], [start], [end], state, color_of_state(state), hover=hover))
            start = end
    panel = Panel(ChartAxis("minutes of one worker", low=0, high=start), ChartAxis(is_hidden=True), bars)
    return Chart("cost", "Where the time went", [panel], height=170)


def _make_table(costs: Ledger) -> Table:
    columns = [Column("State"), Column("Runs", True), Column("Seconds", True, "of one worker"), Column("Share", True)]
    columns += [
        Column("GPU-hours", True),
        Column("Updates", True),
        Column("Tokens", True),
        Column("Episodes", True, is_detail=True),
    ]
    columns += [
        Column("Scoring seconds", True, is_detail=True),
        Column("Updates saved", True),
        Column("Seconds saved", True, "estimate"),
    ]
    rows = [_make_row(state, cost, costs.total) for state, cost in costs.by_state.items()]
    return Table("ledger", "Cost by the final state of the trials", columns, rows)


def _make_row(state: str, cost: RunCost, total: RunCost) -> list[Cell]:
    share = cost.seconds / total.seconds if total.seconds > 0 else math.nan
    values = (cost.gpu_seconds / 3600, cost.updates, cost.tokens, cost.episodes, cost.scoring_seconds)
    return [
        Cell(state),
        count_cell(cost.runs),
        count_cell(round(cost.seconds, 1)),
        Cell("-") if math.isnan(share) else Cell(format_share(share), share),
        *[count_cell(value) for value in values],
        make_number_cell(cost.saved_updates or None),
        count_cell(round(cost.saved_seconds, 1)),
    ]
