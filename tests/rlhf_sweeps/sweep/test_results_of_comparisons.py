"""What a sweep over reward models has found: no best of scores that have no common scale."""

from helpers.ended_trials import block, make, numbers, written

from rlhf_sweeps.sweep.results import choose_finalists
from rlhf_sweeps.sweep.results_file import make_results
from rlhf_sweeps.sweep.study.trials import SweepTrial


def of_two_reward_models() -> list[SweepTrial]:
    """The scores under b are a hundred times those under a."""
    worths = [("a", 1.0), ("b", 300.0), ("a", 2.0), ("b", 400.0), ("b", 500.0), ("a", 3.0)]
    trials = [
        make(number, [worth], settings={"reward_model": name, "ppo.lr": f"{number}e-5"}, reward_model=name)
        for number, (name, worth) in enumerate(worths)
    ]
    trials[5].violations = {"eval/kl<=3": 0.5}
    return trials


def test_of_each_reward_model_the_best_setting_is_tested() -> None:
    trials = of_two_reward_models()
    assert numbers(choose_finalists(trials, ["maximize"], 2, is_comparison=True)) == [2, 4]
    assert numbers(choose_finalists(trials, ["minimize"], 2, is_comparison=True)) == [0, 1]
    assert numbers(choose_finalists(trials, ["maximize"], 2)) == [4, 3]
    trials[3].tested = {7: [9.0]}  # as an earlier start has chosen; what is tested goes by the seeds that choose
    assert numbers(choose_finalists(trials, ["maximize"], 2, is_comparison=True)) == [2, 4]


def test_the_last_lines_of_a_comparison_are_in_no_order_of_scores() -> None:
    lines = block(of_two_reward_models(), is_comparison=True, is_grid=True)
    assert [line.split()[1] for line in lines[1:7]] == ["1", "300", "2", "400", "500", "3"]
    # Of a search, which has no small table of all its points, the best of each.
    lines = block(of_two_reward_models(), is_comparison=True)
    assert [line.split("  ")[0] for line in lines[1:-2]] == ["objective 2", "objective 500"]


def test_where_reward_models_are_compared_the_file_has_the_best_setting_of_each() -> None:
    trials = of_two_reward_models()
    trials[2].tested = {7: [1.0], 8: [3.0]}
    ranking = [
        {"reward_model": "a", "mean": 0.75, "low": 0.7, "high": 0.8, "within_noise_of": None},
        {"reward_model": "b", "mean": 0.5, "low": 0.4, "high": 0.6, "within_noise_of": "a"},
    ]
    entries = [{"reward_model": "c", "trial": 0}, {"reward_model": "b", "trial": 4}, {"reward_model": "a", "trial": 2}]
    comparison = {"ranking": ranking, "reward_models": entries}
    told = written(make_results(trials, ["maximize"], comparison, is_comparison=True))
    assert {key: value for key, value in told.items() if key != "comparison"} == {
        "name": "optuna", "best_params": None, "best_value": None, "best_trial": None,
    }  # fmt: skip
    assert told["comparison"][0] == {
        "reward_model": "a",
        "params": {"reward_model": "a", "ppo.lr": 2e-5},
        "test": {"seeds": [7, 8], "mean": 2.0, "standard_error": 1.0},
        "win_rate": {"mean": 0.75, "low": 0.7, "high": 0.8},
        "within_noise_of": None,
        "value": 2.0,
        "trial": 2,
    }
    # c, which no other judges, is the last.
    assert [(one["reward_model"], one["within_noise_of"]) for one in told["comparison"]] == [
        ("a", None), ("b", "a"), ("c", None),
    ]  # fmt: skip
    assert told["comparison"][2]["win_rate"] is None
    # By a judge of all, one setting is the best: here the only one that was tested.
    told = make_results(trials, ["maximize"], comparison)
    assert (told["best_trial"], len(told["comparison"])) == (2, 3)
    front = make_results(
        [make(0, [1.0, 2.0])],
        ["maximize"] * 2,
        comparison={**comparison, "reward_models": [], "ranking": []},
        is_comparison=True,
    )
    assert front == {"name": "optuna", "solutions": [], "comparison": []}
