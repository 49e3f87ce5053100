"""A phase, which is a stretch of a curve with one course, and how neighbouring phases become one."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from analysis.curves.thresholds import MIN_LEVEL_SHARE, MIN_LEVEL_STEPS
from analysis.records.runs import Floats

RISES, FALLS, LEVEL, JUMPS, DROPS = "rises", "falls", "level", "jumps", "drops"


@dataclass(frozen=True)
class Phase:
    """A stretch of a curve with one course.

    Attributes:
        kind: RISES, FALLS, LEVEL, JUMPS or DROPS.
        start, end: updates; the next phase starts where this one ends.
        first, last: the curve's values there, without noise.
        noise: standard deviation of a single value around the phases.
        memory: autocorrelation of the noise, from one value to the next, 0 to below 1; a key of phases.json.
        begins: 95 % confidence interval of the update where it begins; twice the first update for the first phase.
    """

    kind: str
    start: float
    end: float
    first: float
    last: float
    noise: float
    memory: float
    begins: tuple[float, float]

    @property
    def change(self) -> float:
        """From its start to its end."""
        return self.last - self.first

    @property
    def slope(self) -> float:
        """Change of an update."""
        return self.change / (self.end - self.start) if self.end > self.start else 0.0


Classifier = Callable[[Phase], str]  # gives the kind of a phase, by its values and its place


def find_shortest_level(updates: Floats) -> float:
    """The updates that a level stretch covers at least."""
    return max(MIN_LEVEL_SHARE * float(updates[-1] - updates[0]), MIN_LEVEL_STEPS * float(np.median(np.diff(updates))))


def tidy_phases(phases: list[Phase], classify: Classifier, shortest: float) -> list[Phase]:
    """The phases after neighbours of one kind were joined, and level stretches that are too short were given away."""
    while True:
        merged = _merge_equals(phases, classify)
        short = [index for index, phase in enumerate(merged) if _is_removable(merged, index, shortest)]
        if not short:
            return merged
        phases = _remove_phase(merged, min(short, key=lambda index: merged[index].end - merged[index].start))


def _merge_equals(phases: list[Phase], classify: Classifier) -> list[Phase]:
    merged = phases[:1]
    for phase in phases[1:]:
        if phase.kind == merged[-1].kind and phase.kind not in (JUMPS, DROPS):
            both = replace(merged[-1], end=phase.end, last=phase.last)
            # Level stretches at different heights, one after the other, are a slow rise or fall.
            merged[-1] = replace(both, kind=classify(both)) if both.kind == LEVEL else both
        else:
            merged.append(phase)
    return merged if len(merged) == len(phases) else _merge_equals(merged, classify)


def _is_removable(phases: list[Phase], index: int, shortest: float) -> bool:
    phase, around = phases[index], phases[max(index - 1, 0) : index + 2]
    return phase.kind == LEVEL and phase.end - phase.start < shortest and any(p.kind in (RISES, FALLS) for p in around)


def _remove_phase(phases: list[Phase], index: int) -> list[Phase]:
    """Phases without a level one; its neighbours that rise or fall meet in its middle or at its end."""
    removed, remaining = phases[index], phases[:index] + phases[index + 1 :]
    before = phases[index - 1] if index else None
    after = phases[index + 1] if index + 1 < len(phases) else None
    grows_before = before is not None and before.kind in (RISES, FALLS)
    grows_after = after is not None and after.kind in (RISES, FALLS)
    meeting = (
        (removed.start + removed.end) / 2
        if grows_before and grows_after
        else removed.end
        if grows_before
        else removed.start
    )
    if before is not None and grows_before:
        remaining[index - 1] = replace(before, end=meeting, last=removed.last if not grows_after else removed.first)
    if after is not None and grows_after:
        begins = (removed.begins[0], after.begins[1]) if before is not None else removed.begins
        remaining[index] = replace(after, start=meeting, first=removed.first, begins=begins)
    return remaining
