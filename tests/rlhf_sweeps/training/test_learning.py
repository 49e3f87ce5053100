"""The embedded default learns, visibly, over seeds."""

from pathlib import Path

import pytest
from conftest import Compose

from rlhf_sweeps.record import Run
from rlhf_sweeps.training.train import train


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_default_run_beats_the_base_policy(seed: int, compose_config: Compose, tmp_path: Path) -> None:
    summary = train(compose_config(f"seed={seed}", "tracking=disabled"), tmp_path)
    best = next(row for row in Run(tmp_path).metrics() if row["update"] == summary["best_update"])
    assert best["eval/win_rate"] >= 0.75
    assert best["eval/kl"] <= 15
