"""Groups of runs that are better the later they come, evaluated at six KLs by their own reward model and by judges."""

from collections.abc import Sequence

import numpy as np

from analysis.output.charts import Chart, Layer
from analysis.output.parts import Part, Table
from analysis.records.runs import RunRecord, Source

UPDATES = np.arange(1.0, 7)
KLS = UPDATES**2 / 2


def judged_groups(num_groups: int, num_seeds: int = 3, judges: Sequence[str] = ("a", "b"), name: str = "{}") -> Source:
    """A reward model for each group.

    Args:
        name: of a reward model, with a place for the group's number.
    """
    runs = []
    for group in range(num_groups):
        for seed in range(num_seeds):
            random = np.random.default_rng(1000 * group + seed)
            gains = np.sqrt(KLS) * (1 + 0.1 * group - 0.3 * np.log(np.sqrt(KLS))) + 0.05 * random.normal(size=6)
            metrics = {"update": UPDATES, "eval/kl": KLS, "eval/score": gains, "eval/base_score": np.zeros(6)}
            metrics["eval/win_rate"] = np.clip(0.5 + 0.1 * gains, 0, 1)
            for judge in judges:
                metrics |= {f"judge/{judge}/score": gains, f"judge/{judge}/base_score": np.zeros(6)}
                metrics[f"judge/{judge}/win_rate"] = np.clip(0.5 + 0.1 * gains + 0.02 * random.normal(size=6), 0, 1)
            config = {"reward_model.name": name.format(group), "seed": seed}
            summary = {"objective": float(gains.max()), "best_update": float(UPDATES[gains.argmax()])}
            runs.append(RunRecord(f"{group}/seed_{seed}", metrics, config, summary=summary))
    return Source("made up", "sweep", runs)


def table_of(parts: Sequence[Part], name: str) -> list[list[str]]:
    """The texts of a table's cells, row by row."""
    (table,) = [part for part in parts if isinstance(part, Table) and part.id == name]
    return [[cell.text for cell in row] for row in table.rows]


def ticks_of(chart: Chart, place: int = 0) -> list[str]:
    """The names on a panel's y axis."""
    return [name for _, name in chart.panels[place].y.ticks]


def layers_of(chart: Chart, kind: type[Layer], place: int = 0) -> list[Layer]:
    """The layers of one kind in a panel."""
    return [layer for layer in chart.panels[place].layers if isinstance(layer, kind)]
