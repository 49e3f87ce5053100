"""Reward models in real runs: a comparison whose matrix is known in advance, over-optimization, failures, resume."""

import json
from pathlib import Path

import pytest
import yaml
from conftest import SMALL, Compose
from helpers.sweeping import sweep

from rlhf_sweeps.process.failures import RewardModelError
from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.training.train import train

QUICK = ("ppo.batch_size=16", "ppo.total_episodes=64", "ppo.lr=2e-3", "eval.every=2", "eval.num_prompts=48")
REAL = ("hydra.sweeper.trial=rlhf_sweeps.trial.run", "objective.kl_budget=null")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """One policy is trained to talk more, one to talk less; both judge each other, and one that sees no difference."""
    folder = tmp_path_factory.mktemp("compared")
    judges = "eval.judges=[{reward_model: callable, function: helpers.scorers.indifferent}]"
    functions = "reward_model.function=helpers.scorers.words,helpers.scorers.fewer_words"
    sweep(folder, *REAL, *QUICK, "reward_model=callable", functions, judges)
    return Sweep(folder)


def test_the_matrix_is_the_one_that_must_be(compared: Sweep) -> None:
    comparison = compared.comparison()
    assert comparison is not None
    rates = {
        entry["reward_model"]: {judge: cell["win_rate"] for judge, cell in entry["judges"].items()}
        for entry in comparison["reward_models"]
    }
    assert set(rates) == {"words", "fewer_words"}
    for row in rates.values():
        assert set(row) == {"words", "fewer_words", "indifferent"}
        # What is more words to one is fewer to the other, and a tie is half a win to both.
        assert row["words"]["mean"] + row["fewer_words"]["mean"] == pytest.approx(1.0)
        assert row["indifferent"]["mean"] == 0.5
    for own, other in (("words", "fewer_words"), ("fewer_words", "words")):
        assert rates[own][own]["low"] > 0.5 > rates[own][other]["high"]
    # One seed does not show it: test_comparison.py has more.
    assert comparison["over_optimized"] == []


def test_the_file_of_results_names_none_the_best_and_has_what_the_comparison_ranks(compared: Sweep) -> None:
    results = yaml.safe_load((compared.folder / "optimization_results.yaml").read_text(encoding="utf-8"))
    assert [results[f"best_{what}"] for what in ("params", "value", "trial")] == [None] * 3
    comparison = compared.comparison()
    assert comparison is not None
    ranked = [(one["reward_model"], one["mean"], one["within_noise_of"]) for one in comparison["ranking"]]
    told = [(one["reward_model"], one["win_rate"]["mean"], one["within_noise_of"]) for one in results["comparison"]]
    assert told == ranked
    assert {one["reward_model"]: one["trial"] for one in results["comparison"]} == {"words": 0, "fewer_words": 1}


def test_a_length_reward_drives_length_up_while_the_judge_falls(compared: Sweep) -> None:
    rows = [row for row in compared.run(0, None).metrics() if "eval/score" in row]
    samples = [row for row in compared.run(0, None).samples() if row["update"] == rows[-1]["update"]]
    lengths, base_lengths = (
        sum(len(row[column].split()) for row in samples) / len(samples) for column in ("response", "base_response")
    )
    assert lengths > base_lengths + 1
    assert rows[-1]["eval/score"] > rows[-1]["eval/base_score"] + 0.3
    assert rows[-1]["judge/fewer_words/score"] == pytest.approx(-10 * lengths)
    assert rows[-1]["judge/fewer_words/base_score"] == pytest.approx(-10 * base_lengths)


def test_runs_are_on_one_scale_which_is_in_the_record(compared: Sweep) -> None:
    scales = [json.loads((compared.trial(number) / "summary.json").read_text())["scale"] for number in (0, 1)]
    assert scales[1]["mean"] == pytest.approx(-10 * scales[0]["mean"], rel=1e-5)
    assert scales[1]["deviation"] == pytest.approx(10 * scales[0]["deviation"], rel=1e-5)
    first = [compared.run(number, None).metrics()[0] for number in (0, 1)]
    assert first[0]["objective/scores_std"] == pytest.approx(first[1]["objective/scores_std"], rel=1e-4)


def test_the_cost_of_scoring_is_in_the_record(compared: Sweep) -> None:
    scoring = json.loads((compared.trial(1) / "summary.json").read_text())["scoring"]
    assert set(scoring) == {"words", "fewer_words", "indifferent"}
    # 64 responses of training, 256 to measure the scale; 48 at each evaluation, of its own reward model and of the same
    # as judge, which knows them then; 72 confirming ones at the end. The base policy's answers to those prompts trial 0
    # has scored.
    assert scoring["fewer_words"]["responses"] == 64 + 256 + 2 * (48 + 48) + 72 + 72
    assert scoring["fewer_words"]["cached"] >= 2 * 48
    assert scoring["words"]["responses"] == 2 * 48 + 72
    assert scoring["words"]["seconds_per_1000"] >= 0


def test_the_answers_of_the_base_policy_are_sampled_once(compared: Sweep) -> None:
    base = sorted(path.name.partition("_")[0] for path in (compared.folder / "base").iterdir())
    assert base.count("responses") == 3  # to measure the scales, to evaluate, to confirm
    assert base.count("prompts") == 1
    assert base.count("scale") == 2


@pytest.mark.slow
def test_a_continued_run_scores_as_an_undisturbed_one(compose_config: Compose, tmp_path: Path) -> None:
    members = "reward_model.members=[tiny,length]"
    config = compose_config(
        *SMALL, "reward_model=ensemble", members, "reward_model.normalize=true", "eval.judges=[tiny]"
    )
    whole, stopped = Run(tmp_path / "whole"), Run(tmp_path / "stopped")
    train(config, whole.folder)
    updates = iter(range(1, 100))
    train(config, stopped.folder, after_update=lambda: stopped.ask_to_stop("budget") if next(updates) == 3 else None)
    assert len(stopped.metrics()) == 3
    train(config, stopped.folder)
    for row, other in zip(whole.metrics(), stopped.metrics(), strict=True):
        assert {key: row[key] for key in row if not key.startswith(("perf/", "eps"))} == {
            key: other[key] for key in other if not key.startswith(("perf/", "eps"))
        }
    assert whole.samples() == stopped.samples()


def test_a_reward_model_that_fails_is_named_in_the_runs_failure(compose_config: Compose, tmp_path: Path) -> None:
    config = compose_config(*SMALL, "reward_model=callable", "reward_model.function=helpers.scorers.fails_on_long_ones")
    with pytest.raises(RewardModelError):
        train(config, tmp_path)
    summary = Run(tmp_path).summary()
    assert summary is not None
    assert (summary["status"], summary["cause"]) == ("failed", "reward_model")
    told = "reward_model.function=helpers.scorers.fails_on_long_ones: raised ValueError: too long for"
    assert told in summary["message"]
    response = summary["message"].rpartition("response '")[2]
    assert len(response.split()) > 12
