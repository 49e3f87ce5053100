"""What the rules that end trials early look at: the objectives that running trials would end with."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rlhf_sweeps.fields import number


@dataclass(frozen=True)
class Curve:
    """What is known of one trial.

    Attributes:
        number: the trial's.
        values: step -> the objective if the trial had ended there, higher is better. Steps are the first seed's
            updates, then (k + 1) * num_steps once seed k is through.
        by_seed: seed -> its objective, for the seeds that are through.
    """

    number: int
    values: Mapping[int, float]
    by_seed: Mapping[int, float] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """The newest step; 0 without any."""
        return max(self.values, default=0)

    def at(self, step: int) -> float:
        """The newest value at or before a step; NaN if the trial has not got that far or had none yet."""
        known = [known for known in self.values if known <= step]
        return self.values[max(known)] if known and self.step >= step else math.nan


class Pruner(Protocol):
    """A rule."""

    def should_prune(self, trial: Curve, peers: Sequence[Curve], num_steps: int) -> bool:
        """Whether a trial should end now; to be asked once at each new step but the trial's last.

        Args:
            trial: the one in question, with at least one value; a newest value that is NaN prunes it.
            peers: all other trials with values: finished, pruned and running.
            num_steps: updates of one run.
        """


def setting(default: float, **bounds: float) -> Any:
    """An argument of a rule, with its default and bounds."""
    return field(default=default, metadata=number(**bounds).metadata)


def values_at(step: int, peers: Sequence[Curve]) -> list[float]:
    """Those of the peers that have got to the step, best first."""
    values = [peer.at(step) for peer in peers]
    return sorted((value for value in values if not math.isnan(value)), reverse=True)
