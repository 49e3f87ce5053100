"""A sweep that was interrupted, ended by its budget, or is wanted larger goes on with the same command."""

import json
import math
import signal
from pathlib import Path

import pytest
from helpers.sweeping import SEARCH, contents, misbehave, starts, states, sweep, trials
from optuna.trial import TrialState

from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep import SweepInterruptedError

COMPLETE, RUNNING = TrialState.COMPLETE, TrialState.RUNNING


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_to_the_same_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a trial, several times; and an exception within the engine, as if it were killed."""
    arguments = (*SEARCH, "hydra.sweeper.n_trials=15")
    sweep(tmp_path / "whole", *arguments)
    append, moments = Run.append_metrics, {23: "interrupt", 61: "die", 62: "die", 97: "interrupt", 140: "die"}
    count = 0

    def append_and_disturb(self: Run, row: dict[str, float]) -> None:
        nonlocal count
        append(self, row)
        count += 1
        if moments.get(count) == "interrupt":
            signal.raise_signal(signal.SIGINT)
        if moments.get(count) == "die":
            raise KeyboardInterrupt  # goes through trainer and engine

    monkeypatch.setattr(Run, "append_metrics", append_and_disturb)
    broken = tmp_path / "broken" / "whole"  # the study has the folder's name
    for _ in moments:
        with pytest.raises(KeyboardInterrupt):
            sweep(broken, *arguments)
    sweep(broken, *arguments)
    assert contents(broken) == contents(tmp_path / "whole")
    numbers = [trial.number for trial in trials(broken)]
    assert numbers == list(range(15))
    undisturbed = sum(starts(tmp_path / "whole" / str(number)) for number in numbers)
    # A disturbance at a moment when the trial was told to wait anyway costs no start.
    assert 0 < sum(starts(broken / str(number)) for number in numbers) - undisturbed <= len(moments)


def test_the_same_command_again_runs_nothing_and_a_larger_n_trials_extends(tmp_path: Path) -> None:
    sweep(tmp_path, *SEARCH, "hydra.sweeper.n_trials=4")
    before, first_starts = contents(tmp_path), [starts(tmp_path / str(number)) for number in range(4)]
    sweep(tmp_path, *SEARCH, "hydra.sweeper.n_trials=4")
    assert contents(tmp_path) == before
    sweep(tmp_path, *SEARCH, "hydra.sweeper.n_trials=7")
    assert contents(tmp_path)[:4] == before
    assert [starts(tmp_path / str(number)) for number in range(4)] == first_starts


@pytest.mark.slow
def test_the_budget_ends_the_sweep_and_more_of_it_continues(tmp_path: Path) -> None:
    misbehave(tmp_path, seconds_each=0.05)
    arguments = (*SEARCH, "hydra.sweeper.pruner=none", "hydra.sweeper.n_trials=3")
    sweep(tmp_path, *arguments, f"sweep.budget_hours={1 / 3600}")
    assert states(tmp_path)[-1] == RUNNING
    assert len(states(tmp_path)) < 3
    sweep(tmp_path, *arguments, "sweep.budget_hours=1")
    assert states(tmp_path) == [COMPLETE] * 3


def test_a_budget_that_ends_before_the_first_trial_is_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path, *SEARCH, f"sweep.budget_hours={1e-6 / 3600}")
    printed = capsys.readouterr().out
    assert "no trial was run" in printed
    assert "the time is over; the same command with a larger sweep.budget_hours" in printed


def test_a_journal_file_or_another_study_name_on_request(tmp_path: Path) -> None:
    url = f"journal:{tmp_path / 'study.jnl'}"
    for n_trials in (2, 3):
        sweep(tmp_path / "s", *SEARCH, f"hydra.sweeper.storage={url}", "hydra.sweeper.study_name=mine",
              f"hydra.sweeper.n_trials={n_trials}")  # fmt: skip
        with (tmp_path / "study.jnl").open("a") as journal:
            journal.write('{"torn')
    assert not (tmp_path / "s" / "study.db").exists()
    assert [starts(tmp_path / "s" / str(number)) for number in range(3)] == [1] * 3


def test_interruption_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Run.append_metrics

    def append_and_interrupt(self: Run, row: dict[str, float]) -> None:
        append(self, row)
        if row["update"] == 3:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Run, "append_metrics", append_and_interrupt)
    with pytest.raises(SweepInterruptedError) as interrupt:
        sweep(tmp_path, "ppo.kl_coef=0.01,0.02")
    assert interrupt.value.folder == tmp_path
    assert states(tmp_path) == [RUNNING]
    seconds = json.loads((tmp_path / "sweep.json").read_text())["seconds"]
    assert 0 < seconds < 60
    assert math.isfinite(seconds)


def test_a_trial_of_an_earlier_start_is_shown_with_its_updates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also if it does not run: then nothing but the study says how far it is."""
    append, arguments = Run.append_metrics, ("ppo.kl_coef=0.01,0.02", "eval.every=1")

    def append_and_interrupt(self: Run, row: dict[str, float]) -> None:
        append(self, row)
        if row["update"] == 3 and self.folder.name == "1":
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "append_metrics", append_and_interrupt)
        with pytest.raises(SweepInterruptedError):
            sweep(tmp_path, *arguments)
    capsys.readouterr()
    sweep(tmp_path, *arguments, f"sweep.budget_hours={1e-6 / 3600}")
    printed = capsys.readouterr().out
    assert "running at update 3  ppo.kl_coef=0.02" in printed, printed
