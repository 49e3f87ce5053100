"""What a sweep is to do, as far as its record says: how many trials, on how many seeds, how it is continued."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.records import as_number
from analysis.sweep.space import parse, split_list, swept_keys
from rlhf_sweeps.runs import go_on, words_of

DEFAULT_TRIALS = 20  # of a search that was told neither how many nor for how long


@dataclass(frozen=True)
class SweepPlan:
    """The plan of a sweep.

    Attributes:
        start: what sweep.json holds.
        hydra: Hydra's part of multirun.yaml.
    """

    start: Mapping[str, Any] = field(default_factory=dict)
    hydra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def space(self) -> Mapping[str, Any]:
        """Swept key -> what it may be, as text."""
        return _mapping(self.start.get("space"))

    @property
    def keys(self) -> list[str]:
        """What is swept, keys that move along with others among it."""
        return list(self._swept)

    @property
    def metrics(self) -> list[str]:
        """What each objective is."""
        metrics = _mapping(self.start.get("config")).get("objective.metrics")
        return list(map(str, metrics)) if isinstance(metrics, list) and metrics else ["eval/score"]

    @property
    def directions(self) -> list[str]:
        """maximize or minimize, for each objective."""
        given = self.start.get("directions")
        is_given = isinstance(given, list) and len(given) == len(self.metrics)
        return list(map(str, given or ())) if is_given else ["maximize"] * len(self.metrics)

    @property
    def is_comparison(self) -> bool:
        """Whether reward models are compared, of which none is the best by its own score."""
        is_swept = self._swept.get("reward_model", "").startswith("choice(")
        return is_swept and not all(metric.startswith("judge/") for metric in self.metrics)

    @property
    def num_seeds(self) -> int:
        """Runs that a trial takes."""
        seeds = self.start.get("seeds")
        return max(1, len(seeds)) if isinstance(seeds, list) else 1

    @property
    def num_trials(self) -> int | None:
        """Trials in all; None where nobody knows."""
        if not self.hydra or not self.start:
            return None
        wanted = _whole(_mapping(self.hydra.get("sweeper")).get("n_trials"))
        points = num_points(self.space)
        if points is not None:
            return points if wanted is None else min(wanted, points)
        return DEFAULT_TRIALS if wanted is None and self.budget is None else wanted

    @property
    def num_workers(self) -> int | None:
        """Trials at a time; None where the machine decided."""
        sweeper = _mapping(self.hydra.get("sweeper"))
        return _whole(sweeper.get("workers")) or _whole(sweeper.get("n_jobs")) or None

    @property
    def budget(self) -> float | None:
        """Seconds that the sweep may take; None without a limit."""
        hours = as_number(self._setting("budget_hours"))
        return None if hours is None else hours * 3600

    def num_tests(self, num_complete: int) -> int:
        """Runs on test seeds, where so many trials are complete."""
        seeds, tested = _whole(self._setting("test_seeds")) or 0, _whole(self._setting("num_tested")) or 0
        return seeds * min(tested, num_complete)

    def continue_command(self, folder: Path) -> str:
        """What goes on with the sweep."""
        return go_on(["-m", *words_of(self.hydra)], "hydra.sweep.dir", folder)

    @property
    def _swept(self) -> dict[str, str]:
        """Every swept key, without plus signs, those that move along with others too -> what it may be."""
        return swept_keys({key: str(text) for key, text in self.space.items()})

    def _setting(self, key: str) -> Any:
        return _mapping(self.start.get("config")).get(f"sweep.{key}")


def num_points(space: Mapping[str, Any]) -> int | None:
    """Points of a grid; None for a search, and where keys depend on others."""
    found = [parse(str(text)) for text in space.values()]
    if any(not swept.own.startswith("choice(") or swept.when for swept in found):
        return None
    lists = [swept.own.removeprefix("choice(").removesuffix(")") for swept in found]
    return math.prod(len(split_list(text)) for text in lists)  # keys that move together make no more points


def _mapping(content: Any) -> Mapping[str, Any]:
    return content if isinstance(content, dict) else {}


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
