"""Reward models compared, from records made by hand with a matrix that is known."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Compose
from helpers.records import lose
from scipy import stats

from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep.comparison_table import write_table
from rlhf_sweeps.verdicts.matrix import ComparedSetting, compare, list_rows
from rlhf_sweeps.verdicts.over_optimized import find_over_optimized

# One for each held-out prompt: score and base score.
Pairs = Sequence[tuple[float, float]]


def wins(num_wins: int, num_prompts: int = 20) -> Pairs:
    """The base scores are 0, 1, 0, 1, ..., the scores 3 higher or lower."""
    return [(i % 2 + (3 if i < num_wins else -3), i % 2) for i in range(num_prompts)]


def make_run(folder: Path, seed: int, own: Pairs, judges: Mapping[str, Pairs], **changes: Any) -> Run:
    """A run whose best evaluation is the one of update 10; that of update 20 must not count."""
    given = {"best": {"update": 10, "score": 1.0, "kl": 4.0}, "prefix": "prompt", **changes}
    run = Run(folder)
    run.begin({"seed": seed})
    names = [""] + [f"judge/{name}/" for name in judges]
    for update, sign in ((10, 1), (20, -1)):
        samples = []
        for i, pairs in enumerate(zip(own, *judges.values(), strict=True)):
            sample = {"update": update, "prompt": f"{given['prefix']} {i // 2}", "response": "", "base_response": ""}
            for name, (score, base_score) in zip(names, pairs, strict=True):
                sample |= {f"{name}score": sign * score, f"{name}base_score": sign * base_score}
            samples.append(sample)
        run.append_samples(samples)
    run.write_summary({"status": "complete", "best": given["best"]})
    return run


def compared(name: str, trial: int, *runs: Run) -> ComparedSetting:
    return ComparedSetting(name, trial, {"reward_model": name}, runs)


def with_wins(folder: Path, name: str, trial: int, num_wins: Mapping[str, int], num_seeds: int = 1) -> ComparedSetting:
    """Runs that win so many of 20 prompts under each judge, their own among them, in every seed."""
    pairs = {judge: wins(number) for judge, number in num_wins.items()}
    runs = [make_run(folder / f"{trial}_{seed}", seed, pairs[name], pairs) for seed in range(num_seeds)]
    return compared(name, trial, *runs)


def test_one_cell_by_hand(tmp_path: Path) -> None:
    own = [(1.0, 0.0), (5.0, 2.0), (3.0, 4.0), (6.0, 6.0)]  # won, won, lost, tied
    judge = [(0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0)]
    found = compare([compared("tiny", 7, make_run(tmp_path, 3, own, {"vader": judge}))])
    assert (found["judges"], found["num_prompts"], found["left_out"]) == (["tiny", "vader"], 4, [])
    (entry,) = found["reward_models"]
    assert (entry["trial"], entry["seeds"], entry["updates"], entry["kls"]) == (7, [3], [10], [4.0])
    cell = entry["judges"]["tiny"]
    assert cell["base_score"] == 3.0
    assert cell["score"]["mean"] == 3.75
    assert cell["win_rate"]["mean"] == 0.625
    # Base scores 0, 2, 4, 6 deviate by sqrt(20 / 3), and differences 1, 3, -1, 0 are 0.75 on average.
    deviation = (20 / 3) ** 0.5
    interval = stats.ttest_1samp(np.array([1.0, 3.0, -1.0, 0.0]) / deviation, 0).confidence_interval()
    assert cell["gain"] == pytest.approx({"mean": 0.75 / deviation, "low": interval.low, "high": interval.high})
    # Base scores that do not vary give no scale.
    assert entry["judges"]["vader"]["gain"] is None
    assert entry["others"] == entry["judges"]["vader"]["win_rate"]


def test_rows_are_flat(tmp_path: Path) -> None:
    comparison = compare([with_wins(tmp_path, "tiny", 0, {"tiny": 18, "length": 5}, num_seeds=3)])
    first, second = list_rows(comparison)
    assert (first["reward_model"], first["judge"], second["judge"]) == ("tiny", "tiny", "length")
    expected = {"trial": 0, "num_seeds": 3, "num_prompts": 20, "update": 10, "kl": 4.0, "base_score": 0.5}
    assert expected.items() <= first.items()
    assert first["win_rate"] == pytest.approx(0.9)
    assert second["score"] == pytest.approx(0.5 + (3 * 5 - 3 * 15) / 20)
    for measure in ("score", "gain", "win_rate"):
        assert first[f"{measure}_low"] < first[measure] < first[f"{measure}_high"]
    assert len(first) == 17
    assert json.loads(json.dumps(comparison, allow_nan=False)) == comparison


def test_prompts_are_matched_by_text_and_seeds_pooled(tmp_path: Path) -> None:
    first = make_run(tmp_path / "0", 0, [(1, 0), (1, 0), (1, 0), (0, 1)], {})
    second = Run(tmp_path / "1")
    second.begin({"seed": 1})
    samples = first.samples()
    second.append_samples([*samples[2:4], *samples[:2], *samples[6:], *samples[4:6]])
    second.write_summary({"status": "complete", "best": {"update": 10, "score": 0.5, "kl": 2.0}})
    (entry,) = compare([compared("tiny", 0, first, second)])["reward_models"]
    assert (entry["seeds"], entry["kl"]) == ([0, 1], 3.0)
    rate = entry["judges"]["tiny"]["win_rate"]
    # Both seeds win the same three of four: mean square 2 (3 * 0.25^2 + 0.75^2) / 3 = 0.5, size 0.1875 / (0.5 / 8) = 3.
    excess = stats.t.ppf(0.975, 3) ** 2 / 3
    centre, margin = 0.75 + excess / 2, (excess * (0.1875 + excess / 4)) ** 0.5
    low, high = (centre - margin) / (1 + excess), (centre + margin) / (1 + excess)
    assert rate == pytest.approx({"mean": 0.75, "low": low, "high": high})


def test_seeds_that_differ_are_pooled_by_hand(tmp_path: Path) -> None:
    first = make_run(tmp_path / "0", 0, [(3, 0), (3, 1), (3, 2), (0, 1)], {})
    # Of update 20 the signs are turned round: -1 against 0 three times, 0 against -5.
    later = {"update": 20, "score": 1.0, "kl": 2.0}
    second = make_run(tmp_path / "1", 1, [(1, 0), (1, 0), (1, 0), (0, 5)], {}, best=later)
    found = compare([compared("tiny", 0, first, second)])
    (entry,) = found["reward_models"]
    assert (entry["updates"], entry["update"], entry["kls"], entry["kl"]) == ([10, 20], 15.0, [4.0, 2.0], 3.0)
    cell = entry["judges"]["tiny"]
    assert (cell["num_seeds"], cell["num_prompts"]) == (2, 4)
    assert cell["win_rate"]["mean"] == pytest.approx((3 + 1) / 8)
    assert cell["score"]["mean"] == pytest.approx((9 - 3) / 8)
    assert cell["base_score"] == pytest.approx((4 - 5) / 8)
    # Gains 3, 2, 1, -1, -1, -1, -1, 5; base scores with a sum of squares of 31 about 0 and a mean of -1/8.
    assert cell["gain"]["mean"] == pytest.approx(7 / 8 / ((31 - 8 / 64) / 7) ** 0.5)
    assert write_table(found).splitlines()[2].split()[-3:] == ["3", "10-20", "2"]


def broken(folder: Path, what: str) -> Run:
    """A run of seed 1 of which something is missing or other than expected."""
    if what == "nothing":
        return Run(folder)
    best = None if what == "best" else {"update": 15 if what == "samples" else 10, "score": 1.0, "kl": 4.0}
    seed = 0 if what == "seed" else 1
    run = make_run(folder, seed, wins(9), {"vader": wins(9)}, best=best, prefix=what if what == "text" else "prompt")
    if what == "summary":
        lose(run.summary_file)
    if what == "json":
        (folder / "samples.jsonl").write_text("{\n")
    if what == "fewer":
        (folder / "samples.jsonl").write_text("\n".join((folder / "samples.jsonl").read_text().split("\n")[1:]))
        run.write_summary(run.summary() or {})  # which has the digests of what is there
    return run


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("nothing", "tiny, trial 0: no run has begun"),
        ("summary", "tiny, trial 0, seed 1: it did not finish"),
        ("best", "tiny, trial 0, seed 1: no evaluation within the KL budget (complete)"),
        ("samples", "tiny, trial 0, seed 1: no samples of update 15"),
        ("seed", "tiny, trial 0, seed 0: the same seed again"),
        ("json", "tiny, trial 0, seed 1: samples.jsonl: damaged, its digest differs"),
        ("text", "tiny, trial 0, seed 1: evaluated on other prompts than most runs"),
        ("fewer", "tiny, trial 0, seed 1: evaluated on other prompts than most runs"),
    ],
)
def test_a_run_that_cannot_be_compared_is_left_out(what: str, reason: str, tmp_path: Path) -> None:
    good = with_wins(tmp_path, "tiny", 0, {"tiny": 15, "vader": 12}).runs
    other = with_wins(tmp_path, "vader", 1, {"tiny": 15, "vader": 12})
    found = compare([compared("tiny", 0, *good, broken(tmp_path / "broken", what)), other])
    assert len(found["left_out"]) == 1
    assert found["left_out"][0].startswith(reason)
    assert [entry["seeds"] for entry in found["reward_models"]] == [[0], [0]]
    assert f"left out: {found['left_out'][0]}"[:60] in write_table(found)
    # Alone it leaves nothing, and that is said.
    if what not in ("seed", "text", "fewer"):
        alone = compare([compared("tiny", 0, Run(tmp_path / "broken"))])
        assert (alone["reward_models"], list_rows(alone)) == ([], [])
        assert write_table(alone).startswith("nothing to compare")


def test_a_judge_that_is_missing_somewhere(tmp_path: Path) -> None:
    both = make_run(tmp_path / "0", 0, wins(15), {"vader": wins(5), "length": wins(10)})
    gap = [*wins(19)[:-1], (float("nan"), 0.0)]
    one = make_run(tmp_path / "1", 1, wins(15), {"vader": wins(5), "length": gap})
    none = make_run(tmp_path / "2", 0, wins(20), {})
    found = compare([compared("tiny", 0, both, one), compared("vader", 1, none)])
    assert found["judges"] == ["tiny", "vader", "length"]
    assert found["left_out"] == [
        "tiny, trial 0, seed 1: not scored by length",
        "vader, trial 1, seed 0: not scored by tiny, length",
    ]
    tiny, vader = found["reward_models"]
    assert {name: cell["num_seeds"] for name, cell in tiny["judges"].items()} == {"tiny": 2, "vader": 2, "length": 1}
    # Only judges of all seeds count among the others.
    assert tiny["others"]["mean"] == pytest.approx(0.25)
    assert (list(vader["judges"]), vader["others"]) == (["vader"], None)
    assert [ranked["reward_model"] for ranked in found["ranking"]] == ["tiny"]
    assert write_table(found).splitlines()[3].split()[:3] == ["vader", "-", "100"]


def test_a_length_reward_is_over_optimized(tmp_path: Path) -> None:
    found = compare(
        [
            with_wins(tmp_path, "length", 2, {"length": 20, "tiny": 2, "vader": 11}, num_seeds=3),
            with_wins(tmp_path, "tiny", 0, {"length": 9, "tiny": 19, "vader": 14}, num_seeds=3),
            with_wins(tmp_path, "vader", 1, {"length": 12, "tiny": 12, "vader": 18}, num_seeds=3),
        ]
    )
    assert found["over_optimized"] == [{"reward_model": "length", "win_rate": 1.0, "judges": {"tiny": 0.1}}]
    # (12 + 12) / 40, (9 + 14) / 40, (2 + 11) / 40.
    means = {ranked["reward_model"]: ranked["mean"] for ranked in found["ranking"]}
    assert list(means.items()) == [("vader", 0.6), ("tiny", 0.575), ("length", 0.325)]
    assert found["ranking"][0]["within_noise_of"] is None
    assert found["ranking"][1]["within_noise_of"] == "vader"
    lines = write_table(found).splitlines()
    assert lines[1].split() == ["trained", "on", "length", "tiny", "vader", "KL", "update", "seeds"]
    # Wilson's intervals for 20 of 20, at 20; KL 4 and update 10 in all three runs.
    assert lines[2].split()[:4] == ["length", "100", "[83.9,", "100]*"]
    assert lines[2].split()[-3:] == ["4", "10", "3"]
    assert lines[-1] == (
        "length: wins 100 % under its own judge and 10 % under tiny: "
        "over-optimized, or the judges reward different things"
    )


def test_no_loss_is_over_optimization_within_noise(tmp_path: Path) -> None:
    # 6 of 20 lose (Wilson: 15 to 52 %); 14 of 20 own wins are uncertain, too (48 to 85 %).
    for own, other in ((20, 6), (14, 1)):
        setting = with_wins(tmp_path / str(own), "length", 0, {"length": own, "tiny": other})
        assert compare([setting])["over_optimized"] == []


def test_one_seed_shows_no_over_optimization(tmp_path: Path) -> None:
    rates = {"length": 20, "tiny": 1}
    alone = with_wins(tmp_path / "1", "length", 0, rates)
    assert compare([alone])["over_optimized"] == []
    twice = with_wins(tmp_path / "2", "length", 0, rates, num_seeds=2)
    (found,) = compare([twice])["over_optimized"]
    assert found["judges"] == {"tiny": 0.05}


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_where_all_tie_over_optimization_is_seldom_said(num_seeds: int) -> None:
    """Four reward models, 60 prompts: each seed moves a policy, by chance up or down under each other judge.

    The own judge, which chose the evaluation, is always won. At most 5 % of 200 families; it was 2.5 % with 3 seeds.
    """
    random, names = np.random.default_rng(num_seeds), ["a", "b", "c", "d"]
    said = 0
    for _ in range(200):
        outcomes = []
        for name in names:
            scores = {}
            for judge in names:
                level = random.normal(1.5 if judge == name else 0.0, 0.3, size=(num_seeds, 1))
                scores[judge] = np.stack([level + random.normal(size=(num_seeds, 60)), np.zeros((num_seeds, 60))], -1)
            outcomes.append((name, scores))
        said += bool(list(find_over_optimized(outcomes)))
    assert said <= 10


def test_ranks_are_within_noise_of_the_first_that_they_cannot_be_told_from(tmp_path: Path) -> None:
    names = ["bad", "fair", "good", "best"]
    settings = [
        with_wins(tmp_path, name, i, {name: 20, "judge": number})
        for i, (name, number) in enumerate(zip(names, (3, 17, 18, 19), strict=True))
    ]
    ranking = [(ranked["reward_model"], ranked["within_noise_of"]) for ranked in compare(settings)["ranking"]]
    assert ranking == [("best", None), ("good", "best"), ("fair", "best"), ("bad", None)]


def test_one_seed_is_warned_of(tmp_path: Path) -> None:
    one = with_wins(tmp_path, "tiny", 0, {"tiny": 15, "vader": 12})
    three = with_wins(tmp_path, "vader", 1, {"tiny": 15, "vader": 12}, num_seeds=3)
    assert "warning: one seed each, so" in write_table(compare([one]))
    assert "warning: one seed of tiny, so" in write_table(compare([one, three]))
    assert "warning" not in write_table(compare([three]))


@pytest.mark.parametrize("num_models", range(2, 9))
@pytest.mark.parametrize("suffix", ["", "-a-reward-model-with-a-name-that-is-rather-long"])
def test_tables_fit_a_terminal(num_models: int, suffix: str, tmp_path: Path) -> None:
    names = [f"model{i}{suffix}" for i in range(num_models)]
    settings = [
        with_wins(tmp_path, name, i, {n: (20 if n == name else 1) for n in names}) for i, name in enumerate(names)
    ]
    text = write_table(compare(settings))
    assert max(map(len, text.splitlines())) <= 120
    matrix, ranking = text.split("by mean win rate under the other judges:")
    # Every pair once, the own ones marked: 20 of 20 and 1 of 20.
    assert matrix.count(" 100 [83.9, 100]*") == num_models
    assert matrix.count(" 5 [0.888, 23.6]") == num_models * (num_models - 1)
    assert ranking.count(" [") == num_models


def test_the_experiment_composes_over_a_reward_model(compose_config: Compose) -> None:
    config = compose_config("reward_model=vader", "experiment=compare_reward_models")
    assert (config.reward_model.name, config.reward_model.normalize) == ("vader", True)
    assert (config.sweep.seeds, config.eval.judge_each_other, config.name) == (3, True, "compare_reward_models")
