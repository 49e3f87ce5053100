"""The cost ledger: seconds, tokens, GPU-hours, by what became of the trials; what pruning saved."""

import math
from collections.abc import Callable

from analysis.output.colors import COLORS
from analysis.report.parts import Cell, Column, Figure, Part, Sentences, Table, Tiles, number_cell
from analysis.sweep.cost_text import cost_words, saved_sentence, untold_sentences
from analysis.sweep.ledger import Cost, Ledger
from analysis.wording.statements import counted, duration, listed, number

_COLORS = {"complete": COLORS[0], "pruned": COLORS[3], "failed": COLORS[1], "test": COLORS[2]}


def cost_parts(costs: Ledger) -> list[Part]:
    """Numbers, sentences, a bar, a table by state."""
    total = costs.total
    if not total.runs and math.isnan(total.seconds):
        return [Sentences(["No cost is in this record"])]
    parts: list[Part] = [cost_tiles(costs), Sentences(cost_sentences(costs))]
    if len(costs.by_state) > 1 and total.seconds > 0:
        parts.append(_bar(costs))
    return [*parts, _table(costs)]


def cost_tiles(costs: Ledger) -> Tiles:
    """The totals; what is not recorded is unknown."""
    total = costs.total
    tiles = [("Worker time", _or_unknown(total.seconds, duration), _hint(total, "seconds", "of one worker"))]
    if costs.wall_seconds > 0:
        busy = f"{number(total.seconds / costs.wall_seconds, 2)} workers busy on average" if total.seconds > 0 else ""
        tiles.append(("On the clock", duration(costs.wall_seconds), busy))
    on_gpus = "of one worker each" if costs.gpu_hours else "no CUDA device"
    tiles.append(("GPU-hours", _or_unknown(costs.gpu_hours, number), _hint(total, "gpu_seconds", on_gpus)))
    if not math.isnan(total.tokens):
        tiles.append(("Tokens", f"{total.tokens:,.0f}", _hint(total, "tokens", "in and out of all models")))
    if total.saved_updates:
        updates = f"{total.saved_updates:,} updates not run"
        tiles.append(("Saved by pruning", _or_unknown(total.saved_seconds, duration), updates))
    if costs.price is not None:
        tiles.append(("Price", number(costs.price), f"at {number(costs.cost_per_hour)} an hour"))
    if not math.isnan(total.peak_memory_mb):
        tiles.append(("Peak memory", f"{number(total.peak_memory_mb / 1024)} GB", "of one run"))
    return Tiles(tiles)


def _or_unknown(value: float, text: Callable[[float], str]) -> str:
    return "unknown" if math.isnan(value) else text(value)


def _hint(total: Cost, name: str, otherwise: str) -> str:
    """Of how many runs a sum is, where that is not all."""
    untold = total.untold.get(name, 0)
    if not untold:
        return otherwise
    return "not recorded" if untold == total.runs else f"{otherwise}; of {total.runs - untold} of {total.runs} runs"


def cost_sentences(costs: Ledger) -> list[str]:
    """Where the time went."""
    total = costs.total
    words = [*cost_words(total), counted(total.updates, "update")]
    lines = [f"{counted(total.runs, 'run')} took {listed(words)}", *map(_sentence, untold_sentences(total))]
    if saved := saved_sentence(total):
        share = 100 * total.saved_updates / max(1, total.planned_updates + _unstarted(costs))
        lines.append(f"{_sentence(saved)} ({share:.0f} % of all updates that were planned)")
    if total.seconds > 0 and total.scoring_seconds > 0:
        lines.append(f"Scoring took {100 * total.scoring_seconds / total.seconds:.1f} % of the time")
    if costs.num_without_end:
        lines.append(
            f"{counted(costs.num_without_end, 'run')} wrote no summary; counted as far as updates are recorded"
        )
    return lines


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _unstarted(costs: Ledger) -> int:
    """Updates of seeds that were never started: saved, and not among those that runs had planned."""
    return max(0, costs.total.updates + costs.total.saved_updates - costs.total.planned_updates)


def _bar(costs: Ledger) -> Figure:
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": state,
            "x": [cost.seconds / 60],
            "y": ["worker time"],
            "marker": {"color": _COLORS.get(state, COLORS[4])},
            "hovertemplate": f"{state}: %{{x:.3g}} min<extra></extra>",
        }
        for state, cost in costs.by_state.items()
        if cost.seconds > 0
    ]
    layout = {
        "barmode": "stack",
        "xaxis": {"title": {"text": "minutes of one worker"}},
        "yaxis": {"visible": False},
        "legend": {"orientation": "h"},
        "margin": {"l": 12, "r": 12, "t": 8, "b": 40},
    }
    return Figure("cost", "Where the time went", data, layout, "", 170)


def _table(costs: Ledger) -> Table:
    columns = [Column("State"), Column("Runs", True), Column("Seconds", True, "of one worker"), Column("Share", True)]
    columns += [Column("GPU-hours", True), Column("Updates", True), Column("Tokens", True), Column("Episodes", True)]
    columns += [
        Column("Scoring seconds", True),
        Column("Updates saved", True),
        Column("Seconds saved", True, "estimate"),
    ]
    rows = [_row(state, cost, costs.total) for state, cost in costs.by_state.items()]
    return Table(
        "ledger", "Cost by what became of the trials", columns, [*rows, _row("total", costs.total, costs.total)]
    )


def _count_cell(value: float) -> Cell:
    return Cell(f"{value:,.0f}", value) if value >= 1000 else number_cell(value)


def _row(state: str, cost: Cost, total: Cost) -> list[Cell]:
    share = 100 * cost.seconds / total.seconds if total.seconds > 0 else math.nan
    values = (cost.gpu_seconds / 3600, cost.updates, cost.tokens, cost.episodes, cost.scoring_seconds)
    return [
        Cell(state),
        number_cell(cost.runs),
        number_cell(round(cost.seconds, 1)),
        Cell("-") if math.isnan(share) else Cell(f"{share:.0f} %", share),
        *[_count_cell(value) for value in values],
        number_cell(cost.saved_updates or None),
        number_cell(round(cost.saved_seconds, 1)),
    ]
