"""The votes of judges: by hand, for a planted copy of a judge, a copy of the own reward model, and no copy at all."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep.comparison_table import write_table
from rlhf_sweeps.verdicts.judge_votes import JudgeGroup, average_votes, group_judges, list_answers
from rlhf_sweeps.verdicts.matrix import ComparedSetting, compare
from rlhf_sweeps.verdicts.student import Floats


def test_a_group_has_one_vote_and_none_where_the_own_reward_model_is_in_it() -> None:
    """Of two prompts and one seed: b and its copy win the first, c wins none, d is a copy of the own one."""
    wins = {name: np.array([row]) for name, row in {"b": [1.0, 0.0], "copy": [1.0, 0.0], "c": [0.0, 0.0]}.items()}
    wins |= {"a": np.ones((1, 2)), "d": np.ones((1, 2))}
    groups = [JudgeGroup(["a", "d"], 1.0), JudgeGroup(["b", "copy"], 1.0), JudgeGroup(["c"], 1.0)]
    assert average_votes("a", wins, groups).tolist() == [[0.5, 0.0]]
    # Of b the judges are a and d, with one vote, and c.
    assert average_votes("b", wins, groups).tolist() == [[0.5, 0.5]]
    # A judge that is missing has no vote, and its near-copy has that of the group.
    del wins["copy"], wins["c"]
    assert average_votes("a", wins, groups).tolist() == [[1.0, 0.0]]
    del wins["b"]
    assert average_votes("a", wins, groups) is None


def test_the_base_policys_answers_count_once_for_a_seed() -> None:
    def make_scores(policy: float, base: float) -> Mapping[str, Mapping[str, list[float]]]:
        return {"a": {"p": [policy, base], "q": [policy + 1, base + 1]}}

    evaluations = [(0, make_scores(5.0, 1.0)), (7, make_scores(6.0, 2.0)), (0, make_scores(8.0, 1.0))]
    answers = [own["a"].tolist() for own in list_answers(evaluations, ["q", "p"])]
    assert answers == [[6, 5], [7, 6], [9, 8], [2, 1], [3, 2]]


def test_two_judges_are_compared_by_the_answers_that_both_have_scored() -> None:
    random = np.random.default_rng(1)
    first, second, third = random.normal(size=(3, 50))
    other = random.normal(size=50)
    both = [{"a": first, "b": first**3}, {"a": second, "b": second**3}]
    assert group_judges(["a", "b"], both)[0].judges == ["a", "b"]
    # An answer that a alone has scored changes nothing.
    assert group_judges(["a", "b"], [*both, {"a": third}])[0].correlation == pytest.approx(1)
    apart = [{"a": first}, {"b": first}, {"c": other}]
    assert [group.judges for group in group_judges(["a", "b", "c"], apart)] == [["a"], ["b"], ["c"]]


def draw_answers(random: np.random.Generator, num_judges: int) -> list[dict[str, Floats]]:
    """Three policies and the base policy, of which all judges think alike, on 60 prompts; all else is each judge's."""
    levels = random.normal(size=4)
    return [{f"judge{number}": level + random.normal(size=60) for number in range(num_judges)} for level in levels]


def test_independent_judges_are_never_near_copies() -> None:
    """200 comparisons of five judges: their 2000 correlations have a standard error of 1 / sqrt(3 * 60) or less."""
    random = np.random.default_rng(6)
    groups = [group_judges([f"judge{n}" for n in range(5)], draw_answers(random, 5)) for _ in range(200)]
    assert {len(group.judges) for comparison in groups for group in comparison} == {1}


def make_setting(folder: Path, name: str, trial: int, judges: Mapping[str, Floats], own: Floats) -> ComparedSetting:
    """A run whose policy gains so much on each prompt under each judge; the base policy's scores are 0."""
    run = Run(folder / str(trial))
    run.begin({"seed": 4})
    rows = []
    for prompt in range(len(own)):
        row = {"update": 10, "prompt": f"prompt {prompt}", "response": "", "base_response": ""}
        row |= {"score": own[prompt], "base_score": 0.0}
        for judge, gains in judges.items():
            row |= {f"judge/{judge}/score": gains[prompt], f"judge/{judge}/base_score": 0.0}
        rows.append(row)
    run.append_samples(rows)
    run.write_summary({"status": "complete", "best": {"update": 10, "score": 1.0, "kl": 4.0}})
    return ComparedSetting(name, trial, {"reward_model": name}, [run])


def place_wins(*places: range) -> Floats:
    """Gains on 20 prompts: 1 where the policy wins, else -1."""
    return np.array([1.0 if any(prompt in each for each in places) else -1.0 for prompt in range(20)])


def test_a_planted_copy_changes_no_win_rate(tmp_path: Path) -> None:
    """Policy a wins 15 prompts under b and 5 under c, so 1/2 under both; policy b wins 12 under a and 4 under c: 0.4.

    With `twin`, a copy of b that scores ten times as high, a has had (15 + 15 + 5) / 60 and b (12 + 4 + 20) / 60.
    """
    a = {"a": place_wins(range(20)), "b": place_wins(range(15)), "c": place_wins(range(12, 17))}
    b = {"a": place_wins(range(5, 17)), "b": place_wins(range(19)), "c": place_wins(range(4))}
    alone = compare([make_setting(tmp_path, name, n, own, own[name]) for n, (name, own) in enumerate(
        (("a", a), ("b", b)))])  # fmt: skip
    for own in (a, b):
        own["twin"] = 10 * own["b"]
    found = compare([make_setting(tmp_path / "twin", name, n, own, own[name]) for n, (name, own) in enumerate(
        (("a", a), ("b", b)))])  # fmt: skip
    assert alone["near_copies"] == []
    assert [group["judges"] for group in found["near_copies"]] == [["b", "twin"]]
    for comparison in (alone, found):
        assert [entry["others"]["mean"] for entry in comparison["reward_models"]] == pytest.approx([0.5, 0.4])
        assert [entry["reward_model"] for entry in comparison["ranking"]] == ["a", "b"]
    assert "near-copies" not in write_table(alone)
    assert "b and twin are near-copies (rank correlation within prompts 1, from 0.9 on)" in write_table(found)


def test_where_all_judges_are_copies_of_the_own_reward_model_it_is_not_ranked(tmp_path: Path) -> None:
    own = place_wins(range(3, 14))
    found = compare([make_setting(tmp_path, "a", 0, {"a": own, "copy": own}, own)])
    assert found["reward_models"][0]["others"] is None
    assert found["ranking"] == []
    sentence = "a: is not ranked, since all other judges are near-copies of it"
    assert found["left_out"] == [sentence]
    assert f"left out: {sentence}" in write_table(found)
