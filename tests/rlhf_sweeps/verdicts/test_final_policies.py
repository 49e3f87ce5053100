"""A run is judged by its best evaluation within the KL budget; one that had none is never praised without saying so."""

from collections.abc import Mapping
from typing import Any

import pytest

from rlhf_sweeps.verdicts.final_policies import find_final_policy, measure_confirmation
from rlhf_sweeps.verdicts.policy_sentences import NO_JUDGE, write_judgement, write_verdict

# Mean 10, deviation 1, 3 prompts: 10 -+ 4.303 / sqrt(3).
GAINS = [9.0, 10.0, 11.0]
PRAISE = "better than the base policy by 10 [7.52, 12.5] (held-out score, 3 prompts, 1 seed)"


def samples(*updates: int) -> list[dict[str, Any]]:
    return [
        {"update": update, "prompt": f"p{n}", "score": gain, "base_score": 0.0}
        for update in updates
        for n, gain in enumerate(GAINS)
    ]


def test_the_best_evaluation_counts_and_else_the_last_one_with_its_kl() -> None:
    best = find_final_policy({"best": {"update": 2, "kl": 3.0}, "last": {"update": 4, "kl": 40.0}}, samples(2, 4))
    last = find_final_policy({"best": None, "last": {"update": 4, "kl": 40.0}}, samples(2, 4))
    assert write_verdict([best], 15.0) == f"the policy of update 2 is {PRAISE}"
    assert write_verdict([best], 15.0, "trial 3") == f"at its best held-out score, trial 3 is {PRAISE}"
    assert write_verdict([last], 15.0) == f"no policy within the KL budget; the last one (KL 40 > 15) is {PRAISE}"
    assert write_verdict([last], None) == f"no policy within the KL budget; the last one is {PRAISE}"
    share = "1 of 2 runs had no policy within the KL budget"
    assert write_verdict([best, last], 15.0, "trial 3") == (
        f"trial 3 is not known to be better than the base policy: {share}"
    )


def test_without_evaluations_or_with_damaged_ones_nothing_is_claimed() -> None:
    assert find_final_policy({}, samples(2)) is None
    damaged = find_final_policy({"best": {"update": 2}}, [{"update": [2], "prompt": "p"}, {"prompt": "q"}, *samples(2)])
    assert damaged is not None
    assert sorted(damaged.differences.values()) == GAINS
    assert find_final_policy({"best": "x", "last": {"update": "y"}}, samples(2)) is None
    assert write_verdict([None], 15.0) == "the policy is not known to be better than the base policy"


def test_the_judges_that_scored_all_runs_are_heard_and_adjusted_for_their_number() -> None:
    rows = [
        {**row, "judge/a/score": gain, "judge/a/base_score": 2 * gain, "judge/b/score": 1.0, "judge/b/base_score": 1.0}
        for row, gain in zip(samples(2), GAINS, strict=True)
    ]
    both = find_final_policy({"best": {"update": 2, "kl": 3.0}}, rows)
    only_b = find_final_policy(
        {"best": {"update": 2}}, [{k: v for k, v in row.items() if "/a/" not in k} for row in rows]
    )
    # Two judges: intervals of 97.5 %, with the quantile 6.205 of 2 degrees of freedom; mean -10, error 1 / sqrt(3).
    unknown = "judged by b, trial 3 is not known to be better than the base policy (difference 0)"
    assert write_judgement([both], "trial 3") == (
        f"judged by a, trial 3 is worse than the base policy by 10 [6.42, 13.6]; {unknown}"
    )
    # Of two settings, one judge: the same quantile.
    only_a = find_final_policy(
        {"best": {"update": 2}}, [{k: v for k, v in row.items() if "/b/" not in k} for row in rows]
    )
    assert write_judgement([only_a], "trials 1 and 3", True, 2) == (
        "judged by a, trials 1 and 3 are worse than the base policy by 10 [6.42, 13.6]"
    )
    assert write_judgement([both, only_b], "trial 3") == unknown
    without = find_final_policy({"best": {"update": 2}}, samples(2))
    assert write_judgement([without]) == write_judgement([both, without]) == NO_JUDGE
    # Nothing is said where the verdict knows nothing of a policy within the budget.
    beyond = find_final_policy({"last": {"update": 2}}, rows)
    unseen = find_final_policy({"best": {"update": 9}}, rows)
    for policies in ([], [None], [both, None], [both, beyond], [beyond], [both, unseen]):
        assert write_judgement(policies) is None


def confirmed(
    update: int, gains: list[float], figures: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A summary with its confirmation, and the rows of confirmation.jsonl."""
    rows = [
        {"update": update, "prompt": f"c{n}", "score": gain, "base_score": 0.0, "judge/a/score": 0.0}
        | {"judge/a/base_score": gain}
        for n, gain in enumerate(gains)
    ]
    told = {"update": update, "num_prompts": len(gains), "eval/score": sum(gains) / len(gains), "eval/kl": 4.0}
    return {"best": {"update": 2, "kl": 3.0}, "confirmed": {**told, **(figures or {})}}, rows


# Mean 5, deviation 1, 4 prompts: 5 -+ 3.182 * sqrt(2 / 3) / 2.
FEWER = [4.0, 5.0, 5.0, 6.0]


def test_prompts_that_chose_nothing_have_the_last_word() -> None:
    summary, rows = confirmed(2, FEWER)
    policy = find_final_policy(summary, samples(2), "own", rows)
    basis = "score 5 and KL 4 on 4 confirming prompts, 1 seed"
    assert write_verdict([policy], 15.0, "trial 3") == (
        f"at its best held-out score, trial 3 is better than the base policy by 5 [3.7, 6.3] ({basis})"
    )
    assert write_judgement([policy], "trial 3") == (
        "judged by a, trial 3 is worse than the base policy by 5 [3.7, 6.3]"
    )
    found = measure_confirmation([policy])
    assert found is not None
    assert {key: found[key] for key in ("score", "kl", "gain", "num_prompts", "num_seeds", "is_within_budget")} == {
        "score": 5.0, "kl": 4.0, "gain": 5.0, "num_prompts": 4, "num_seeds": 1, "is_within_budget": True,
    }  # fmt: skip
    assert write_verdict([policy], 3.5).endswith(f"({basis}); on the confirming prompts KL 4 > 3.5")


def test_a_run_without_them_sends_all_back_to_the_prompts_that_chose() -> None:
    summary, rows = confirmed(2, FEWER)
    both = [find_final_policy(summary, samples(2), "own", rows), find_final_policy(summary, samples(2), "own")]
    assert measure_confirmation(both) is None
    assert "held-out score, 3 prompts, 2 seeds" in write_verdict(both, 15.0, "trial 3")


@pytest.mark.parametrize(
    "change",
    [{"update": 3}, {"num_prompts": 5}, {"update": None}],
    ids=["of another update", "with lost rows", "without an update"],
)
def test_a_damaged_confirmation_counts_as_none(change: dict[str, Any]) -> None:
    summary, rows = confirmed(2, FEWER, change)
    assert measure_confirmation([find_final_policy(summary, samples(2), "own", rows)]) is None
    earlier = [{**row, "update": 1} for row in rows]
    assert measure_confirmation([find_final_policy(confirmed(2, FEWER)[0], samples(2), "own", earlier)]) is None
    assert measure_confirmation([find_final_policy({**summary, "confirmed": "x"}, samples(2), "own", rows)]) is None
