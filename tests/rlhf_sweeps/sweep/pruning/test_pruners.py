"""Each rule by hand, on runs of 8 updates, and Optuna's own through a mirror."""

import math
import zlib
from collections.abc import Mapping
from typing import Any

import optuna
import pytest

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.sweep.pruning.pruners import PRUNERS, ObjectiveCurve, Pruner, make_pruner

NUM_STEPS = 8
# Textbook successive halving: rungs at 2 and 4 of 8, the better half goes on, no mercy.
STRICT = {"first_rung": 0.25, "rung_factor": 2.0, "slope_factor": 0}


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def curve(number: int, *values: float, step: int = 1) -> ObjectiveCurve:
    """Values at every `step` updates from the start."""
    return ObjectiveCurve(number, {step * (index + 1): value for index, value in enumerate(values)})


def flat(*levels: float, steps: int = 8) -> list[ObjectiveCurve]:
    """Peers 1, 2 ... that stay at a level each."""
    return [curve(number + 1, *[level] * steps) for number, level in enumerate(levels)]


def rule(name: str, **arguments: Any) -> Pruner:
    return make_pruner(name, arguments)


def asked(pruner: Pruner, trial: ObjectiveCurve, peers: list[ObjectiveCurve]) -> list[int]:
    """The steps at which a trial that goes on regardless is told to end."""
    steps = sorted(trial.values)
    return [
        step
        for step in steps[:-1]
        if pruner.should_prune(
            ObjectiveCurve(trial.number, {known: trial.values[known] for known in steps if known <= step}),
            peers,
            NUM_STEPS,
        )
    ]


def test_a_value_between_two_evaluations_is_the_one_before() -> None:
    trial = ObjectiveCurve(0, {2: 0.5, 5: 0.7})
    assert (trial.step, trial.at(2), trial.at(4), trial.at(5)) == (5, 0.5, 0.5, 0.7)
    assert math.isnan(trial.at(1))
    # It has not got that far.
    assert math.isnan(trial.at(6))
    assert ObjectiveCurve(0, {}).step == 0


def test_half_of_those_at_a_rung_go_on() -> None:
    asha = rule("asha", **STRICT)
    peers = flat(1.0, 2.0, 3.0)
    # Second of four goes on, third ends, at both rungs; the same as the second counts as second.
    assert asked(asha, curve(0, *[2.5] * 8), peers) == []
    assert asked(asha, curve(0, *[2.0] * 8), peers) == []
    assert asked(asha, curve(0, *[1.5] * 8), peers) == [2, 4]
    # Three of five go on with an odd number.
    assert asked(asha, curve(0, *[1.5] * 8), flat(1.0, 1.2, 2.0, 3.0)) == []


def test_a_rung_is_passed_at_the_first_value_at_or_after_it() -> None:
    asha = rule("asha", **STRICT)
    assert asked(asha, curve(0, 0.0, 0.0, 0.0, step=3), flat(1.0, 2.0, 3.0, steps=9)) == [3, 6]
    # Both rungs between two values: one question.
    assert asha.should_prune(ObjectiveCurve(0, {5: 0.0}), flat(1.0, 2.0, 3.0), NUM_STEPS)


def test_rungs_stand_at_the_end_of_every_seed() -> None:
    asha = rule("asha", **STRICT)
    peers = [ObjectiveCurve(number, {4: 3.0, 8: 3.0, 16: 3.0}) for number in (1, 2, 3)]
    assert asked(asha, ObjectiveCurve(0, {4: 3.0, 7: 0.0, 8: 0.0, 16: 0.0, 24: 0.0}), peers) == [8, 16]


def test_few_peers_hold_nobody_back() -> None:
    # Two of the three never got to the second rung.
    peers = [*flat(3.0), *flat(3.0, 3.0, steps=2)]
    assert asked(rule("asha", **STRICT), curve(0, *[0.0] * 8), peers) == [2]
    assert asked(rule("asha", **STRICT, min_peers=4), curve(0, *[0.0] * 8), peers) == []
    assert asked(rule("asha", **STRICT, min_peers=1), curve(0, *[0.0] * 8), peers) == [2, 4]


def test_a_trial_that_still_rises_enough_goes_on() -> None:
    # At 4 of 8 it has 0.8, having risen 0.2 an update over the last two: 1.6 at the end.
    trial, arguments = curve(0, 0.2, 0.4, 0.6, 0.8, 0.8), STRICT | {"first_rung": 0.5, "slope_factor": 1}
    assert asked(rule("asha", **arguments), trial, flat(1.5, 1.5, 1.5)) == []
    assert asked(rule("asha", **arguments), trial, flat(1.7, 1.5, 1.5)) == [4]
    # Twice the slope: 2.4.
    assert asked(rule("asha", **(arguments | {"slope_factor": 2})), trial, flat(2.3, 1.5, 1.5)) == []
    assert asked(rule("asha", **(arguments | {"slope_factor": 2})), trial, flat(2.5, 1.5, 1.5)) == [4]
    # Over three updates at least: 0.8 - 0.2 by 3, the same; over half of a run it begins with the first value.
    bent = curve(0, 0.0, 0.7, 0.75, 0.8, 0.8)
    assert asked(rule("asha", **arguments, slope_window=0.25), bent, flat(1.1, 1.1, 1.1)) == [4]
    assert asked(rule("asha", **arguments, slope_window=0.5), bent, flat(1.8, 1.8, 1.8)) == []


def test_after_its_first_seed_no_trial_rises_any_more() -> None:
    trial = ObjectiveCurve(0, {6: 0.0, 7: 0.9, 8: 1.0, 16: 1.0})
    assert asked(rule("asha", first_rung=1.0), trial, flat(2.0, 2.0, 2.0)) == [8]
    # Nor does a mean over seeds that falls count as one that rises backwards.
    peers = [ObjectiveCurve(number, {8: 1.2, 16: 1.2, 24: 1.2}) for number in (1, 2, 3)]
    assert asked(rule("asha", first_rung=1.0), ObjectiveCurve(0, {8: 1.3, 16: 0.9, 24: 0.9}), peers) == [16]


def test_the_defaults_spare_a_late_bloomer_and_end_a_dead_trial_at_half_time() -> None:
    peers = flat(1.0, 1.1, 1.2)
    assert asked(rule("asha"), curve(0, *[0.0] * 8), peers) == [4, 6]
    assert asked(rule("asha"), curve(0, 0.0, 0.05, 0.15, 0.4, 0.8, 1.1, 1.3, 1.4), peers) == []


def test_brackets_judge_only_their_own() -> None:
    odd = [number for number in range(12) if zlib.crc32(str(number).encode()) % 2]
    even = [number for number in range(12) if number not in odd]
    hyperband = rule("hyperband", num_brackets=2)
    for own, other, steps in ((even, odd, [2, 4]), (odd, even, [4])):
        trial = curve(own[0], *[0.0] * 8)
        assert asked(hyperband, trial, [curve(number, *[1.0] * 8) for number in own[1:4]]) == steps
        assert asked(hyperband, trial, [curve(number, *[1.0] * 8) for number in other[:4]]) == []
    # Rising is no excuse here.
    rising = curve(even[0], *[0.1 * step for step in range(1, 9)])
    assert asked(hyperband, rising, [curve(number, *[1.0] * 8) for number in even[1:4]]) == [2, 4]


def test_below_the_median_and_below_the_best_quarter() -> None:
    peers = flat(1.0, 2.0, 3.0, 4.0)
    # The median is 2.5, asked from a quarter of a run on.
    assert asked(rule("median"), curve(0, *[2.6] * 8), peers) == []
    assert asked(rule("median"), curve(0, *[2.4] * 8), peers) == [2, 3, 4, 5, 6, 7]
    assert asked(rule("median", warmup=0.75), curve(0, *[2.4] * 8), peers) == [6, 7]
    assert asked(rule("median", min_peers=5), curve(0, *[2.4] * 8), peers) == []
    # The best quarter begins at 3.25, a quarter of the way from 3 to 4; the best three at 1.75.
    assert asked(rule("percentile", warmup=0.8), curve(0, *[3.2] * 8), peers) == [7]
    assert asked(rule("percentile", warmup=0.8), curve(0, *[3.3] * 8), peers) == []
    assert asked(rule("percentile", percentile=75, warmup=0.8), curve(0, *[1.8] * 8), peers) == []
    assert asked(rule("percentile", percentile=75, warmup=0.8), curve(0, *[1.7] * 8), peers) == [7]


def by_seed(number: int, *values: float) -> ObjectiveCurve:
    steps = {NUM_STEPS * (index + 1): sum(values[: index + 1]) / (index + 1) for index in range(len(values))}
    return ObjectiveCurve(number, steps, dict(enumerate(values)))


def test_seed_by_seed_against_the_best() -> None:
    best, worse = by_seed(1, 1.0, 1.2, 0.9, 1.1, 1.0), by_seed(2, *[0.0] * 5)
    wilcoxon = rule("wilcoxon")
    # All of n differences below zero: p = 2 ** -n, which is 0.125 for three seeds and 0.0625 for four.
    assert not wilcoxon.should_prune(by_seed(0, 0.8, 1.1, 0.6), [best, worse], NUM_STEPS)
    assert wilcoxon.should_prune(by_seed(0, 0.8, 1.1, 0.6, 0.7), [best, worse], NUM_STEPS)
    assert not rule("wilcoxon", p_threshold=0.06).should_prune(by_seed(0, 0.8, 1.1, 0.6, 0.7), [best], NUM_STEPS)
    # One of four the other way round, and the smallest: two of 16 orders are as bad, p = 0.125.
    assert not wilcoxon.should_prune(by_seed(0, 0.8, 1.25, 0.6, 0.7), [best], NUM_STEPS)
    # A peer with fewer seeds is no measure, nor are equals.
    assert not wilcoxon.should_prune(by_seed(0, 0.8, 1.1, 0.6, 0.7), [by_seed(1, 2.0, 2.0, 2.0)], NUM_STEPS)
    assert not wilcoxon.should_prune(by_seed(0, 1.0, 1.0, 1.0, 1.0), [by_seed(1, 1.0, 1.0, 1.0, 1.0)], NUM_STEPS)
    # Seven seeds a little worse and one far better: p = 25 / 256, but the mean is better.
    level = by_seed(1, *[0.0] * 8)
    assert not wilcoxon.should_prune(by_seed(0, -0.1, -0.2, -0.3, -0.4, -0.5, -0.6, -0.7, 5.0), [level], NUM_STEPS)
    assert wilcoxon.should_prune(by_seed(0, -0.1, -0.2, -0.3, -0.4, -0.5, -0.6, -0.7, 0.8), [level], NUM_STEPS)
    # Nor is it worse where the means are equal, for all that p is the same.
    assert not wilcoxon.should_prune(by_seed(0, -1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, 28.0), [level], NUM_STEPS)
    # Between two seeds it is not asked.
    between = ObjectiveCurve(0, {33: 0.0}, {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0})
    assert not wilcoxon.should_prune(between, [best], NUM_STEPS)


def test_patience_waits_until_a_trial_stands_still() -> None:
    peers, trial = flat(1.0, 2.0, 3.0, 4.0), curve(0, 0.1, 0.2, 0.3, 0.3, 0.3, 0.4, 0.4, 0.4)
    patient = rule("patient", pruner="median", patience=2)
    # Two updates without anything better than before: after updates 5 and 8, and 8 is the last.
    assert asked(patient, trial, peers) == [5]
    assert asked(rule("patient", pruner="median", patience=1), trial, peers) == [4, 5, 7]
    assert asked(rule("patient", pruner="median", patience=2, min_delta=0.15), trial, peers) == [4, 5, 6, 7]
    assert asked(rule("patient", pruner="median", pruner_args={"warmup": 0.9}, patience=2), trial, peers) == []
    assert asked(rule("patient", pruner="none", patience=2), trial, peers) == []


@pytest.mark.parametrize("name", [*sorted(set(PRUNERS) - {"none"}), "optuna.pruners.MedianPruner"])
def test_what_is_no_number_ends_at_once(name: str) -> None:
    assert rule(name).should_prune(ObjectiveCurve(0, {1: 0.5, 2: math.nan}), [], NUM_STEPS)
    assert not rule("none").should_prune(ObjectiveCurve(0, {1: math.nan}), [], NUM_STEPS)


@pytest.mark.parametrize("name", ["asha", "median"])
def test_peers_that_are_no_number_do_not_count(name: str) -> None:
    lost = [ObjectiveCurve(number, dict.fromkeys(range(1, 9), math.nan)) for number in range(4, 9)]
    assert asked(rule(name, min_peers=3), curve(0, *[0.0] * 8), [*flat(1.0, 1.0, 1.0), *lost]) != []
    assert asked(rule(name, min_peers=4), curve(0, *[0.0] * 8), [*flat(1.0, 1.0, 1.0), *lost]) == []


@pytest.mark.parametrize("name", sorted(PRUNERS))
def test_decisions_are_a_function_of_what_is_given(name: str) -> None:
    peers = [curve(number, *[number / 7 * step for step in range(1, 9)]) for number in range(1, 8)]
    trial = curve(0, 0.1, 0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2)
    used = rule(name)
    first = asked(used, trial, peers)
    assert asked(used, trial, peers[::-1]) == asked(rule(name), trial, peers) == first


@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        ("optuna.pruners.MedianPruner", {"n_startup_trials": 2}),
        ("optuna.pruners.SuccessiveHalvingPruner", {"min_resource": 1, "reduction_factor": 2}),
        ("optuna.pruners.HyperbandPruner", {"max_resource": 8}),
        ("optuna.pruners.ThresholdPruner", {"lower": 0.35}),
    ],
)
def test_optunas_pruners_decide_as_in_a_study(path: str, arguments: Mapping[str, Any]) -> None:
    cls = getattr(optuna.pruners, path.rpartition(".")[2])
    study = optuna.create_study(direction="maximize", study_name="mirror", pruner=cls(**arguments))
    mirrored, curves = make_pruner(path, arguments), []
    ended: list[int | None] = []
    for number, slope in enumerate([0.5, 0.3, 0.4, 0.1, 0.6, 0.2, 0.45, 0.05]):
        trial, values = study.ask(), {}
        for step in range(1, 9):
            trial.report(slope * step, step)
            values[step] = slope * step
            if step < 8 and (expected := trial.should_prune()) is not None:
                assert mirrored.should_prune(ObjectiveCurve(number, dict(values)), curves, NUM_STEPS) == expected
                if expected:
                    break
        study.tell(
            trial, state=optuna.trial.TrialState.PRUNED if step < 8 else None, values=None if step < 8 else slope * 8
        )
        ended.append(step)
        curves.append(ObjectiveCurve(number, values))
    assert min(ended) < 8 == max(ended)


def test_a_failed_number_leaves_a_gap_that_the_mirror_fills() -> None:
    pruner = rule("optuna.pruners.MedianPruner", n_startup_trials=1)
    assert pruner.should_prune(curve(5, 0.1, 0.1), [curve(2, *[1.0] * 8)], NUM_STEPS)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("ahsa", {}, "hydra.sweeper.pruner=ahsa: must be one of none, asha, hyperband, median, percentile, wilcoxon"),
        ("optuna.pruners.Nothing", {}, "has no attribute 'Nothing'"),
        ("optuna.samplers.TPESampler", {}, "a class that extends BasePruner"),
        (
            "asha",
            {"eta": 3},
            "hydra.sweeper.pruner_args.eta=3: there is no such argument .*Asha takes first_rung, rung",
        ),
        ("none", {"eta": 3}, "takes none"),
        ("median", {"percentile": 30}, "there is no such argument .*Median takes min_peers, warmup"),
        ("asha", {"reduction_factor": 1}, "hydra.sweeper.pruner_args.reduction_factor=1: must be > 1"),
        ("asha", {"first_rung": 1.5}, "hydra.sweeper.pruner_args.first_rung=1.5: must be > 0 and <= 1"),
        ("asha", {"min_peers": 2.5}, "hydra.sweeper.pruner_args.min_peers=2.5: must be int"),
        ("asha", {"first_rung": "half"}, "hydra.sweeper.pruner_args.first_rung=half: must be float"),
        ("wilcoxon", {"p_threshold": math.nan}, "p_threshold=nan: must be > 0 and < 1"),
        ("patient", {"pruner": "ahsa"}, "hydra.sweeper.pruner=ahsa: must be one of"),
        ("patient", {"pruner": "median", "pruner_args": {"x": 1}}, "pruner_args.x=1: there is no such argument"),
        ("optuna.pruners.MedianPruner", {"n_startup": 1}, "n_startup=1: .*MedianPruner takes n_startup_trials"),
        ("optuna.pruners.PercentilePruner", {}, "hydra.sweeper.pruner_args={}: .*percentile"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make_pruner(name, arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_a_first_peer_without_a_value_saves_nobody(name: str) -> None:
    """The number of a peer that has no value comes first: a maximum that begins with it would stay no number."""
    peers = [ObjectiveCurve(0, {}), ObjectiveCurve(1, {8: math.nan}), *flat(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)]
    for number in range(30, 34):  # of any bracket
        assert rule(name).should_prune(ObjectiveCurve(number, dict.fromkeys(range(1, 5), 0.0)), peers, NUM_STEPS)


def test_the_best_peer_is_the_one_over_the_seeds_that_the_trial_has_had() -> None:
    """Over its four seeds peer 1 is the best, over all five that they have had peer 2. Worse in all four: p is 1/16."""
    peers = [
        ObjectiveCurve(1, {NUM_STEPS * n: 1.0 for n in range(1, 6)}, {7: 1.0, 8: 1.1, 9: 1.2, 10: 1.3, 11: -100.0}),
        ObjectiveCurve(2, {NUM_STEPS * n: 0.0 for n in range(1, 6)}, {7: 0.0, 8: 0.1, 9: 0.2, 10: 0.3, 11: 100.0}),
    ]
    trial = ObjectiveCurve(3, {NUM_STEPS * 4: 0.5}, {7: 0.5, 8: 0.55, 9: 0.6, 10: 0.65})
    assert rule("wilcoxon").should_prune(trial, peers, NUM_STEPS)
    assert not rule("wilcoxon").should_prune(trial, peers[1:], NUM_STEPS)


def test_the_trial_in_question_is_no_complete_one_for_optuna() -> None:
    """At the end of its first seed; with two complete trials the pruner begins, and there is one."""
    pruner = rule("optuna.pruners.MedianPruner", n_startup_trials=2, n_warmup_steps=0)
    trial = ObjectiveCurve(1, {NUM_STEPS: 1.0})
    peers = [ObjectiveCurve(number, {NUM_STEPS: 2.0}) for number in (0, 2)]
    assert not pruner.should_prune(trial, peers[:1], NUM_STEPS)
    assert pruner.should_prune(trial, peers, NUM_STEPS)
