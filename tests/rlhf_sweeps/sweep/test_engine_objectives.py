"""What the engine makes of objectives: several, minimized, constrained, within a KL budget, and pruned by."""

from pathlib import Path

import optuna
import pytest
import yaml
from helpers.fake_trainer import divergence, value
from helpers.sweeping import SEARCH, sweep, trials
from optuna.trial import TrialState

from rlhf_sweeps.record import Run

COMPLETE, PRUNED = TrialState.COMPLETE, TrialState.PRUNED


def test_several_objectives_with_constraints_are_pruned_by_a_declared_one(tmp_path: Path) -> None:
    sweep(
        tmp_path,
        *SEARCH,
        "objective.metrics=[eval/score,eval/kl]",
        "objective.directions=[maximize,minimize]",
        "objective.constraints=['eval/kl<=3','eval/length>=10']",
        "hydra.sweeper.prune_on=eval/score",
        "hydra.sweeper.n_trials=25",
    )
    found = trials(tmp_path)
    assert {t.state for t in found} == {COMPLETE, PRUNED}
    for trial in (t for t in found if t.state == COMPLETE):
        assert trial.values[1] == pytest.approx(divergence(trial.params["ppo.lr"], 1))
        assert trial.constraints == pytest.approx({"eval/kl<=3": trial.values[1] - 3, "eval/length>=10": -10})
    results = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    kept = [t for t in found if t.state == COMPLETE and t.values[1] <= 3]
    front = [
        t for t in kept if not any(o.values[0] >= t.values[0] and o.values[1] < t.values[1] for o in kept)
    ]  # the fake KL is the learning rate, which no two trials share
    assert sorted(one["trial"] for one in results["solutions"]) == [trial.number for trial in front]
    assert {one["trial"]: one["values"] for one in results["solutions"]} == {t.number: t.values for t in front}


def test_direction_of_hydras_plugin_is_kept(tmp_path: Path) -> None:
    sweep(tmp_path, "ppo.lr=5e-4,1e-4", "hydra.sweeper.direction=minimize", "objective.metrics=[eval/kl]")
    assert (
        optuna.load_study(study_name=tmp_path.name, storage=f"sqlite:///{tmp_path}/study.db").direction.name
        == "MINIMIZE"
    )
    results = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert (results["best_trial"], results["best_value"]) == (1, pytest.approx(divergence(1e-4, 1)))
    config = yaml.safe_load((tmp_path / "0" / ".hydra" / "config.yaml").read_text())
    assert config["objective"]["directions"] == ["minimize"]


def test_a_trial_over_its_kl_budget_for_good_is_stopped_and_worth_what_it_was_within(tmp_path: Path) -> None:
    sweep(tmp_path, "ppo.lr=5e-4,1e-3")  # the fake KL is 3.3 and 6.7 throughout
    within, beyond = trials(tmp_path)
    assert (within.state, beyond.state) == (COMPLETE, COMPLETE)
    assert beyond.value == 0.0  # the base policy's score
    assert (Run(tmp_path / "1").summary() or {})["stop_reason"] == "kl_budget"
    assert len(Run(tmp_path / "1").metrics()) == 10  # two evaluations


@pytest.mark.parametrize(("direction", "limits"), [("maximize", "lower"), ("minimize", "upper")])
def test_optunas_pruners_see_the_metric_as_it_is(tmp_path: Path, direction: str, limits: str) -> None:
    """Of four learning rates the two that end at a score above 1.5; limits keep their meaning where one minimizes."""
    sweep(
        tmp_path, "ppo.lr=5e-4,4e-4,1e-5,1e-6", "objective.kl_budget=null", "objective.reduction=last",
        f"objective.directions=[{direction}]", "hydra.sweeper.pruner=optuna.pruners.ThresholdPruner",
        f"hydra.sweeper.pruner_args={{{limits}: 0.0}}",
    )  # fmt: skip
    is_above = [value(trial.params["ppo.lr"], 0.02, 0) > 0 for trial in trials(tmp_path)]
    assert sorted(is_above) == [False, False, True, True]
    is_complete = [trial.state == COMPLETE for trial in trials(tmp_path)]
    assert is_complete == (is_above if limits == "lower" else [not above for above in is_above])


def test_a_constraint_on_evaluations_binds_an_objective_of_every_update(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path, "ppo.lr=1e-4,5e-4", "objective.metrics=[objective/scores]", "objective.reduction=best",
          "objective.constraints=['eval/length<=10']")  # fmt: skip
    assert [dict(trial.constraints) for trial in trials(tmp_path)] == [{"eval/length<=10": 10.0}] * 2
    assert "no complete trial keeps objective.constraints" in capsys.readouterr().out


def test_constraints_are_held_in_the_mean_over_seeds(tmp_path: Path) -> None:
    """The fake trainer's scores at the end of each seed are known; the limit is 1."""
    limit = ("objective.constraints=['eval/score<=1']", "objective.reduction=last")
    sweep(tmp_path, "ppo.lr=1e-4", "sweep.seeds=3", *limit)
    excess = sum(value(1e-4, 0.1, seed) for seed in range(3)) / 3 - 1
    assert trials(tmp_path)[0].constraints["eval/score<=1"] == pytest.approx(excess)
