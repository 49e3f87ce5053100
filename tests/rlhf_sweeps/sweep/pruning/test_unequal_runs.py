"""Runs of different numbers of updates, and trials without a report: who is compared with whom, and where."""

import math
from pathlib import Path

import optuna
import pytest
from helpers.fake_trainer import value
from helpers.sweeping import misbehave, sweep, trials
from optuna.trial import TrialState

from rlhf_sweeps.sweep.pruning.pruners import make_pruner
from rlhf_sweeps.sweep.pruning.pruning_state import PruningState
from rlhf_sweeps.sweep.study.study import WHOLE_RUN, Study

PRUNERS = ("asha", "hyperband", "median", "optuna.pruners.MedianPruner", "optuna.pruners.SuccessiveHalvingPruner")
SEARCH = ("ppo.lr=tag(log,interval(1e-5,1e-2))", "ppo.kl_coef=tag(log,interval(0.001,1))")
COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


def pruning(
    pruner: str, lengths: dict[int, int], level: dict[int, float], sign: int = 1, **arguments: float
) -> PruningState:
    """Each trial has come to `level` at the end, in a straight line that was reported at every tenth of its run."""
    found = PruningState(make_pruner(pruner, arguments), sign)
    for number, length in lengths.items():
        shares = [step for step in range(1, length + 1) if step * 10 % length == 0]
        found.add_trial(number, {step: sign * level[number] * step / length for step in shares}, length)
    return found


@pytest.mark.parametrize("pruner", PRUNERS)
def test_runs_that_are_alike_at_each_share_are_alike_whatever_their_length(pruner: str) -> None:
    """Trial 9 lies in the middle of its peers at every share of its run; by update it would be far behind or ahead."""
    for length in (10, 30, 60, 300):
        lengths = {1: 30, 2: 60, 3: 10, 4: 30, 5: 300}
        peers = {1: 1.0, 2: 1.1, 3: 2.1, 4: 0.9, 5: 1.2}
        found = pruning(pruner, lengths, peers)
        found.add_trial(9, {length // 2: 0.5 * 1.15}, length)  # third of six
        assert not found.should_prune(9)


@pytest.mark.parametrize("pruner", ["asha", "median", "percentile", "optuna.pruners.MedianPruner"])
@pytest.mark.parametrize("length", [10, 30, 60, 300])
def test_the_worst_at_half_of_a_run_ends_whatever_its_length(pruner: str, length: int) -> None:
    found = pruning(pruner, {1: 30, 2: 60, 3: 10, 4: 30, 5: 300}, {1: 1.0, 2: 1.1, 3: 2.1, 4: 0.9, 5: 1.2})
    found.add_trial(9, {length // 2: 0.1}, length)
    assert found.should_prune(9)


@pytest.mark.parametrize("pruner", ["median", "optuna.pruners.MedianPruner"])
def test_a_peer_that_was_evaluated_at_other_shares_has_there_what_it_was_worth_last(pruner: str) -> None:
    """Peers at thirds of 30 updates, the trial at half of 20: they had 0.33 by then, in a run that ends at 1."""
    for own, is_bad in ((0.3, True), (0.4, False)):
        found = PruningState(make_pruner(pruner, {}))
        for number in range(1, 7):
            found.add_trial(number, {10: 1 / 3, 20: 2 / 3, 30: 1.0}, 30)
        found.add_trial(9, {10: own}, 20)
        assert found.should_prune(9) == is_bad


@pytest.mark.parametrize("pruner", ["median", "optuna.pruners.MedianPruner", "optuna.pruners.SuccessiveHalvingPruner"])
def test_where_one_minimizes_the_highest_ends(pruner: str) -> None:
    """A loss: -level as higher is better, so the trial in question has 0.05 or 5 where the others have about 0.5."""
    for own, is_bad in ((0.05, False), (5.0, True)):
        found = pruning(pruner, dict.fromkeys(range(1, 7), 30), dict.fromkeys(range(1, 7), -1.0), sign=-1)
        found.add_trial(9, {15: own}, 30)
        assert found.reports(1)[15] == 0.5
        if pruner == "optuna.pruners.SuccessiveHalvingPruner":
            for number in range(1, 7):
                found.should_prune(number)  # which keeps their rungs
        assert found.should_prune(9) == is_bad


def test_who_waits_is_decided_by_shares_too() -> None:
    found = pruning("asha", {1: 300, 2: 10, 3: 60}, {1: 1.0, 2: 1.2, 3: 0.8})
    found.add_trial(9, {6: 0.25}, 30)  # a fifth of the run; the others have 0.2, 0.24 and 0.16 there
    assert not found.should_wait(9)
    found.add_trial(9, {6: 0.1}, 30)
    assert found.should_wait(9)
    assert not found.may_resume(9)
    found.add_trial(9, {6: 0.3}, 30)
    assert found.may_resume(9)


def test_who_has_got_furthest_is_decided_by_shares_too() -> None:
    """5 of 10 updates are more of a run than 6 of 60; values are higher the better."""
    found = pruning("asha", {1: 10, 2: 60}, {1: 1.0, 2: 1.0}, sign=-1)
    found.add_trial(3, {5: -0.25}, 10)
    found.add_trial(4, {6: 0.5}, 60)
    found.add_trial(5, {}, 60)
    assert [found.progress(number) for number in (1, 2)] == [(1.0, 1.0)] * 2
    assert [found.progress(number) for number in (3, 4, 5)] == [(0.5, 0.25), (0.1, -0.5), (0.0, 0.0)]


def test_ends_of_seeds_are_compared_with_ends_of_seeds() -> None:
    """Two seeds of 10 updates are through after 20, in which a run of 30 is not."""
    found = PruningState(make_pruner("percentile", {"percentile": 50, "min_peers": 3}))
    for number, length in ((1, 30), (2, 60), (3, 30)):
        found.add_trial(number, {length // 2: 0.5, length: 1.0, 2 * length: 1.0}, length)
    found.add_trial(9, {5: 0.5, 10: 1.1}, 10)
    assert not found.should_prune(9)
    found.add_trial(9, {5: 0.5, 10: 1.1, 20: 0.9}, 10)
    assert found.should_prune(9)


@pytest.mark.parametrize("pruner", ["asha", "hyperband", "median", "optuna.pruners.MedianPruner"])
def test_peers_without_a_value_are_none(pruner: str) -> None:
    """Trial 0 was the first and has reported nothing, or nothing that is a number."""
    for nothing in ({}, {15: math.nan}, {15: -math.inf}):
        lengths, level = dict.fromkeys(range(1, 9), 30), dict.fromkeys(range(1, 9), 1.0)
        found = PruningState(make_pruner(pruner, {}))
        found.add_trial(0, nothing, 30)
        for number in lengths:
            found.add_trial(number, {step: level[number] * step / 30 for step in (5, 10, 15, 20, 25, 30)}, 30)
        found.add_trial(9, {5: 0.01, 10: 0.01, 15: 0.01}, 30)
        assert found.should_prune(9), nothing


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["asha", "hyperband"])
def test_a_first_trial_that_reports_nothing_saves_nobody(tmp_path: Path, pruner: str) -> None:
    """The same search twice; the one difference is that trial 0 runs out of memory before its first evaluation."""
    arguments = (*SEARCH, "hydra.sweeper.n_trials=25", "hydra.sweeper.sampler=random", f"hydra.sweeper.pruner={pruner}")
    sweep(tmp_path / "sound", *arguments)
    misbehave(tmp_path / "sick", trial_0={"2": "out_of_memory"})
    sweep(tmp_path / "sick", *arguments)
    sound, sick = ([t.state for t in trials(tmp_path / name)] for name in ("sound", "sick"))
    assert sick[0] == FAIL
    assert sound.count(PRUNED) >= 3
    assert sick.count(PRUNED) > sound.count(PRUNED) / 2


@pytest.mark.parametrize("key", ["ppo.batch_size=8,16,32,48,96", "ppo.total_episodes=320,640,960,1280,1600"])
@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_settings_that_end_alike_are_not_pruned_for_their_length(tmp_path: Path, key: str, pruner: str) -> None:
    """The fake trainer's curves are straight lines over the share of a run: these differ in their length alone."""
    sweep(tmp_path, key, f"hydra.sweeper.pruner={pruner}", "objective.kl_budget=null")
    assert [trial.state for trial in trials(tmp_path)] == [COMPLETE] * 5
    assert len({trial.user_attrs["num_updates"] for trial in trials(tmp_path)}) == 5


@pytest.mark.slow
def test_bad_settings_end_whatever_the_length_of_their_runs(tmp_path: Path) -> None:
    """Five learning rates at three lengths, in the sampler's order: the bad ones do not get far."""
    sweep(
        tmp_path, "ppo.lr=5e-4,4e-4,6e-4,1e-6,1e-7", "ppo.batch_size=16,32,96",
        "hydra.sweeper.n_trials=14", "hydra.sweeper.pruner=median", "objective.kl_budget=null",
    )  # fmt: skip
    assert len(trials(tmp_path)) == 14
    for trial in trials(tmp_path):
        length = trial.user_attrs["num_updates"]
        if trial.params["ppo.lr"] > 1e-5:
            assert trial.state == COMPLETE or value(trial.params["ppo.lr"], 0.02, 0) < 2
        elif trial.number > 6:
            assert trial.state == PRUNED
            assert max(trial.intermediate_values) <= length // 2 + 5


def test_samplers_rank_pruned_trials_by_their_share_of_a_run(tmp_path: Path) -> None:
    """TPE takes the one that got further for the better: half of 10 updates is further than a third of 60."""

    def sampler(number: int) -> optuna.samplers.BaseSampler:
        return optuna.samplers.RandomSampler(seed=number)

    study = Study(f"journal:{tmp_path / 'j'}", "s", ["eval/score"], ["maximize"], sampler, num_updates=30)
    distribution = optuna.distributions.FloatDistribution(0, 1)
    for steps, length in (({5: 0.1}, 10), ({10: 0.2, 20: 0.3}, 60), ({15: 0.4}, None)):
        number, _ = study.ask(lambda suggest: {"x": suggest("x", distribution)})
        if length is not None:
            study.note(number, num_updates=length)
        for step, worth in steps.items():
            study.report(number, step, worth)
        study.tell(number, "pruned")
    seen = [max(trial.intermediate_values) for trial in study._study.trials]
    assert seen == [WHOLE_RUN // 2, round(WHOLE_RUN / 3), WHOLE_RUN // 2]
