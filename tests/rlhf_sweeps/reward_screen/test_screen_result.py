"""The result of a screen and what is said of it, from made-up scores; nothing is sampled."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlhf_sweeps.record import SCREEN
from rlhf_sweeps.reward_screen.files import ANSWERS, TABLE, write_screen
from rlhf_sweeps.reward_screen.result import make_result
from rlhf_sweeps.reward_screen.result_text import write_text
from rlhf_sweeps.verdicts.head_to_head import INDEPENDENT
from rlhf_sweeps.verdicts.student import Floats


def make_scores(seed: int = 3) -> dict[str, Floats]:
    """Two that know the truth, three noisy copies of one that prefers its opposite, and one that scores all alike."""
    random = np.random.default_rng(seed)
    truth = random.normal(size=(40, 9))
    wrong = -truth + 0.8 * random.normal(size=truth.shape)
    scores = {name: truth + 0.6 * random.normal(size=truth.shape) for name in ("honest", "fair")}
    scores |= {f"wrong{number}": wrong + 0.1 * random.normal(size=truth.shape) for number in range(3)}
    return scores | {"flat": np.full(truth.shape, 2.5)}


def compare(scores: dict[str, Floats]) -> tuple[dict[str, Any], str]:
    result = make_result(list(scores), np.array(list(scores.values())))
    return result, write_text(result)


def test_near_copies_have_one_vote_and_a_silent_one_has_none() -> None:
    result, text = compare(make_scores())
    assert result["clusters"] == [["honest"], ["fair"], ["wrong0", "wrong1", "wrong2"]]
    assert (result["n"], result["num_prompts"], result["num_answers"]) == (8, 40, 9)
    (pair,) = [pair for pair in result["pairs"] if {pair["first"], pair["second"]} == {"honest", "fair"}]
    assert pair["judges"] == ["wrong0", "wrong1", "wrong2"]
    assert "wrong0, wrong1 and wrong2 are near-copies" in text
    assert "together they have one vote" in " ".join(text.split())
    assert "flat: cannot teach" in text
    assert {entry["reward_model"] for entry in result["ranking"]} == make_scores().keys() - {"flat"}
    # With one of the three alone, the honest one's choices have the same win rate, except for the copies' noise.
    alone, _ = compare({name: own for name, own in make_scores().items() if name not in ("wrong1", "wrong2")})
    rates = [
        {point["n"]: point["win_rate"] for point in each["curves"] if point["judge"] == INDEPENDENT}
        for each in (result, alone)
    ]
    assert rates[0] == pytest.approx(rates[1], abs=0.02)


def test_what_wins_under_itself_and_loses_under_others_is_named() -> None:
    result, text = compare(make_scores())
    assert [entry["reward_model"] for entry in result["over_optimized"]] == ["wrong0", "wrong1", "wrong2"]
    assert {entry["from_n"] for entry in result["over_optimized"]} <= {2, 4}
    assert "wrong0: its choices lose against the base policy under the independent judges from the best of" in text
    curve = [point["win_rate"] for point in result["curves"] if point["reward_model"] == point["judge"] == "wrong0"]
    assert curve == pytest.approx([n / (n + 1) for n in (1, 2, 4, 8)])


def test_ties_and_the_lead_are_said() -> None:
    scores = make_scores()
    third = np.random.default_rng(0).normal(size=(40, 9))
    _, text = compare({"honest": scores["honest"], "fair": scores["fair"], "odd": third})
    assert "leads (not decided)" in text
    assert "within noise of" in text
    assert "better than every other" not in text
    assert "honest is better than odd by more than noise" in text
    assert "fair is better than honest" not in text
    truth = np.random.default_rng(1).normal(size=(300, 9))
    random = np.random.default_rng(2)
    noisy = {f"noisy{number}": truth + 0.8 * random.normal(size=truth.shape) for number in range(4)}
    result, text = compare({"true": truth, **noisy})
    assert result["winner"] == "true"
    assert "true is better than every other reward model by more than noise" in text


def test_two_reward_models_are_not_ranked() -> None:
    scores = make_scores()
    result, text = compare({name: scores[name] for name in ("honest", "wrong0", "wrong1")})
    assert (result["ranking"], result["pairs"], result["winner"]) == ([], [], None)
    assert "nothing is ranked" in text
    assert "needs at least 3" in " ".join(text.split())
    # Each of the two still judges the other's choices.
    assert {point["reward_model"] for point in result["curves"] if point["judge"] == INDEPENDENT} == {
        "honest",
        "wrong0",
        "wrong1",
    }
    _, text = compare({"flat": scores["flat"], "even": scores["flat"]})
    assert "there are 0 reward models that tell answers apart" in " ".join(text.split())


def test_prompts_on_which_a_reward_model_is_silent() -> None:
    scores = make_scores()
    half = np.where(np.arange(40)[:, None] < 10, 1.0, scores["honest"])
    _, text = compare({"half": half, "fair": scores["fair"]})
    assert "half: teaches nothing on 25 % of the prompts" in text


def test_lines_fit_a_terminal_and_the_file_has_no_nan(tmp_path: Path) -> None:
    many = make_scores() | {f"a rather long name of a reward model, number {n}": own for n, own in enumerate(
        np.random.default_rng(0).normal(size=(5, 40, 9)))}  # fmt: skip
    result, text = compare(many)
    assert max(map(len, text.splitlines())) <= 120
    write_screen(tmp_path, {"config": {}, **result}, [{"prompt_number": 0, "scores": {"fair": 1.0}}])
    read = json.loads((tmp_path / SCREEN).read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert read["agreement"]["flat"]["fair"] is None
    assert read["agreement"]["honest"]["honest"] == pytest.approx(1)
    header, *rows = (tmp_path / TABLE).read_text(encoding="utf-8").splitlines()
    assert header == "reward_model,judge,n,kl,score,win_rate,low,high"
    # 11 choose under 11 judges at n = 1, 2, 4 and 8, and 10 of them, all but the silent one, under independent ones.
    assert len(rows) == 4 * (11 * 11 + 10)
    assert json.loads((tmp_path / ANSWERS).read_text(encoding="utf-8")) == {"prompt_number": 0, "scores": {"fair": 1.0}}
    (point,) = [p for p in result["curves"] if (p["reward_model"], p["judge"], p["n"]) == ("fair", "fair", 4)]
    assert point["kl"] == pytest.approx(math.log(4) - 3 / 4)
