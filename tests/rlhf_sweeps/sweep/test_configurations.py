"""hydra.sweeper.accept_changes=true: what was begun keeps its configuration, and no old result stands for a new one."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from helpers.sweeping import misbehave, starts, sweep, trials, updates
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from analysis.reading.folders import read_folder
from analysis.results.ranking import rank_source
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.sweep import SweepFailedError, SweepInterruptedError
from rlhf_sweeps.sweep.configurations import Configurations
from rlhf_sweeps.sweep.study.study import Study

COMPLETE, FAIL, RUNNING = TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING
ACCEPT = "hydra.sweeper.accept_changes=true"
GRID = "ppo.kl_coef=0.01,0.02,0.05"
SHORT, LONG = "ppo.total_episodes=320", "ppo.total_episodes=960"  # 10 and 30 updates


def interrupt_after(monkeypatch: pytest.MonkeyPatch, num_updates: int) -> None:
    """Ctrl-C once so many updates were recorded."""
    append, count = Run.append_metrics, 0

    def append_and_interrupt(self: Run, row: dict[str, Any]) -> None:
        nonlocal count
        append(self, row)
        count += 1
        if count == num_updates:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Run, "append_metrics", append_and_interrupt)


def begin(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str, after: int = 14) -> None:
    """A sweep that is interrupted in its second trial."""
    with monkeypatch.context() as patch:
        interrupt_after(patch, after)
        with pytest.raises(SweepInterruptedError):
            sweep(folder, *arguments)


def trials_now(folder: Path) -> list[Any]:
    """Of the newest study, where the space has changed."""
    return trials(folder, json.loads((folder / "sweep.json").read_text())["study_name"])


def end_of(folder: Path, number: int) -> tuple[TrialState, int]:
    return trials(folder)[number].state, updates(folder / str(number))


def test_back_at_an_earlier_configuration_that_one_is_the_present() -> None:
    objective = {"metrics": ["eval/kl"], "directions": ["minimize"], "reduction": "last", "mean_over": 3}
    config = {f"objective.{key}": value for key, value in {**objective, "kl_budget": None, "constraints": []}.items()}
    first: dict[str, Any] = {
        "axes": [{"key": "x", "kind": "list", "choices": ["1", "2"], "tied_to": None, "when": {}}],
        "config": config,
        "directions": ["minimize"],
        "seeds": [7],
    }
    second = {**first, "seeds": [7, 8]}
    found = Configurations([first, second], first)
    assert (found.current, found.records, found.compared) == (0, [first, second], [0])
    assert [found[n].is_current for n in (0, 1)] == [True, False]
    assert [list(found[n].seeds) for n in (0, 1)] == [[7], [7, 8]]
    third = Configurations([first, second], {**first, "axes": [{**first["axes"][0], "key": "y"}]})
    assert (third.current, third.compared) == (2, [2])


def test_a_begun_trial_ends_under_its_own_configuration_and_all_points_are_run_under_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(tmp_path, monkeypatch, GRID, SHORT)
    capsys.readouterr()
    sweep(tmp_path, GRID, LONG, ACCEPT, "sweep.test_seeds=1", "sweep.num_tested=1")
    found = trials(tmp_path)
    assert [end_of(tmp_path, number) for number in range(5)] == [(COMPLETE, 10)] * 2 + [(COMPLETE, 30)] * 3
    assert [trial.params["ppo.kl_coef"] for trial in found] == [0.01, 0.02, 0.01, 0.02, 0.05]
    assert starts(tmp_path / "1") == 2  # begun before, gone on with after
    output = capsys.readouterr().out
    assert "leading (not decided): trial 3," in output
    assert "run trial 3 again: " in output
    assert LONG in output.partition("run trial 3 again: ")[2].splitlines()[0]
    assert "begun under an earlier configuration, so not compared: trial 0, 1\n" in output
    assert (tmp_path / "test" / "3_seed_1000000").is_dir()


@pytest.mark.slow
def test_a_trial_with_the_same_parameters_but_another_configuration_is_no_twin(tmp_path: Path) -> None:
    sweep(tmp_path, "ppo.kl_coef=0.02", SHORT)
    sweep(tmp_path, "ppo.kl_coef=0.02", LONG, ACCEPT)
    assert [end_of(tmp_path, number) for number in range(2)] == [(COMPLETE, 10), (COMPLETE, 30)]
    sweep(tmp_path, "ppo.kl_coef=0.02", SHORT, ACCEPT)  # back to the first: nothing is left to run
    assert len(trials(tmp_path)) == 2


def test_a_search_runs_all_its_trials_under_the_new_configuration(tmp_path: Path) -> None:
    search = ("ppo.lr=tag(log,interval(1e-5,1e-2))", "hydra.sweeper.n_trials=3", "hydra.sweeper.pruner=none")
    sweep(tmp_path, *search, SHORT)
    sweep(tmp_path, *search, LONG, ACCEPT)
    assert [updates(tmp_path / str(number)) for number in range(6)] == [10] * 3 + [30] * 3


@pytest.mark.slow
def test_further_seeds_of_a_begun_trial_are_those_of_its_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmp_path, monkeypatch, GRID, SHORT, "sweep.seeds=2", "seed=5", after=33)  # in trial 1, seed 6
    sweep(tmp_path, GRID, LONG, "sweep.seeds=3", "seed=7", ACCEPT)
    first = {path.name: updates(path) for path in (tmp_path / "1").glob("seed_*")}
    assert first == {"seed_5": 10, "seed_6": 10}
    new = {path.name: updates(path) for path in (tmp_path / "2").glob("seed_*")}
    assert new == {"seed_7": 30, "seed_8": 30, "seed_9": 30}
    assert [trial.state for trial in trials(tmp_path)] == [COMPLETE] * 5


def test_a_begun_trial_whose_value_is_not_in_the_space_any_more_ends_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmp_path, monkeypatch, GRID, SHORT)
    sweep(tmp_path, "ppo.kl_coef=0.01,0.1", SHORT, ACCEPT)
    found = trials(tmp_path, f"{tmp_path.name}.2")
    assert [(trial.params, trial.state) for trial in found] == [
        ({"ppo.kl_coef": 0.01}, COMPLETE),  # only the space has changed: it stands
        ({}, COMPLETE),
        ({"ppo.kl_coef": 0.1}, COMPLETE),
    ]
    assert [updates(tmp_path / str(number)) for number in range(3)] == [10] * 3


def test_what_was_suggested_and_not_begun_is_told_and_its_point_run_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rlhf_sweeps.sweep.composition import Composer

    class Killed(BaseException):
        """By SIGKILL, between the suggestion and the run."""

    def die(*arguments: object, **named: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Composer, "write", die)
        with pytest.raises(Killed):
            sweep(tmp_path, GRID, SHORT)
    sweep(tmp_path, GRID, LONG, ACCEPT)
    found = trials(tmp_path)
    assert [trial.state for trial in found] == [FAIL] + [COMPLETE] * 3
    assert "earlier configuration" in found[0].user_attrs["message"]
    assert [trial.params["ppo.kl_coef"] for trial in found] == [0.01, 0.01, 0.02, 0.05]


def test_an_old_failure_does_not_count_and_a_pruner_does_not_look_at_old_curves(tmp_path: Path) -> None:
    misbehave(tmp_path, **{f"trial_{number}": {"1": "raise"} for number in range(3)})
    sweep(tmp_path, "ppo.lr=5e-4,4e-4,6e-4,3e-4", SHORT, "hydra.sweeper.max_failure_rate=0.5")
    assert [trial.state for trial in trials(tmp_path)] == [FAIL] * 3 + [COMPLETE]
    misbehave(tmp_path)
    sweep(tmp_path, "ppo.lr=5e-4,4e-4,6e-4,3e-4", LONG, ACCEPT, "hydra.sweeper.max_failure_rate=0")
    assert [trial.state for trial in trials(tmp_path)][4:] == [COMPLETE] * 4


def test_the_analysis_ranks_the_new_trials_and_says_so(tmp_path: Path) -> None:
    sweep(tmp_path, "ppo.lr=5e-4,1e-5", SHORT)
    sweep(tmp_path, "ppo.lr=1e-4,1e-5", LONG, ACCEPT)
    found = read_folder(Sweep(tmp_path))
    assert [trial.number for trial in found.trials] == [2, 3]
    assert [entry.numbers for entry in rank_source(found).ranked] == [(2,), (3,)]
    assert any("trials 0 and 1: begun under an earlier configuration" in problem for problem in found.problems)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        # What was fixed is swept now, and the other way round: the old trials do not tell that key.
        (("ppo.lr=4e-4", "ppo.kl_coef=0.02,0.03"), ("ppo.lr=1e-5,1e-6", "ppo.kl_coef=0.02")),
        pytest.param(("ppo.lr=1e-4,1e-5",), ("ppo.lr=1e-4,1e-5", "ppo.kl_coef=0.02,0.5"), marks=pytest.mark.slow),
        # Conditions: at lr 1e-4 there was a KL coefficient of 0.5, and is none now.
        (
            ("ppo.lr=1e-4,1e-3", "ppo.kl_coef=0.5,0.02"),
            ("ppo.lr=1e-4,1e-3", "ppo.kl_coef=0.5,0.02", "hydra.sweeper.conditions={ppo.kl_coef: {ppo.lr: 1e-3}}"),
        ),
        # Ties: the old trials had another KL coefficient each.
        (
            ("ppo.lr=1e-4,1e-3", "ppo.kl_coef=0.1,0.2", "hydra.sweeper.ties=[[ppo.lr,ppo.kl_coef]]"),
            ("ppo.lr=1e-4,1e-3", "ppo.kl_coef=0.1"),
        ),
    ],
    ids=["swapped", "wider", "conditions", "ties"],
)
def test_trials_are_not_compared_where_other_keys_are_swept(
    tmp_path: Path, first: tuple[str, ...], then: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path, *first, SHORT)
    num_old = len(trials(tmp_path))
    with pytest.raises(ConfigError, match="holds another sweep"):
        sweep(tmp_path, *then, SHORT)
    capsys.readouterr()
    sweep(tmp_path, *then, SHORT, ACCEPT)
    num_new = len(trials_now(tmp_path)) - num_old
    sweep(tmp_path / "fresh", *then, SHORT)
    assert num_new == len(trials(tmp_path / "fresh"))
    output = capsys.readouterr().out
    assert f"not compared: trial {', '.join(map(str, range(num_old)))}\n" in output


def test_a_change_within_a_swept_group_is_noticed(tmp_path: Path) -> None:
    sweep(tmp_path, "ppo=default,trl", "ppo.clip_range=0.3", SHORT)
    with pytest.raises(ConfigError, match=r"overrides were ppo\.clip_range=0\.3 ppo\.total_episodes=320, are"):
        sweep(tmp_path, "ppo=default,trl", "ppo.clip_range=0.25", SHORT)


def test_a_study_keeps_its_directions(tmp_path: Path) -> None:
    sweep(tmp_path, "ppo.lr=1e-4,1e-3", SHORT)
    with pytest.raises(ConfigError, match=r"^objective\.directions=\['minimize'\]: the study in .*; choose another"):
        sweep(tmp_path, "ppo.lr=1e-4,1e-3", SHORT, "objective.directions=[minimize]", ACCEPT)


def test_a_list_may_become_an_interval_and_back(tmp_path: Path) -> None:
    sweep(tmp_path, "ppo.lr=1e-4,1e-3", SHORT)
    sweep(tmp_path, "ppo.lr=tag(log,interval(5e-4,1e-2))", SHORT, ACCEPT, "hydra.sweeper.n_trials=3")
    found = trials_now(tmp_path)
    assert [trial.state for trial in found] == [FAIL, COMPLETE, COMPLETE, COMPLETE]  # 1e-4 is outside
    assert found[1].params == {"ppo.lr": 1e-3}
    sweep(tmp_path, "ppo.lr=interval(5e-4,1e-2)", SHORT, ACCEPT, "hydra.sweeper.n_trials=4")
    sweep(tmp_path, "ppo.lr=1e-3,2e-3", SHORT, ACCEPT)
    assert {trial.params.get("ppo.lr") for trial in trials_now(tmp_path)} == {None, 1e-3, 2e-3}


def test_where_no_new_trial_is_complete_no_old_one_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(tmp_path, "ppo.kl_coef=0.01,0.02", SHORT)
    misbehave(tmp_path, trial_2={"3": "diverged"}, trial_3={"3": "diverged"})
    capsys.readouterr()
    with pytest.raises(SweepFailedError, match="every trial failed"):
        sweep(tmp_path, "ppo.kl_coef=0.01,0.02", LONG, ACCEPT)
    output = capsys.readouterr().out
    assert "no trial of the present configuration is complete, so there is no best setting" in output
    assert "begun under an earlier configuration, so not compared: trial 0, 1\n" in output


def test_samplers_learn_nothing_from_old_trials(tmp_path: Path) -> None:
    study = Study(
        f"journal:{tmp_path / 'j'}",
        "s",
        ["eval/score"],
        ["maximize"],
        lambda number: RandomSampler(seed=number),
        is_compared=lambda notes: notes["configuration"] == 1,
    )
    for configuration, state in ((0, "complete"), (1, "complete"), (0, "pruned"), (0, "running")):
        number, _ = study.ask(
            lambda suggest: {"x": suggest("x", FloatDistribution(0, 1))},
            lambda params, configuration=configuration: {"configuration": configuration},  # type: ignore[misc]
        )
        study.report(number, 5, 1.0)
        if state != "running":
            study.tell(number, state, [1.0] if state == "complete" else None)
    assert [trial.state for trial in study._study.trials] == [FAIL, COMPLETE, FAIL, FAIL]
    assert [trial.params.keys() for trial in study._study.trials] == [set(), {"x"}, set(), set()]


def test_a_sweep_of_an_earlier_version_is_continued(tmp_path: Path) -> None:
    sweep(tmp_path, "ppo.kl_coef=0.01,0.02", SHORT)
    start = Sweep(tmp_path).start() or {}
    later = ("objective.kl_price", "model.suggested_kl_budget", "model.suggested_kl_coef", "dataset.suggested_judges")
    earlier = {key: value for key, value in start["config"].items() if key not in later}
    assert len(start["config"]) - len(earlier) == 4
    configurations = [{**start["configurations"][0], "config": earlier}]
    Sweep(tmp_path).write_start({**start, "config": earlier, "configurations": configurations})
    sweep(tmp_path, "ppo.kl_coef=0.01,0.02", SHORT)
    assert [trial.state for trial in trials(tmp_path)] == [COMPLETE, COMPLETE]


@pytest.mark.parametrize("odd", [["x"], None])
def test_a_sweep_whose_references_are_damaged_goes_on(odd: Any, tmp_path: Path) -> None:
    sweep(tmp_path, "ppo.kl_coef=0.01,0.02", SHORT)
    start = Sweep(tmp_path).start() or {}
    Sweep(tmp_path).write_start({**start, "references": odd})
    sweep(tmp_path, "ppo.kl_coef=0.01,0.02", SHORT)
    assert (Sweep(tmp_path).start() or {})["references"] == start["references"] == {}
