"""The curves that the pruning rules use: the objective of a trial at each step, if it had ended there."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from rlhf_sweeps.config.fields import number


@dataclass(frozen=True)
class ObjectiveCurve:
    """The objective of a trial over its steps.

    Attributes:
        number: the trial's number.
        values: step -> the objective if the trial had ended there, higher is better. Steps are the first seed's
            updates, then (k + 1) * num_steps after seed k has ended. If runs differ in their number of updates, a
            peer's steps are scaled to those of the trial in question, so that a step is the same share of a run.
        by_seed: seed -> its objective, for the seeds that have ended.
        sign: 1, or -1 if the recorded metric is minimized; it turns these values into recorded ones.
    """

    number: int
    values: Mapping[float, float]
    by_seed: Mapping[int, float] = field(default_factory=dict)
    sign: int = 1

    @cached_property
    def _steps(self) -> list[float]:
        return sorted(self.values)

    @property
    def step(self) -> float:
        """The newest step; 0 if there is none."""
        return self._steps[-1] if self._steps else 0

    def at(self, step: float) -> float:
        """The newest value at or before a step; NaN if the trial has not reached the step or has no value yet."""
        position = bisect_right(self._steps, step)
        return self.values[self._steps[position - 1]] if position and self._steps[-1] >= step else math.nan


class Pruner(Protocol):
    """A rule that ends trials early."""

    def should_prune(self, trial: ObjectiveCurve, peers: Sequence[ObjectiveCurve], num_steps: int) -> bool:
        """Whether a trial should end now; called once at each new step except the trial's last.

        Args:
            trial: the trial in question, with at least one value; if its newest value is NaN, it is pruned.
            peers: all other trials that can be compared and have a value: finished, pruned and running ones.
            num_steps: updates of a run.
        """


def argument(default: float, **bounds: float) -> Any:
    """An argument of a rule, with its default and bounds."""
    return field(default=default, metadata=number(**bounds).metadata)


def list_values_at(step: float, peers: Sequence[ObjectiveCurve]) -> list[float]:
    """The values at a step of the peers that have reached it, best first."""
    return _sort_numbers([peer.at(step) for peer in peers])


def list_newest_values(peers: Sequence[ObjectiveCurve]) -> list[float]:
    """The newest value of each peer, best first."""
    return _sort_numbers([peer.at(peer.step) for peer in peers])


def _sort_numbers(values: Sequence[float]) -> list[float]:
    """The values without NaN, best first."""
    return sorted((value for value in values if not math.isnan(value)), reverse=True)
