"""What a trial that fails costs the sweep, what it is told to be, and when the sweep ends by it."""

from pathlib import Path

import pytest
from helpers.sweeping import causes, contents, misbehave, starts, states, sweep, trials
from optuna.trial import TrialState

from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep import SweepFailedError

COMPLETE, FAIL, RUNNING = TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING


def test_failures_cost_themselves_alone_and_have_causes(tmp_path: Path) -> None:
    misbehave(
        tmp_path,
        trial_0={"3": "raise"},
        trial_1={"2": "diverged"},
        trial_2={"9": "out_of_memory"},
        trial_3={"1": "exit"},
    )
    sweep(tmp_path, "ppo.kl_coef=0.01,0.02,0.03,0.04,0.05", "hydra.sweeper.max_failure_rate=1", "sweep.retries=0")
    assert causes(tmp_path) == ["error", "diverged", "out_of_memory", "lost_process", None]
    assert states(tmp_path) == [FAIL] * 4 + [COMPLETE]
    assert trials(tmp_path)[0].user_attrs["message"] == "ValueError: no"
    sweep(tmp_path, "ppo.kl_coef=0.01,0.02,0.03,0.04,0.05", "hydra.sweeper.max_failure_rate=1", "sweep.retries=0")
    assert [starts(tmp_path / str(number)) for number in range(5)] == [1] * 5


def test_the_sweep_ends_at_the_maximum_failure_rate(tmp_path: Path) -> None:
    misbehave(tmp_path, **{f"trial_{number}": {"1": "raise"} for number in range(20)})
    with pytest.raises(SweepFailedError, match=r"max_failure_rate=0\.5: 6 of 6 trials failed"):
        sweep(tmp_path, "ppo.kl_coef=range(0.01,0.21,0.01)")
    misbehave(tmp_path / "strict", trial_0={"1": "raise"})
    with pytest.raises(SweepFailedError, match="max_failure_rate=0: 1 of 1"):
        sweep(tmp_path / "strict", "ppo.kl_coef=0.01,0.02,0.03", "hydra.sweeper.max_failure_rate=0")


def test_a_setting_that_contradicts_itself_fails_as_config_without_a_process(tmp_path: Path) -> None:
    sweep(tmp_path, "ppo.num_minibatches=1,4,8", "ppo.batch_size=tag(int,interval(8,12))", "hydra.sweeper.n_trials=12",
          "hydra.sweeper.sampler=random", "hydra.sweeper.max_failure_rate=1")  # fmt: skip
    first = {tuple(trial.params.values()): trial for trial in reversed(trials(tmp_path))}
    for trial in first.values():
        fits = trial.params["ppo.batch_size"] % trial.params["ppo.num_minibatches"] == 0
        assert trial.state != FAIL if fits else trial.user_attrs["cause"] == "config"
        assert (tmp_path / str(trial.number) / "starts").exists() == fits


@pytest.mark.slow
def test_what_diverges_is_learned_from_and_what_is_lost_is_not(tmp_path: Path) -> None:
    """TPE keeps away from where trials diverge, as it does from low values; four fifths of the space are bad."""
    shares = {}
    for how in ("diverged", "exit"):
        misbehave(tmp_path / how, above={"lr": 6e-4, "how": how})
        sweep(
            tmp_path / how,
            "ppo.lr=interval(0.0001,0.003)",
            "hydra.sweeper.n_trials=30",
            "hydra.sweeper.pruner=none",
            "hydra.sweeper.max_failure_rate=1",
            "sweep.retries=0",
            "objective.kl_budget=null",
        )
        late = trials(tmp_path / how)[15:]
        shares[how] = sum(trial.params["ppo.lr"] > 6e-4 for trial in late) / len(late)
    assert shares["diverged"] + 0.2 < shares["exit"]


def test_a_trial_whose_reward_model_failed_goes_on_once_that_is_mended(tmp_path: Path) -> None:
    arguments = ("ppo.lr=1e-4,5e-4,1e-3", "objective.kl_budget=null")
    sweep(tmp_path / "undisturbed", *arguments)
    misbehave(tmp_path / "mended", trial_1={"12": "reward_model_once"})
    for expected in (RUNNING, COMPLETE):
        sweep(tmp_path / "mended", *arguments)
        assert states(tmp_path / "mended") == [COMPLETE, expected, COMPLETE]
    assert contents(tmp_path / "mended") == contents(tmp_path / "undisturbed")
    assert [starts(tmp_path / "mended" / str(number)) for number in range(3)] == [1, 2, 1]


def test_a_trial_has_a_time_limit(tmp_path: Path) -> None:
    with pytest.raises(SweepFailedError, match="every trial failed"):
        sweep(tmp_path, "ppo.kl_coef=0.01,0.02", f"sweep.trial_hours={0.095 / 3600}")
    assert causes(tmp_path) == ["timeout", "timeout"]
    assert len(Run(tmp_path / "0").metrics()) == 10  # each says that it took 0.01 s


@pytest.mark.slow
def test_a_metric_that_nobody_records_ends_a_trial_at_its_first_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A trial function of one's own may record what it likes, so that nothing can be checked before."""
    names = ("eval/scor", "eval/lenght", "loss/x")
    given = ("metrics=[eval/scor]", "constraints=['eval/lenght<=1']", "metrics=[loss/x]")
    for number, (name, objective) in enumerate(zip(names, given, strict=True)):
        folder = tmp_path / str(number)
        with pytest.raises(SweepFailedError, match="every trial failed"):
            sweep(folder, "ppo.kl_coef=0.01,0.02", "hydra.sweeper.max_failure_rate=1", f"objective.{objective}")
        both = trials(folder)
        assert [trial.state for trial in both] == [FAIL] * 2
        for trial in both:
            assert trial.user_attrs["cause"] == "config"
            assert f"no update has {name} (recorded: eval/base_score, eval/kl" in trial.user_attrs["message"]
            assert len(Run(folder / str(trial.number)).metrics()) == 5
