"""Record what rliable 1.2.0 computes, as the numbers that tests/rlhf_sweeps/verdicts/test_statistics.py compares with.

rliable is no dependency, since its last release needs old packages. Recording takes an environment of its own:

    python -m venv rliable12
    rliable12/bin/pip install rliable==1.2.0 "arch<8" "pandas<3"
    rliable12/bin/python tests/parity/record_rliable.py

It leaves rliable.json beside this file: scores (runs, tasks), the aggregate interquartile mean with its stratified
bootstrap interval, and a probability of improvement.
"""

import importlib.metadata
import json
from pathlib import Path

import numpy as np
from rliable import library, metrics

PACKAGES = ("rliable", "arch", "pandas", "numpy", "scipy")
FIRST = [[1.21, 0.43, 2.10], [1.35, 0.52, 1.87], [1.08, 0.39, 2.31], [1.44, 0.61, 1.95], [1.17, 0.48, 2.02]]
SECOND = [[1.02, 0.47, 1.71], [1.29, 0.35, 1.95], [0.95, 0.41, 1.64], [1.11, 0.50, 1.88], [1.20, 0.33, 1.79]]


def main() -> None:
    """Write rliable.json."""
    third = np.random.default_rng(7).normal(0, 1, (12, 4)).round(3) + np.arange(4)
    found = {"packages": {name: importlib.metadata.version(name) for name in PACKAGES}, "groups": []}
    for scores in (np.array(FIRST), np.array(SECOND), third):
        values, intervals = library.get_interval_estimates(
            {"group": scores},
            lambda drawn: np.array([metrics.aggregate_iqm(drawn)]),
            reps=50_000,
            random_state=np.random.RandomState(0),
        )
        low, high = intervals["group"].ravel().tolist()
        found["groups"].append({"scores": scores.tolist(), "iqm": float(values["group"][0]), "low": low, "high": high})
    found["probability"] = float(metrics.probability_of_improvement(np.array(FIRST), np.array(SECOND)))
    text = json.dumps(found, indent=1) + "\n"
    Path(__file__).with_name("rliable.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
