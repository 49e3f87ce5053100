"""What a user sees of a run: lines in a log with the time left, a bar on a terminal that goes on where the run does."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from rlhf_sweeps.process import progress
from rlhf_sweeps.process.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock.now)
    return clock


def row(update: int, **more: float) -> dict[str, float]:
    return {"update": update, "objective/scores": 1.25, "objective/kl": 0.5, **more}


EVALUATED = {"eval/score": 2.5, "eval/kl": 0.75, "eval/win_rate": 0.625}


def test_lines_at_evaluations_and_every_quarter_of_a_minute(
    clock: SimpleNamespace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of 30 updates that goes on after its tenth; each takes 6 s, so 20 are two minutes."""
    monkeypatch.setattr(progress.sys, "stderr", SimpleNamespace(isatty=lambda: False))
    caplog.set_level(logging.INFO, logger="rlhf_sweeps")
    with Progress(total=30, done=10) as shown:
        for update in range(11, 16):
            clock.now += 6
            shown.show(row(update, **(EVALUATED if update == 15 else {})))
    assert [record.getMessage() for record in caplog.records] == [
        "update 13/30: training score 1.25, training KL 0.5, 0:01:42 left",
        "update 15/30: training score 1.25, training KL 0.5, score now 2.5, KL now 0.75, win rate now 62.5 %, "
        "0:01:30 left",
    ]


def test_a_bar_goes_on_where_the_run_does(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}
    calls: list[Any] = []

    def bar(**named: Any) -> Any:
        made.update(named)
        return SimpleNamespace(
            set_postfix_str=lambda text, refresh: calls.append(text),
            update=lambda: calls.append(1),
            close=lambda: calls.append("closed"),
        )

    monkeypatch.setattr(progress, "tqdm", bar)
    monkeypatch.setattr(progress.sys, "stderr", SimpleNamespace(isatty=lambda: True))
    with Progress(total=30, done=10) as shown:
        shown.show(row(11))
    assert (made["total"], made["initial"]) == (30, 10)
    assert calls == ["training score 1.25, training KL 0.5", 1, "closed"]
