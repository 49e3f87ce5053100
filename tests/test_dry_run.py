"""What a sweep would take: by hand, from times that the test gives."""

from pathlib import Path

import pytest
from sweeping import sweep

from rlhf_sweeps.fields import ConfigError
from rlhf_sweeps.runs import Run


def test_it_says_what_would_run_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(
        tmp_path / "s",
        "ppo.kl_coef=0.01,0.02,0.03",
        "hydra.sweeper.dry_run=true",
        "sweep.seeds=2",
        "sweep.cost_per_hour=3600",
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a grid of 3 trials, 2 seeds each"
    assert lines[1:4] == [f"    {n}: ppo.kl_coef={kl}" for n, kl in enumerate(("0.01", "0.02", "0.03"))]
    assert "30 updates of 0.01 s, 6 evaluations of 0 s" in lines[4]  # what the fake trainer says it takes
    assert lines[5].startswith("6 runs, 1 at a time: 0:00:0")
    assert lines[6].startswith("cost: ")
    assert not (tmp_path / "s").exists()


def test_a_search_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(tmp_path / "s", "search=lr_kl_clip", "hydra.sweeper.dry_run=true", "sweep.budget_hours=1")
    text = capsys.readouterr().out
    assert "a search by tpe, pruned by asha: as many trials as the time allows" in text
    assert "ppo.lr: tag(log,interval(5e-05,0.005))" in text
    assert "sweep.budget_hours=1: time for about " in text


def test_a_measured_run_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Run, row: dict[str, float]) -> None:
        self.write_summary({"status": "failed", "cause": "error", "message": "ValueError: no"})
        raise ValueError("no")

    monkeypatch.setattr(Run, "append_metrics", fail)
    with pytest.raises(ConfigError, match=r"hydra\.sweeper\.dry_run=true: the measured update failed: ValueError: no"):
        sweep(tmp_path / "s", "ppo.kl_coef=0.01,0.02", "hydra.sweeper.dry_run=true")
