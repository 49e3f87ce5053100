"""Sweeps of runs that are sound or whose KL blows up at the eleventh update."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.records.runs import RunRecord, Source
from helpers.records import axes


def run(name: str, kl: float, **config: Any) -> RunRecord:
    metrics = {"update": np.arange(1.0, 31.0), "objective/kl": np.where(np.arange(30) < 10, 2.0, kl)}
    metrics["objective/kl"][0] = 0.0  # before the first step
    plain = {key.replace("__", "."): value for key, value in config.items()}
    return RunRecord(name, metrics, {"objective.kl_budget": 15.0, **plain})


def source(runs: Sequence[RunRecord], **space: str) -> Source:
    return Source("sweep", "sweep", runs, space=axes({key.replace("__", "."): value for key, value in space.items()}))


def sweep(num: int, num_sick: int) -> Source:
    runs = [run(str(i), 90.0 if i >= num - num_sick else 5.0, ppo__lr=1e-4 * (i + 1), seed=0) for i in range(num)]
    return source(runs, ppo__lr="interval(1e-4,1e-2)")
