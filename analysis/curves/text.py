"""What the command `curves` prints: for each line of the figure what its metrics do."""

from collections.abc import Mapping, Sequence

from analysis.curves.axis import along
from analysis.curves.metrics import title_of
from analysis.curves.panels import Choice
from analysis.curves.sentences import Described, describe_metric
from analysis.curves.thresholds import MAX_LINES
from analysis.output.thinning import spread

_MAX_PRINTED = 8  # metrics of a line; phases.json has them all


def described_lines(choice: Choice, metrics: Sequence[str]) -> dict[str, list[Described]]:
    """Line -> what is said of each metric: of all lines with a name, or of some along the colour scale."""
    lines = list(choice.names) or list(choice.scale)
    if len(lines) > MAX_LINES:
        lines = [lines[i] for i in spread(len(lines), MAX_LINES)]
    runs = {line: [along(run, choice.unit) for run in choice.runs[line]] for line in lines}
    found = {line: [describe_metric(runs[line], metric, choice.unit) for metric in metrics] for line in lines}
    return {line: [one for one in several if one.statements] for line, several in found.items()}


def told(described: Mapping[str, Sequence[Described]], choice: Choice, metrics: Sequence[str]) -> str:
    """The sentences as text, a paragraph for each line, and which of the metrics a line lacks."""
    paragraphs = []
    for line, several in described.items():
        name = line if choice.by is None else f"{choice.by}={line}"
        sentences = [f"  {text.text}" for one in several[:_MAX_PRINTED] for text in one.statements]
        if len(several) > _MAX_PRINTED:
            sentences.append(f"  ({len(several) - _MAX_PRINTED} more metrics: phases.json)")
        missing = [title_of(metric) for metric in metrics if metric not in {one.metric for one in several}]
        if several and missing:
            more = f" and {len(missing) - _MAX_PRINTED} more" if len(missing) > _MAX_PRINTED else ""
            sentences.append(f"  (no usable value recorded: {', '.join(missing[:_MAX_PRINTED])}{more})")
        paragraphs.append("\n".join([f"{name}:", *(sentences or ["  has recorded none of these metrics"])]))
    num_left = len(choice.runs) - len(described)
    if num_left > 0:
        paragraphs.append(f"({num_left} more lines in the figure are not described)")
    return "\n".join([*paragraphs, *choice.notes])
