"""A sweep of 1,000 runs of 1,000 updates is read and reported within a minute and 2 GB."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from helpers.records import write_sweep

RUNS, UPDATES = 1000, 1000
SPACE = {"ppo.lr": "tag(log, interval(1e-05, 0.001))", "ppo.kl_coef": "tag(log, interval(0.001, 1.0))"}


@pytest.mark.slow
def test_a_thousand_runs_of_a_thousand_updates(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    points = [
        {"ppo.lr": float(10 ** random.uniform(-5, -3)), "ppo.kl_coef": float(10 ** random.uniform(-3, 0))}
        for _ in range(RUNS)
    ]
    heights = [2 - (np.log10(point["ppo.lr"]) + 4) ** 2 + 0.1 * random.normal() for point in points]
    write_sweep(tmp_path / "sweep", points, updates=UPDATES, heights=heights, space=SPACE, study=False)
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "analysis", "report", str(tmp_path / "sweep")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.monotonic() - start
    gigabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # of the largest child so far
    size = (tmp_path / "sweep" / "report.html").stat().st_size / 1e6
    print(f"{done.stdout}{seconds:.1f} s, {gigabytes:.2f} GB, report of {size:.2f} MB")
    assert seconds < 60
    assert gigabytes < 2
    assert size < 5
