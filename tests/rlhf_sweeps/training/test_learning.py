"""The embedded default learns, visibly, over seeds."""

from pathlib import Path

import pytest
from conftest import Compose

from rlhf_sweeps.assets import judge
from rlhf_sweeps.record import Run
from rlhf_sweeps.training.train import train


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_default_run_beats_the_base_policy(seed: int, compose_config: Compose, tmp_path: Path) -> None:
    summary = train(compose_config(f"seed={seed}", "tracking=disabled"), tmp_path)
    run = Run(tmp_path)
    best = next(row for row in run.metrics() if row["update"] == summary["best_update"])
    assert best["eval/win_rate"] >= 0.75
    assert best["eval/kl_bound"] <= 5
    # A judge that nothing can exploit agrees, and no more than twice as many answers are garbled as the base policy's.
    assert best["judge/grammar/score"] > best["judge/grammar/base_score"]
    samples = [row for row in run.samples() if row["update"] == summary["best_update"]]
    ours, base = (
        judge.count_shares((row["prompt"], row[column]) for row in samples) for column in ("response", "base_response")
    )
    assert ours["garbled"] <= 2 * base["garbled"]
