"""Charts as tests ask for them: by their id, their layers by name."""

from collections.abc import Iterable

from analysis.output.charts import Chart, Layer, Panel
from analysis.output.parts import Part


def charts_of(parts: Iterable[Part]) -> dict[str, Chart]:
    """The charts among parts, by their ids."""
    return {part.id: part for part in parts if isinstance(part, Chart)}


def layers_of(panel: Panel) -> dict[str, Layer]:
    """The named layers of a panel."""
    return {layer.name: layer for layer in panel.layers if getattr(layer, "name", "")}
