"""hydra.sweeper.retry_failed: failed trials are opened again, which ones is the user's choice."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.fake_trainer import value
from helpers.sweeping import misbehave, starts, sweep, trials
from optuna.trial import TrialState

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.sweep import SweepFailedError, retries
from rlhf_sweeps.sweep.settings import SweeperConfig

KL_COEFS = (0.01, 0.02, 0.03, 0.04)
GRID = (f"ppo.kl_coef={','.join(map(str, KL_COEFS))}", "hydra.sweeper.max_failure_rate=1", "sweep.retries=0")
FAULTS: dict[str, Any] = {"trial_0": {"7": "diverged"}, "trial_2": {"3": "raise"}, "trial_3": {"8": "out_of_memory"}}


def study_of(folder: Path) -> str:
    return str((Sweep(folder).start() or {})["study_name"])


def failed(folder: Path) -> list[int]:
    return [trial.number for trial in trials(folder, study_of(folder)) if trial.state == TrialState.FAIL]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of which three trials have failed, of causes that are mended since."""
    folder = tmp_path_factory.mktemp("original") / "sweep"
    misbehave(folder, **FAULTS)
    sweep(folder, *GRID)
    assert failed(folder) == [0, 2, 3]
    (folder / "misbehaviour.json").unlink()
    return folder


@pytest.fixture
def sick(original: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may go on with."""
    return shutil.copytree(original, tmp_path / original.name)


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        ("false", [0, 2, 3]),
        ("true", []),
        ("[diverged,out_of_memory]", [2]),
        ("error", [0, 3]),
        ("[2,0]", [3]),
        ("[3,error]", [0]),
        ("[timeout,1]", [0, 2, 3]),
    ],
)
def test_those_that_are_named_are_run_again(sick: Path, wanted: str, left: list[int]) -> None:
    before = trials(sick)
    sweep(sick, *GRID, f"hydra.sweeper.retry_failed={wanted}")
    after = trials(sick, study_of(sick))
    assert failed(sick) == left
    assert [trial.params for trial in after] == [trial.params for trial in before]
    for number, trial in enumerate(after):
        is_retried = number in {0, 2, 3} - set(left)
        assert starts(sick / str(number)) == 1 + is_retried
        if number not in left:
            assert trial.value == pytest.approx(value(5e-4, KL_COEFS[number], 0), abs=0.3)
            assert "cause" not in trial.user_attrs
        if is_retried:
            (end,) = trial.user_attrs["failed_before"]
            assert end["cause"] == before[number].user_attrs["cause"]
            assert [row["update"] for row in Run(sick / str(number)).metrics()] == list(range(1, 31))
    # The same command goes on, and has nothing left to do.
    numbers = [starts(sick / str(number)) for number in range(4)]
    sweep(sick, *GRID, f"hydra.sweeper.retry_failed={wanted}")
    assert [starts(sick / str(number)) for number in range(4)] == numbers


def test_what_goes_on_does_so_from_its_checkpoint(sick: Path) -> None:
    sweep(sick, *GRID, "hydra.sweeper.retry_failed=[0]")
    history = (sick / "0" / "history").read_text(encoding="utf-8").splitlines()
    again = history[len(history) - history[::-1].index("start") :]
    assert again[0] == "update 6"  # it had diverged in the 7th


def test_the_dry_run_names_them_and_opens_none(sick: Path) -> None:
    settings = SweeperConfig(storage=None, retry_failed=["diverged", 2])
    assert retries.announce(Sweep(sick), settings) == ["opened again: trial 0 (diverged), trial 2 (error)"]
    settings.retry_failed = False
    assert retries.announce(Sweep(sick), settings) == []
    settings.retry_failed = True
    assert retries.announce(Sweep(sick.with_name("new")), settings) == []
    assert failed(sick) == [0, 2, 3]


def test_those_that_are_open_again_are_no_failures(tmp_path: Path) -> None:
    folder, grid = tmp_path / "s", ("ppo.kl_coef=0.01,0.02,0.03,0.04,0.05,0.06,0.07", "sweep.retries=0")
    misbehave(folder, **{f"trial_{number}": {"3": "raise"} for number in range(6)})
    with pytest.raises(SweepFailedError, match=r"max_failure_rate=0\.5: 6 of 6"):
        sweep(folder, *grid)
    (folder / "misbehaviour.json").unlink()
    with pytest.raises(SweepFailedError, match=r"max_failure_rate=0\.5: 6 of 6"):
        sweep(folder, *grid)
    sweep(folder, *grid, "hydra.sweeper.retry_failed=true")
    assert [trial.state for trial in trials(folder, study_of(folder))] == [TrialState.COMPLETE] * 7


def test_one_that_fails_again_keeps_both_ends(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    for how, wanted in (("raise", "false"), ("diverged", "true"), ("out_of_memory", "[diverged]")):
        misbehave(folder, trial_1={"3": how})
        sweep(folder, *GRID, f"hydra.sweeper.retry_failed={wanted}")
    notes = trials(folder, study_of(folder))[1].user_attrs
    assert [end["cause"] for end in notes["failed_before"]] == ["error", "diverged"]
    assert notes["cause"] == "out_of_memory"


@pytest.mark.slow
def test_a_setting_that_could_not_be_is_tried_again(tmp_path: Path) -> None:
    search = ("ppo.num_minibatches=1,4,8", "ppo.batch_size=tag(int,interval(8,12))", "hydra.sweeper.n_trials=6",
              "hydra.sweeper.sampler=random")  # fmt: skip
    sweep(tmp_path / "s", *search)
    before = failed(tmp_path / "s")
    assert before
    sweep(tmp_path / "s", *search, "hydra.sweeper.retry_failed=[config]")
    assert failed(tmp_path / "s") == before
    after = trials(tmp_path / "s", study_of(tmp_path / "s"))
    for number in before:
        (end,) = after[number].user_attrs["failed_before"]
        assert end["cause"] == after[number].user_attrs["cause"] == "config"
        assert "ppo.num_minibatches" in end["message"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            "[oom]",
            "hydra.sweeper.retry_failed=['oom']: must be true, false, or a list of numbers of trials and of causes",
        ),
        ("[-1]", "must be true, false, or"),
        ("[true]", "must be true, false, or"),
        ("1.5", "must be true, false, or"),
        ("{a: 1}", "must be true, false, or"),
        ("[4]", r"hydra.sweeper.retry_failed=[4]: there is no trial 4 (there are: 0 to 3)"),
    ],
)
def test_what_is_no_cause_and_no_number_is_refused(sick: Path, wanted: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        sweep(sick, *GRID, f"hydra.sweeper.retry_failed={wanted}")
    assert message in str(refusal.value)
    assert failed(sick) == [0, 2, 3]


def test_there_is_nothing_to_open_in_a_new_sweep(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no trial 0 \(there are: none yet\)"):
        sweep(tmp_path / "s", *GRID, "hydra.sweeper.retry_failed=[0]")
    assert not (tmp_path / "s").exists()
    sweep(tmp_path / "s", *GRID, "hydra.sweeper.retry_failed=true")
    assert failed(tmp_path / "s") == []
