"""A screen of reward models: how good the best of n answers is under the independent judges, drawn against n."""

import math
from typing import Any

from analysis.output.charts import Band, Chart, ChartAxis, Layer, Line, Panel, Rule
from analysis.output.colors import COLORS
from analysis.output.parts import Column, Part, Sentences, Table, make_interval_cell, make_number_cell
from analysis.reading.screens import Screen
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.verdicts.near_copies import describe_near_copies

# Chosen by looking at drawings.
_DASHES = ("solid", "dash", "dot", "dashdot")
_WIDE, _PALE = 6.0, 0.4  # pixels; of 1
_MOST_CURVES = len(COLORS)  # so many colours can be told apart


def screen_view(screen: Screen) -> list[Part]:
    """What the picture is, the picture itself, and its numbers as a table."""
    if not screen.curves:
        return [Sentences(["nothing to draw: no reward model has an independent judge"])]
    lines = [
        "a curve that rises belongs to a reward model whose choices the independent judges prefer, one that falls to a "
        "reward model whose best answers please itself alone",
        "the independent judges of a reward model are all others that are no near-copies of it",
    ]
    copies = [
        describe_near_copies(group.judges, group.correlation, screen.near_copy_from) for group in screen.near_copies
    ]
    return [Sentences([*lines, *copies], "The best of n answers"), make_screen_chart(screen), _make_table(screen)]


def make_screen_chart(screen: Screen) -> Chart:
    """A line with its band for each reward model; near-copies share a colour. Below n stands the KL."""
    places = [math.log2(n) for n in screen.sizes]
    layers: list[Layer] = [Rule(50.0, is_upright=False, dash="dash")]
    drawn = screen.curves[:_MOST_CURVES]
    first_of = {name: group.judges[0] for group in screen.near_copies for name in group.judges}
    colors = {
        name: place for place, name in enumerate(dict.fromkeys(first_of.get(own.name, own.name) for own in drawn))
    }
    earlier: list[str] = []
    for curve in drawn:
        first = first_of.get(curve.name, curve.name)
        name = f"{curve.name} (near-copy of {first})" if curve.name != first else curve.name
        look = _pick_look(earlier.count(first), first in first_of)
        lows, highs, rates = ([100 * share for share in shares] for shares in (curve.lows, curve.highs, curve.rates))
        if first not in earlier:
            layers.append(Band(places, lows, highs, color=colors[first], opacity=0.13))
        layers.append(Line(places, rates, name, colors[first], has_dots=True, **look))
        earlier.append(first)
    ticks = [
        (place, f"{n}\n{format_number(kl)}") for place, n, kl in zip(places, screen.sizes, screen.kls, strict=True)
    ]
    label = (
        "n, the number of answers to choose from; below it the KL of the choice to the base policy, in nats, at most"
    )
    panel = Panel(ChartAxis(label, ticks=ticks), ChartAxis("wins under the independent judges, in %"), layers)
    note = (
        f"bands: 95 % intervals over other prompts than these {screen.num_prompts}; dashed line: no better than chance"
    )
    if len(drawn) < len(screen.curves):
        note += f"; the first {len(drawn)} of {len(screen.curves)} reward models"
    title = "How often the best of n answers, chosen by a reward model, beats another answer of the base policy"
    return Chart("screen", title, [panel], note, width=760, height=430, file="screen")


def _pick_look(num_before: int, is_in_group: bool) -> dict[str, Any]:
    """Near-copies lie on each other: the first is wide and pale, so that the dashes of the others show on it."""
    if is_in_group and not num_before:
        return {"width": _WIDE, "opacity": _PALE}
    return {"dash": _DASHES[num_before % len(_DASHES)]}


def _make_table(screen: Screen) -> Table:
    columns = [Column("n", True), Column("KL at most, nats", True), *(Column(own.name, True) for own in screen.curves)]
    rows = [
        [
            make_number_cell(n),
            make_number_cell(screen.kls[place]),
            *(
                make_interval_cell(own.rates[place], own.lows[place], own.highs[place], is_rate=True)
                for own in screen.curves
            ),
        ]
        for place, n in enumerate(screen.sizes)
    ]
    caption = "Wins of the best of n answers under the independent judges [95 % interval]"
    return Table("screen-table", caption, columns, rows)
