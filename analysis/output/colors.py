"""The colours of all figures."""

from analysis.output.charts import Color

# Okabe and Ito's colours, told apart by colour-blind readers (https://jfly.uni-koeln.de/color/), black last.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#000000")
# Of heat maps with a middle: brown, white, blue (ColorBrewer's PuOr and RdBu ends, https://colorbrewer2.org).
DIVERGING = ("#b35806", "#f7f7f7", "#2166ac")


def hex_of(color: Color) -> str:
    """`#rrggbb`: of a place in COLORS, which begins anew behind its end."""
    return COLORS[color % len(COLORS)] if isinstance(color, int) else color
