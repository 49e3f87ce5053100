"""Made-up runs for tests of curves and phases."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.output.files import write_files
from analysis.output.formats import DEFAULT_FORMATS
from analysis.output.terminal import render_text
from analysis.records.runs import REWARD, Floats, RunRecord, Source
from analysis.results.results import Results
from analysis.views.curves import curves_view

SCORES = "objective/scores"


def noise(count: int, seed: int, memory: float = 0.0) -> Floats:
    """Normal noise of deviation 1 that remembers its last value."""
    drawn = np.random.default_rng(seed).normal(size=count)
    values = drawn.copy()
    for index in range(1, count):
        values[index] = memory * values[index - 1] + drawn[index] * np.sqrt(1 - memory**2)
    return values


def run(
    name: str, values: list[float], start: int = 1, step: int = 1, state: str = "complete", **config: object
) -> RunRecord:
    updates = start + step * np.arange(float(len(values)))
    keys = {key.replace("__", "."): value for key, value in config.items()}
    return RunRecord(name, {"update": updates, SCORES: np.array(values)}, keys, state)


def wiggly(name: str, count: int = 30, objective: float = 0.0, **config: object) -> RunRecord:
    seed = sum(map(ord, name))
    metrics = [REWARD, "loss/policy_avg", "objective/entropy", "objective/kl"]
    columns = {metric: 5 + 0.2 * noise(count, seed + i) for i, metric in enumerate(metrics)}
    score = np.where(np.arange(count) % 5 == 4, columns[REWARD], np.nan)
    keys = {key.replace("__", "."): value for key, value in config.items()}
    metrics_of = {"update": np.arange(1.0, count + 1), **columns, "eval/score": score}
    return RunRecord(name, metrics_of, keys, summary={"objective": objective})


def write_curves(
    source: Source, out: Path, formats: Sequence[str] = DEFAULT_FORMATS, **options: Any
) -> tuple[str, list[Path]]:
    """What the command `curves` prints, each sentence on one line, and the files that it writes."""
    parts = curves_view(Results(source), **options)
    return render_text(parts, 100_000).rstrip(), write_files(parts, out, formats)
