"""A phase: a stretch of a curve with one course."""

from dataclasses import dataclass

RISES, FALLS, LEVEL, JUMPS, DROPS = "rises", "falls", "level", "jumps", "drops"


@dataclass(frozen=True)
class Phase:
    """A stretch of a curve with one course.

    Attributes:
        kind: RISES, FALLS, LEVEL, JUMPS or DROPS.
        start, end: updates; the next phase starts where this one ends.
        first, last: the curve's values there, without noise.
        noise: standard deviation of a single value around the phases.
        memory: correlation of the noise from one value to the next, 0 to below 1.
        begins: updates between which it begins, to 95 %; both are the first update for the first phase.
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
