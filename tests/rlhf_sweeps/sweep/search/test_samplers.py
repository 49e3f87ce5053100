"""A search killed and resumed goes on as one that was left alone, whatever samples it."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import CmaEsSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.sweep.search.samplers import SAMPLERS, make_sampler

SPACE: dict[str, BaseDistribution] = {
    "ppo.lr": FloatDistribution(1e-5, 1e-2, log=True),
    "ppo.kl_coef": FloatDistribution(0.0, 0.5),
    "ppo.num_ppo_epochs": IntDistribution(1, 8),
}
CHOICE = {"reward_model": CategoricalDistribution(["a", "b", "c"])}
# Small generations, and as few random trials as the rule allows, so that 20 suggestions reach what keeps state.
CASES: dict[str, tuple[dict[str, Any], dict[str, BaseDistribution], int]] = {
    "tpe": ({"n_startup_trials": 5}, SPACE | CHOICE, 1),
    "gp": ({"n_startup_trials": 16}, SPACE | CHOICE, 1),
    "cmaes": ({"popsize": 4}, SPACE, 1),
    "nsgaii": ({"population_size": 4}, SPACE | CHOICE, 2),
    "nsgaiii": ({"population_size": 4}, SPACE | CHOICE, 2),
    "qmc": ({}, SPACE | CHOICE, 1),
    "random": ({}, SPACE | CHOICE, 1),
    "optuna.samplers.BruteForceSampler": ({}, {"ppo.num_ppo_epochs": IntDistribution(1, 64)}, 1),
}
Suggested = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def suggest(
    study_of: Callable[[int], optuna.Study], name: str, num_trials: int = 20, seed: int = 7, **changes: Any
) -> Suggested:
    """What `num_trials` rounds of ask and tell suggest, on the study that `study_of` gives for each round."""
    arguments, space, num_objectives = CASES[name]
    suggested = []
    for number in range(num_trials):
        study = study_of(number)
        study.sampler = make_sampler(name, arguments | changes, seed, number, num_objectives)
        trial = study.ask(space)
        suggested.append(trial.params)
        distance = abs(math.log10(trial.params.get("ppo.lr", 1e-3)) + 3) + trial.params.get("ppo.kl_coef", 0.1)
        study.tell(trial, [-distance, float(trial.params["ppo.num_ppo_epochs"])][:num_objectives])
    return suggested


def undisturbed(name: str, **changes: Any) -> Suggested:
    study = optuna.create_study(directions=["maximize"] * CASES[name][2])
    return suggest(lambda _: study, name, **changes)


@pytest.mark.parametrize(
    "name", [name if name in ("tpe", "qmc") else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_a_resumed_search_suggests_what_an_undisturbed_one_does(name: str, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"

    studies: list[optuna.Study] = []

    def reopened(number: int) -> optuna.Study:
        # Every third time, so that generations of four are cut at each of their trials.
        if number % 3 == 0:
            studies.append(optuna.load_study(study_name="sweep", storage=optuna.storages.RDBStorage(storage)))
        return studies[-1]

    optuna.create_study(study_name="sweep", storage=storage, directions=["maximize"] * CASES[name][2])
    assert suggest(reopened, name) == undisturbed(name)


@pytest.mark.parametrize("name", CASES)
def test_suggestions_differ_from_trial_to_trial_and_from_seed_to_seed(name: str) -> None:
    # So few that no generation has ended yet: its children may well be its members again.
    suggested = undisturbed(name, num_trials=4)
    assert len({str(params) for params in suggested}) == 4
    assert undisturbed(name, num_trials=4, seed=8) != suggested


def test_every_name_is_among_the_cases() -> None:
    assert set(SAMPLERS) <= set(CASES)


def test_the_quasi_random_sequence_is_scipys() -> None:
    sobol = pytest.importorskip("scipy.stats.qmc").Sobol(3, seed=7, scramble=True)
    points = sobol.random(8)
    study = optuna.create_study()
    for number in range(9):
        study.sampler = make_sampler("qmc", {}, 7, number, 1)
        trial = study.ask(SPACE)
        study.tell(trial, 0.0)
        if number > 0:  # the first is drawn at random, since the space is known from it
            unit = [math.log10(trial.params["ppo.lr"]) / 3 + 5 / 3, trial.params["ppo.kl_coef"] / 0.5]
            assert unit == pytest.approx(points[number - 1][:2])


def test_keys_outside_the_quasi_random_sequence_vary() -> None:
    study = optuna.create_study()
    drawn = set()
    for number in range(6):
        study.sampler = make_sampler("qmc", {}, 7, number, 1)
        trial = study.ask(SPACE)
        # The sequence is over what the first trial has; a key under a condition may come later.
        if number > 0:
            drawn.add(trial.suggest_float("ppo.clip_range", 0.1, 0.3))
        study.tell(trial, 0.0)
    assert len(drawn) == 5


def test_random_suggestions_by_hand() -> None:
    study = optuna.create_study(sampler=make_sampler("random", {}, 3, 5, 1))
    seed = int(np.random.SeedSequence([3, 5]).generate_state(1)[0])
    expected = np.random.RandomState(seed).uniform(0.0, 0.5)
    assert study.ask({"ppo.kl_coef": SPACE["ppo.kl_coef"]}).params["ppo.kl_coef"] == pytest.approx(expected)


def test_trees_are_grown_for_trials_side_by_side_and_keys_that_come_and_go() -> None:
    sampler = make_sampler("tpe", {"n_startup_trials": 3}, 0, 0, 1)
    assert isinstance(sampler, TPESampler)
    kept = (sampler._multivariate, sampler._group, sampler._constant_liar, sampler._n_startup_trials)
    assert kept == (True, True, True, 3)
    plain = make_sampler("tpe", {"multivariate": False, "group": False}, 0, 0, 1)
    assert isinstance(plain, TPESampler)
    assert (plain._multivariate, plain._group) == (False, False)


@pytest.mark.parametrize(("path", "cls"), [("optuna.samplers.QMCSampler", QMCSampler), ("test_samplers.Own", None)])
def test_classes_by_their_path(path: str, cls: type | None) -> None:
    sampler = make_sampler(path, {}, 11, 4, 1)
    if cls is None:
        assert type(sampler).__name__ == "Own"
    else:
        # One sequence, whoever names it.
        assert isinstance(sampler, cls)
        assert sampler._seed == 11  # type: ignore[attr-defined]


class Own(RandomSampler):
    """A sampler with no argument, so with no seed to give."""

    def __init__(self) -> None:
        super().__init__(seed=0)


@pytest.mark.parametrize(
    ("name", "arguments", "num_objectives", "message"),
    [
        ("tbe", {}, 1, f"hydra.sweeper.sampler=tbe: must be one of {', '.join(SAMPLERS)} or"),
        ("grid", {}, 1, "hydra.sweeper.sampler=grid: a grid needs no sampler"),
        ("cmaes", {}, 2, "hydra.sweeper.sampler=cmaes: takes one objective, there are 2"),
        ("optuna.samplers.CmaEsSampler", {}, 2, "takes one objective, there are 2"),
        ("optuna.samplers.Nothing", {}, 1, "has no attribute 'Nothing'"),
        ("no.such.module", {}, 1, "No module named 'no'"),
        ("optuna.pruners.NopPruner", {}, 1, "a class that extends BaseSampler"),
        ("optuna.samplers.BaseSampler", {}, 1, "a class that extends BaseSampler"),
        ("optuna.samplers.GridSampler", {}, 1, "hydra.sweeper.sampler_args={}: .*search_space"),
        ("random", {"gamma": 1}, 1, "hydra.sweeper.sampler_args.gamma=1: there is no such argument .*takes none"),
        ("random", {"seed": 1}, 1, "hydra.sweeper.sampler_args.seed=1: there is no such argument"),
        (
            "tpe",
            {"n_startup_trails": 1},
            1,
            "n_startup_trails=1: there is no such argument; did you mean n_startup_trials",
        ),
        ("tpe", {"n_startup_trials": "ten"}, 1, "sampler_args.n_startup_trials=ten: must be int"),
        ("tpe", {"n_startup_trials": True}, 1, "sampler_args.n_startup_trials=True: must be int"),
        ("cmaes", {"sigma0": "wide"}, 1, r"sampler_args.sigma0=wide: must be float \| None"),
        ("nsgaii", {"population_size": 1}, 2, "sampler_args={population_size=1}: .*greater than or equal to 2"),
        ("tpe", {"multivariate": False}, 1, "sampler_args={.*}: .*group"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(
    name: str, arguments: dict[str, Any], num_objectives: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make_sampler(name, arguments, 0, 0, num_objectives)
    assert "\n" not in str(caught.value)


def test_whole_numbers_are_numbers_and_null_is_a_value() -> None:
    assert isinstance(make_sampler("cmaes", {"popsize": None}, 0, 0, 1), CmaEsSampler)
    assert isinstance(make_sampler("nsgaii", {"crossover_prob": 1}, 0, 0, 1), NSGAIISampler)
