"""A run that ends before its last update, or is stopped there: what its record says, and what it leaves."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, Compose

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Run
from rlhf_sweeps.training.train import train


def test_an_interrupted_last_update_is_not_the_end(compose_config: Compose, tmp_path: Path) -> None:
    """Or a sweep would go on with its next run."""
    config = compose_config(*SMALL)
    append = Run.append_metrics

    def append_and_interrupt(self: Run, row: dict[str, Any]) -> None:
        append(self, row)
        if row["update"] == 6:
            signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "append_metrics", append_and_interrupt)
        stopped = train(config, tmp_path)
    assert (stopped["status"], stopped["stop_reason"], stopped["updates"]) == ("stopped", "interrupted", 6)
    assert train(config, tmp_path)["status"] == "complete"
    assert [row["update"] for row in Run(tmp_path).metrics()] == [1, 2, 3, 4, 5, 6]


def test_two_processes_do_not_train_in_one_folder(compose_config: Compose, tmp_path: Path) -> None:
    with Run(tmp_path).claim(), pytest.raises(ConfigError, match="another process is training there"):
        train(compose_config(*SMALL), tmp_path)
    assert list(tmp_path.iterdir()) == []
    with Run(tmp_path).claim():
        pass


@pytest.mark.parametrize("reason", ["enough", "pruned", "budget"])
def test_a_stop_file_ends_the_run_after_the_update(reason: str, compose_config: Compose, tmp_path: Path) -> None:
    """Its policy is exported, unless nobody wants it; and what may be continued keeps its checkpoint."""
    config = compose_config(*SMALL, "eval.every=1")
    run = Run(tmp_path)
    append = Run.append_metrics

    def append_and_stop(self: Run, row: dict[str, Any]) -> None:
        append(self, row)
        run.ask_to_stop(reason)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "append_metrics", append_and_stop)
        summary = train(config, tmp_path)
    assert (summary["status"], summary["stop_reason"], summary["updates"]) == ("stopped", reason, 1)
    assert summary["objective"] == max(row["eval/score"] for row in run.metrics())
    assert (run.model.is_dir(), run.checkpoint.is_dir()) == (reason == "enough", reason != "pruned")


def test_a_run_stopped_before_its_first_evaluation_has_no_objective(compose_config: Compose, tmp_path: Path) -> None:
    (tmp_path / "stop").write_text("budget", encoding="utf-8")
    summary = train(compose_config(*SMALL), tmp_path)
    assert (summary["status"], summary["stop_reason"], summary["updates"]) == ("stopped", "budget", 1)
    assert summary["objective"] is None


def test_beyond_the_kl_budget_the_objective_is_the_base_score(compose_config: Compose, tmp_path: Path) -> None:
    config = compose_config(
        *SMALL, "ppo.total_episodes=32", "ppo.lr=3e-3", "objective.kl_budget=1e-9", "checkpoint.keep=false"
    )
    summary = train(config, tmp_path)
    row = Run(tmp_path).metrics()[-1]
    assert row["eval/kl"] > 1e-9
    assert (summary["objective"], summary["best_update"]) == (row["eval/base_score"], None)
    assert not Run(tmp_path).checkpoint.exists()


def test_a_run_that_diverges_says_so(compose_config: Compose, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"^update 1: loss/policy_avg is (nan|inf)"):
        train(compose_config(*SMALL, "ppo.lr=1e30", "ppo.max_grad_norm=null"), tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert (summary["status"], summary["update"], summary["objective"]) == ("diverged", 1, None)
