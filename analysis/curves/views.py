"""Training curves as a user gets them: figures, their numbers as a table, and in words what they do."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analysis.curves.figures import save_figures
from analysis.curves.metrics import chosen_metrics
from analysis.curves.panels import against, chosen_lines, panels, without_mean
from analysis.curves.tables import write_phases, write_table
from analysis.curves.text import described_lines, told
from analysis.output.places import make_folder
from analysis.records.runs import Source
from analysis.results.ranking import leaders


def write_curves(
    source: Source,
    out: Path,
    *,
    metrics: Sequence[str] | None = None,
    by: str | None = None,
    smooth: float | None = None,
    axis: str | None = None,
    formats: Sequence[str] = ("png", "svg"),
) -> tuple[str, list[Path]]:
    """Draw the curves and say what they do; returns the text and the files: figures, curves.csv, phases.json.

    Args:
        out: a folder, made if it is not there.
        metrics: names or patterns; by default the panels of the published figure.
        by: a config key whose values share a line; by default a line is a run.
        smooth: see `panels.panels`.
        axis: update or episode; by default see `axis.chosen_unit`.
        formats: of the figures: png, svg, pdf.

    Raises:
        AnalysisError: if no run has a metric that is asked for.
    """
    names = chosen_metrics(source.runs, metrics)
    choice = against(chosen_lines(source, names, by, leaders), axis)
    found = panels(choice, names, smooth)
    missing = without_mean(found, choice)
    found = [panel for panel in found if panel.curves or panel.others]
    if not found:
        why = "; ".join(missing) or "no run has recorded a metric yet"
        return f"{source.name}: {why}, so there is nothing to draw", []
    choice = replace(choice, notes=(*choice.notes, *missing))
    make_folder(out)
    described = described_lines(choice, [panel.metric for panel in found])
    only = {one.metric: one for one in next(iter(described.values()))} if len(choice.runs) == 1 else None
    paths = save_figures(source.name, found, choice, only, out, formats)
    paths.append(write_table(found, choice, out / "curves.csv"))
    windows = {panel.metric: panel.window for panel in found}
    paths.append(write_phases(described, choice, windows, out / "phases.json"))
    return told(described, choice, list(windows)), paths
