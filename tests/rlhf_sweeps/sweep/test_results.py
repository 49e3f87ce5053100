"""What a sweep has found: the choice against Optuna's own, the lines and the YAML by hand."""

import math
import random
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from helpers.ended_trials import block, make, numbers, written
from scipy.stats import t

from rlhf_sweeps.sweep.last_lines import make_rerun_command, write_answer, write_last_lines
from rlhf_sweeps.sweep.results import choose_finalists, describe_counts, find_best, rank
from rlhf_sweeps.sweep.results_file import make_results
from rlhf_sweeps.sweep.study.trials import FAILED, PRUNED
from rlhf_sweeps.verdicts.final_policies import FinalPolicy
from rlhf_sweeps.verdicts.policy_sentences import NO_JUDGE


def test_the_best_of_one_objective() -> None:
    trials = [make(3, [2.0]), make(1, [1.0]), make(2, [2.0]), make(4, [float("nan")]), make(5)]
    trials += [make(6, state=PRUNED), make(7, [9.0], state=FAILED)]
    assert numbers(rank(trials, ["maximize"])) == [2, 3, 1]
    assert numbers(rank(trials, ["minimize"])) == [1, 2, 3]
    assert numbers(find_best(trials, ["maximize"])) == [2]
    assert numbers(find_best(trials, ["minimize"])) == [1]
    assert find_best(trials[3:], ["maximize"]) == []


@pytest.mark.parametrize("directions", [["maximize", "minimize"], ["minimize", "minimize", "maximize"]])
def test_the_front_is_optunas_with_equals_once(directions: list[str]) -> None:
    choose = random.Random(0)
    for _ in range(20):
        study = optuna.create_study(directions=directions)
        trials = []
        for number in range(15):
            values = [float(choose.randrange(5)) for _ in directions]
            study.add_trial(optuna.trial.create_trial(values=values))
            trials.append(make(number, values))
        first: dict[tuple[float, ...], int] = {}
        for trial in study.best_trials:
            first.setdefault(tuple(trial.values), trial.number)
        assert sorted(numbers(find_best(trials, directions))) == sorted(first.values())


def test_counts() -> None:
    trials = [make(0, [1.0]), make(1, state=PRUNED), make(2, state=FAILED, cause="diverged"), make(3)]
    assert describe_counts(trials) == "1 complete, 1 pruned, 1 failed (diverged), 1 running"
    failed = [make(n, state=FAILED, cause=cause) for n, cause in enumerate(["error", "diverged", "error"])]
    assert describe_counts(failed) == "3 failed (2 error, 1 diverged)"


def test_the_block_of_a_search() -> None:
    trials = [make(number, [value]) for number, value in enumerate([1.0, 5.0, 3.0, 2.0, 4.0])]
    trials[1].by_seed = {0: [4.5], 1: [5.5]}
    trials.append(make(5, state=PRUNED))
    assert block(trials, fixed=["name=a b"]) == [
        "leading (not decided): trial 1, objective 5 (mean of 2 seeds: 4.5 to 5.5)",
        "    ppo.kl_coef=0.01",
        "objective 4  ppo.kl_coef=0.04  outputs/sweep/4",
        "objective 3  ppo.kl_coef=0.02  outputs/sweep/2",
        "objective 2  ppo.kl_coef=0.03  outputs/sweep/3",
        "6 trials: 5 complete, 1 pruned",
        "the best of 6 settings looks better than it is on the seeds by which it was chosen; "
        "sweep.test_seeds=3 measures it on other seeds",
        "run trial 1 again: python -m rlhf_sweeps 'name=a b' ppo.kl_coef=0.01",
        "all in outputs/sweep",
    ]


def test_test_seeds_give_the_number_to_report() -> None:
    # Mean 2; deviations -1, 0, 1: variance 2 / 2 = 1, standard error 1 / sqrt(3) = 0.577.
    trials = [make(0, [1.0]), make(1, [2.5], tested={100: [1.0], 101: [2.0], 102: [3.0]})]
    lines = block(trials)
    assert lines[:4] == [
        "leading (not decided): trial 1, to report: objective 2 +- 0.577 (standard error), on 3 test seeds",
        "    ppo.kl_coef=0.01",
        "    chosen by objective 2.5",
        "objective 1  ppo.kl_coef=0.00  outputs/sweep/0",
    ]
    assert not any("looks better" in line for line in lines)
    trials[1].tested = {100: [1.5]}
    assert block(trials)[0] == "leading (not decided): trial 1, to report: objective 1.5, on 1 test seed"


def test_of_several_tested_settings_the_best_is_that_on_the_test_seeds() -> None:
    """By the seeds that chose, 0 is before 1 and 2; on the test seeds 1 is worth 3, 0 is worth 2; 2 gave no value."""
    trials = [
        make(0, [5.0], tested={7: [1.0], 8: [3.0]}),
        make(1, [4.0], tested={7: [3.0], 8: "diverged"}),
        make(2, [4.5], tested={7: "error", 8: "error"}),
        make(3, [1.0]),
    ]
    assert numbers(rank(trials, ["maximize"])) == [1, 0, 2, 3]
    assert numbers(rank(trials, ["minimize"])) == [0, 1, 3, 2]
    assert numbers(find_best(trials, ["maximize"])) == [1]
    # What is tested is chosen by the seeds that choose, and does not change while tests are run.
    assert numbers(choose_finalists(trials, ["maximize"], 3)) == [0, 2, 1]
    lines = block(trials, is_grid=True)
    assert lines[:5] == [
        "leading (not decided): trial 1, objective 3, on 1 test seed; 1 more failed (8 diverged)",
        "    ppo.kl_coef=0.01",
        "    chosen by objective 4",
        "objective 3 on 1 test seed, chosen by objective 4  ppo.kl_coef=0.01  outputs/sweep/1",
        "objective 2 on 2 test seeds, chosen by objective 5  ppo.kl_coef=0.00  outputs/sweep/0",
    ]
    results = make_results(trials, ["maximize"])
    assert list(results) == ["name", "best_params", "test", "best_value", "best_trial", "best_is_decided", "confirmed"]
    assert (results["best_trial"], results["best_value"], results["test"]["mean"]) == (1, 4.0, 3.0)


def test_every_point_of_a_small_grid() -> None:
    trials = [make(0, [1.0]), make(1, state=FAILED, cause="diverged"), make(2, [2.0]), make(3, state=PRUNED, update=10)]
    points = [
        "objective 2  ppo.kl_coef=0.02  outputs/sweep/2",
        "objective 1  ppo.kl_coef=0.00  outputs/sweep/0",
        "failed (diverged)  ppo.kl_coef=0.01  outputs/sweep/1",
        "pruned at update 10  ppo.kl_coef=0.03  outputs/sweep/3",
    ]
    assert block(trials, is_grid=True)[2:6] == points
    many = [make(number, [1.0]) for number in range(21)]
    assert sum(line.startswith("objective") for line in block(many, is_grid=True)) == 3


def test_one_setting_is_no_choice() -> None:
    trials = [make(number, [float(number)], settings={"x": "1"}) for number in range(3)]
    assert not any("looks better" in line for line in block(trials, is_grid=True))


def test_the_block_without_a_complete_trial() -> None:
    assert block([make(0, state=FAILED, cause="error"), make(1)]) == [
        "no trial is complete, so there is no best setting",
        "2 trials: 1 failed (error), 1 running",
        "all in outputs/sweep",
    ]
    assert block([])[1] == "no trial was run"


def test_the_block_where_every_complete_trial_breaks_a_constraint() -> None:
    trials = [
        make(0, [1.0], violations={"eval/length<=10": 30.0, "eval/kl<=5": -1.0}),
        make(1, [2.0], violations={"eval/length<=10": 2.5, "eval/kl<=5": 0.125}),
        make(2, state=PRUNED),
    ]
    assert block(trials) == [
        "no complete trial keeps objective.constraints, so there is no best setting; the nearest is trial 1, which "
        "breaks eval/length<=10 by 2.5, eval/kl<=5 by 0.125",
        "3 trials: 2 complete, 1 pruned",
        "all in outputs/sweep",
    ]


def test_the_block_of_several_objectives() -> None:
    tested = {7: [1.0, 0.25], 8: [3.0, 0.25]}  # deviations -1, 1: standard error sqrt(2 / 1 / 2) = 1
    trials = [make(0, [1.0, 0.5], tested=tested), make(1, [2.0, 3.0]), make(2, [1.0, 4.0])]
    lines = block(trials, metrics=["eval/score", "eval/kl"], directions=["maximize", "minimize"])
    assert lines[:6] == [
        "on the Pareto front: trial 1, eval/score 2, eval/kl 3",
        "    ppo.kl_coef=0.01",
        "on the Pareto front: trial 0, to report: eval/score 2 +- 1, eval/kl 0.25 (standard error), on 2 test seeds",
        "    ppo.kl_coef=0.00",
        "    chosen by eval/score 1, eval/kl 0.5",
        "3 trials: 3 complete",
    ]


def test_folders_are_shown_from_here() -> None:
    here = Path.cwd() / "outputs" / "sweep"
    assert block([make(0, [1.0])], folder=here)[-1] == "all in outputs/sweep"
    assert block([make(0, [1.0])], folder=Path("/elsewhere"))[-1] == "all in /elsewhere"


def test_the_last_line_compares_the_winner_with_the_base_policy() -> None:
    policies = [FinalPolicy(4, 2.0, True, {"a": 9.0, "b": 10.0, "c": 11.0}, 2.0)]
    subject = "at its best held-out score, trial 0 is"
    last = f"{subject} better than the base policy by 10 [7.52, 12.5] (held-out score, 3 prompts, 1 seed)"
    assert write_answer([make(0, [1.0])], ["maximize"], policies, 15.0) == f"{NO_JUDGE}\n{last}"
    assert (
        write_answer([make(0, [1.0])], ["maximize"], [None], 15.0)
        == f"{subject} not known to be better than the base policy"
    )
    beyond = replace(make(0, [1.0]), beyond={0})
    assert write_answer([beyond], ["maximize"], policies, 15.0) == f"{NO_JUDGE}\n{last}; it went beyond the KL budget"
    never = [replace(policies[0], kl=40.0, kl_bound=41.0, is_within=False)]
    assert write_answer([beyond], ["maximize"], never, 15.0) == (
        "trial 0: no policy within the KL budget; the last one (KL 40 > 15) is better than the base "
        "policy by 10 [7.52, 12.5] (held-out score, 3 prompts, 1 seed)"
    )
    assert "1 trial: 1 complete (1 beyond the KL budget)" in block([beyond])


def test_the_best_of_several_settings_has_an_interval_for_all_of_them() -> None:
    policies = [FinalPolicy(4, 2.0, True, {"a": 9.0, "b": 10.0, "c": 11.0}, 2.0)]
    first = make(0, [1.0], settings={"a": "0"})
    others = [make(number, [0.0], settings={"a": str(number)}) for number in (1, 2, 3)]
    # A pruned trial was a candidate, too; one whose setting has a number already is none.
    pruned = replace(others[0], number=4, state=PRUNED, objectives=None, settings={"a": "4"})
    again = replace(pruned, settings={"a": "1"})
    # Bonferroni: 4 intervals of 1 - 0.05 / 4; mean 10, standard error 1 / sqrt(3), 2 degrees of freedom.
    margin = t.ppf(1 - 0.05 / 8, 2) / math.sqrt(3)
    interval = f"[{10 - margin:.3g}, {10 + margin:.3g}] (held-out score, 3 prompts, 1 seed, best of 4 settings)"
    assert write_answer([first, *others, again], ["maximize"], policies, 15.0).endswith(f"by 10 {interval}")
    assert "best of 5 settings" in write_answer([first, *others, pruned], ["maximize"], policies, 15.0)
    # Two of them ran on a test seed, and the best was chosen there.
    tested = [replace(trial, tested={7: [1.0]}) for trial in (first, others[0])]
    assert "best of 2 settings" in write_answer([*tested, *others[1:]], ["maximize"], policies, 15.0)
    both = [replace(trial, objectives=[1.0, 2.0]) for trial in (*tested, *others[1:])]
    assert "best of 4 settings" in write_answer(both, ["maximize", "minimize"], policies, 15.0)


def test_test_seeds_are_proposed_with_their_command_until_they_have_run() -> None:
    trials = [make(0, [1.0], settings={"a": "1"}), make(1, [2.0], settings={"a": "2"})]
    assert "run the best settings on test seeds: command" in block(trials, test_command="command")
    tested = [trials[0], replace(trials[1], tested={7: [1.5]})]
    assert not any("command" in line for line in block(tested, test_command="command"))


def test_the_command_is_quoted_for_a_shell() -> None:
    trial = make(0, [1.0], settings={"+ppo.stop_strings": "['a b',c]", "reward_model": "tiny"})
    command = """python -m rlhf_sweeps '+ppo.stop_strings=['"'"'a b'"'"',c]' reward_model=tiny"""
    assert make_rerun_command(trial, [], {}) == command


SETTINGS = {"ppo.lr": "1e-05", "ppo.batch_size": "8", "reward_model": "tiny", "ppo.kl_target": "null", "b": "[1,'x y']"}
VALUES = {"ppo.lr": 0.00001, "ppo.batch_size": 8, "reward_model": "tiny", "ppo.kl_target": None, "b": [1, "x y"]}


def test_results_as_hydras_plugin_writes_them() -> None:
    trials = [make(0, [1.5], settings=SETTINGS), make(1, [0.5])]
    expected = {"name": "optuna", "best_params": VALUES, "best_value": 1.5, "best_trial": 0, "best_is_decided": False}
    expected["confirmed"] = None
    assert written(make_results(trials, ["maximize"])) == expected
    policies = [
        FinalPolicy(4, 2.0, True, {}, 2.0, confirmed=FinalPolicy(4, 3.0, True, {"a": 9.0, "b": 11.0}, 3.5, score=8.0))
    ]
    told = written(make_results(trials, ["maximize"], policies=policies))["confirmed"]
    # Mean 10, standard error 1, one degree of freedom, best of two settings.
    margin = t.ppf(1 - 0.05 / 4, 1)
    assert told == pytest.approx(
        {
            "score": 8.0,
            "kl": 3.0,
            "gain": 10.0,
            "low": 10 - margin,
            "high": 10 + margin,
            "num_prompts": 2,
            "num_seeds": 1,
            "is_within_budget": True,
        },
        abs=1e-3,
    )
    trials[0].tested = {102: [3.0], 100: [1.0]}
    assert written(make_results(trials, ["maximize"])) == {
        **expected,
        "test": {"seeds": [100, 102], "mean": 2.0, "standard_error": 1.0},
    }


def test_results_of_several_objectives() -> None:
    trials = [make(0, [1.0, 0.5]), make(1, [2.0, 3.0]), make(2, [1.0, 4.0])]
    trials[1].tested = {100: [5.0, 6.0]}
    assert written(make_results(trials, ["maximize", "minimize"])) == {
        "name": "optuna",
        "solutions": [
            {
                "params": {"ppo.kl_coef": 0.01},
                "values": [2.0, 3.0],
                "trial": 1,
                "test": {"seeds": [100], "mean": [5.0, 6.0], "standard_error": [None, None]},
            },
            {"params": {"ppo.kl_coef": 0.0}, "values": [1.0, 0.5], "trial": 0},
        ],
    }


def test_results_without_a_complete_trial() -> None:
    nothing = {"name": "optuna", "best_params": None, "best_value": None, "best_trial": None}
    assert written(make_results([make(0)], ["maximize"])) == nothing


def test_a_comparison_of_reward_models_has_no_best_objective() -> None:
    trials = [make(0, [1.0], settings={"reward_model": "a"}), make(1, [2.0], settings={"reward_model": "b"})]
    block = write_last_lines(
        trials,
        metrics=["eval/score"],
        directions=["maximize"],
        fixed=[],
        hydra={},
        folder=Path("s"),
        is_grid=True,
        is_comparison=True,
    )
    assert block.splitlines()[0] == "objectives, each under the trial's own reward model:"
    assert "best" not in block
    assert "again" not in block


def test_a_copy_is_not_ranked_beside_the_trial_that_it_is_one_of() -> None:
    trials = [make(0, [1.0]), make(1, [2.0]), make(2, [2.0], has_run=False), make(3, [1.5], is_compared=False)]
    assert numbers(rank(trials, ["maximize"])) == [1, 0]
    assert numbers(rank(trials, ["minimize"])) == [0, 1]


def test_the_nearest_is_the_one_that_breaks_the_constraints_least() -> None:
    trials = [make(0, [1.0], violations={"a<=1": 2.0, "b<=1": -10.0}), make(1, [1.0], violations={"a<=1": 1.0})]
    (line,) = (line for line in block(trials) if "nearest" in line)
    assert line.endswith("nearest is trial 1, which breaks a<=1 by 1")
