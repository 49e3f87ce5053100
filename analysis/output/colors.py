"""The colours of all figures."""

import math

from analysis.output.charts import Color, ColorScale
from analysis.records.runs import COMPLETE, FAILED, PRUNED

TEST = "test"  # of the runs on test seeds, beside the states of trials

# Okabe and Ito's colours, told apart by colour-blind readers (https://jfly.uni-koeln.de/color/), black last.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#000000")
# Of what became of a trial: places in COLORS. The second place is free for the best trial.
_STATE_COLORS = {COMPLETE: 0, TEST: 2, PRUNED: 3, FAILED: 6}
_OTHER_STATE = 4
# From the worst fifth of settings to the best: viridis, of which the ends stay readable on a light ground.
FIFTHS = ("#7a6a9b", "#3e6d9c", "#21918c", "#5aa845", "#e0a100")
# Of heat maps with a middle: brown, white, blue (ColorBrewer's PuOr and RdBu ends, https://colorbrewer2.org).
DIVERGING = ("#b35806", "#f7f7f7", "#2166ac")
# Matplotlib's viridis at even steps, from its first to its last colour (https://bids.github.io/colormap/).
VIRIDIS = (
    *("#440154", "#481467", "#482576", "#453781", "#404688", "#39558c", "#33638d", "#2d718e", "#287d8e", "#238a8d"),
    *("#1f968b", "#20a386", "#29af7f", "#3dbc74", "#56c667", "#75d054", "#95d840", "#bade28", "#dde318", "#fde725"),
)


def color_of_state(state: str) -> int:
    """The colour of a trial's state, or of `TEST`; all other states share one colour."""
    return _STATE_COLORS.get(state, _OTHER_STATE)


def find_hex(color: Color) -> str:
    """`#rrggbb`: of a place in COLORS, which begins anew behind its end."""
    return COLORS[color % len(COLORS)] if isinstance(color, int) else color


def pick_color(scale: ColorScale, value: float) -> str:
    """`#rrggbb`: of a number on a scale, between the two steps of VIRIDIS that are nearest."""
    low, high, place = (math.log(x) if scale.is_log else x for x in (scale.low, scale.high, value))
    share = min(max((place - low) / (high - low), 0.0), 1.0) if high > low else 0.0
    step, part = divmod(share * (len(VIRIDIS) - 1), 1)
    below, above = VIRIDIS[int(step)], VIRIDIS[min(int(step) + 1, len(VIRIDIS) - 1)]
    channels = [(int(below[i : i + 2], 16), int(above[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(start + part * (end - start)):02x}" for start, end in channels)
