"""The end of a run: which weights are confirmed, and what a failure there costs."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlhf_sweeps.process.failures import RewardModelError
from rlhf_sweeps.record import Run
from rlhf_sweeps.training.confirmation import confirm
from rlhf_sweeps.verdicts.objective import Evaluation


class FakeEvaluator:
    """An evaluator whose reward model answers, or does not."""

    scale = None

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.purposes: list[str] = []

    def turn_to(self, prompts: Any, purpose: str) -> "FakeEvaluator":
        self.purposes.append(purpose)
        return self

    def take_base(self, base_policy: Any, scale: Any) -> None:
        if self.fails:
            raise RewardModelError("the server is gone")

    def evaluate(self, policy: Any) -> tuple[dict[str, float], list[dict[str, Any]]]:
        return {"eval/score": 2.0, "eval/kl": 1.0}, [{"prompt": "a", "score": 2.0, "base_score": 1.0}]


def make_session(folder: Path, evaluator: FakeEvaluator, best: Evaluation | None, num_prompts: int = 1) -> Any:
    return SimpleNamespace(
        confirming=SimpleNamespace(ids=[[1]] * num_prompts),
        evaluator=evaluator,
        best=best,
        last=Evaluation(2, 1.0, 9.0),
        trainer=SimpleNamespace(update=3),
        policy=None,
        run=Run(folder),
    )


@pytest.mark.parametrize(("best", "update"), [(Evaluation(1, 1.0, 1.0), 1), (None, 3)], ids=["best", "newest"])
def test_the_update_is_that_of_the_exported_weights(tmp_path: Path, best: Evaluation | None, update: int) -> None:
    """Without an evaluation within the budget the weights of the last update are exported, evaluated or not."""
    session = make_session(tmp_path, FakeEvaluator(), best)
    told = confirm(session, None)  # type: ignore[arg-type]
    assert told == {"update": update, "num_prompts": 1, "eval/score": 2.0, "eval/kl": 1.0}
    assert session.run.confirmation() == [{"update": update, "prompt": "a", "score": 2.0, "base_score": 1.0}]
    assert session.evaluator.purposes == ["confirmation"]


def test_a_reward_model_that_fails_costs_the_confirmation_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = make_session(tmp_path, FakeEvaluator(fails=True), None)
    with caplog.at_level(logging.WARNING, "rlhf_sweeps"):
        assert confirm(session, None) is None  # type: ignore[arg-type]
    assert "the confirming prompts could not be scored (the server is gone)" in caplog.text
    assert session.run.confirmation() == []


def test_without_confirming_prompts_nothing_is_asked(tmp_path: Path) -> None:
    session = make_session(tmp_path, FakeEvaluator(), None, num_prompts=0)
    assert confirm(session, None) is None  # type: ignore[arg-type]
    assert session.evaluator.purposes == []


def test_answers_that_were_changed_since_count_as_none(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_confirmation([{"update": 2, "prompt": "a", "score": 4.0}])
    run.write_summary({"status": "complete"})
    assert len(run.confirmation()) == 1
    run.confirmation_file.write_text('{"update": 2, "prompt": "a", "score": 400.0}\n', encoding="utf-8")
    assert run.confirmation() == []
    run.rewind(1)
    assert not run.confirmation_file.exists()
