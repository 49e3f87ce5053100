"""What the rules that end trials early look at: the objectives that running trials would end with."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from rlhf_sweeps.config.fields import number


@dataclass(frozen=True)
class Curve:
    """What is known of one trial.

    Attributes:
        number: the trial's.
        values: step -> the objective if the trial had ended there, higher is better. Steps are the first seed's
            updates, then (k + 1) * num_steps once seed k is through. Where runs differ in their number of updates, a
            peer's steps are stretched to those of the trial in question, so that the same step is the same share of a
            run.
        by_seed: seed -> its objective, for the seeds that are through.
        sign: what turns these values into the metric as it was recorded, 1 or -1.
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
        """The newest step; 0 without any."""
        return self._steps[-1] if self._steps else 0

    def at(self, step: float) -> float:
        """The newest value at or before a step; NaN if the trial has not got that far or had none yet."""
        position = bisect_right(self._steps, step)
        return self.values[self._steps[position - 1]] if position and self._steps[-1] >= step else math.nan


class Pruner(Protocol):
    """A rule."""

    def should_prune(self, trial: Curve, peers: Sequence[Curve], num_steps: int) -> bool:
        """Whether a trial should end now; to be asked once at each new step but the trial's last.

        Args:
            trial: the one in question, with at least one value; a newest value that is NaN prunes it.
            peers: all other trials that can be compared: finished, pruned and running; those without a value are none.
            num_steps: updates of one run.
        """


def setting(default: float, **bounds: float) -> Any:
    """An argument of a rule, with its default and bounds."""
    return field(default=default, metadata=number(**bounds).metadata)


def values_at(step: float, peers: Sequence[Curve]) -> list[float]:
    """Those of the peers that have got to the step, best first."""
    return _numbers([peer.at(step) for peer in peers])


def newest_values(peers: Sequence[Curve]) -> list[float]:
    """Each peer's newest, best first."""
    return _numbers([peer.at(peer.step) for peer in peers])


def _numbers(values: Sequence[float]) -> list[float]:
    """Without those of trials that have none, which compare with nothing; best first."""
    return sorted((value for value in values if not math.isnan(value)), reverse=True)
