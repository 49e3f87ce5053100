"""How figures look, and how they are written: the same input gives the same bytes."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from analysis.output.places import make_folder
from rlhf_sweeps.record import open_atomically

_SETTINGS: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "figure.dpi": 150,
    "font.size": 9,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "rlhf_sweeps",  # else the names of clip paths are random
}


class _Figure(Figure):
    def add_subplot(self, *arguments: Any, **options: Any) -> Any:
        """Axes take their settings when they are made."""
        with matplotlib.rc_context(_SETTINGS):
            return super().add_subplot(*arguments, **options)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches, drawn without a display; pyplot's global state is left alone."""
    with matplotlib.rc_context(_SETTINGS):
        return _Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a .png, .svg or .pdf without the date and version that would make its bytes differ."""
    make_folder(path.parent)
    metadata = {
        ".png": {"Software": None},
        ".svg": {"Date": None, "Creator": None},
        ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    with matplotlib.rc_context(_SETTINGS), open_atomically(path, "wb") as file:
        figure.savefig(file, format=path.suffix[1:], metadata=metadata[path.suffix])
    return path
