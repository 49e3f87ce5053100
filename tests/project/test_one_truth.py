"""No two sentences on one thing exclude each other, in all that is said of fifty records made at random."""

import pytest
from helpers.claims import Said, contradictions
from helpers.outputs import everything_said, names_of
from helpers.random_records import record

from rlhf_sweeps.verdicts import estimates


@pytest.mark.parametrize("seed", range(50))
def test_nothing_that_is_said_of_a_record_contradicts_itself(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "RESAMPLES", 100)
    source = record(seed)
    found = contradictions(everything_said(source), names_of(source))
    assert [f"{a.subject}: {a.said} / {b.said}" for a, b in found] == []


GROUPS = ("a", "b", "c")
KL = "KL divergence rises throughout, from 0 to 37"
# Two sentences on one thing, and the words by which they exclude each other.
PLANTED = {
    "curves are calm where health sees a collapse": (
        Said("curves", "entropy falls throughout, from 2 to 0.4; only 20 % of its start is left", "3"),
        Said("health", "entropy collapse", "3"),
    ),
    "over the budget, and a blow-up": (
        Said("curves", f"{KL}; over the budget of 15 nats from update 36 on", "3"),
        Said("health", "KL blow-up", "3"),
    ),
    "under control, and negative": (
        Said("curves", f"{KL}; under control: at most 0.05, below the budget of 15 nats", "3"),
        Said("report: Health", "negative KL", "3"),
    ),
    "under control, and no evaluation within the budget": (
        Said("curves", f"{KL}; under control: at most 14, below the budget of 15 nats", "3"),
        Said("health", "never within the KL budget", "3"),
    ),
    "one of several runs": (
        Said("curves", f"{KL}; blow-up in 1 of 3 runs (3), under control in 2"),
        Said("curves", f"{KL}; over the budget of 15 nats from update 36 on", "3"),
    ),
    "within noise at the end, better in the report": (
        Said("last lines", "2.  b    66 [57, 74]  within noise of a", key="reward_model"),
        Said("compare", "a is better than every other group by more than noise", "", GROUPS, "reward_model"),
    ),
    "a sentence and its table": (
        Said("compare", "a has the best value. It is better than c by more than noise", "", GROUPS, "ppo.lr"),
        Said("report: Compare", "row a | c | within noise", key="ppo.lr"),
    ),
    "a trial and its group": (
        Said("report: Overview", "It beats trial 4 by more than noise", "", ("trial 3", "trial 4")),
        Said("compare", "a has the best value. It is within noise of b", "", GROUPS, "ppo.lr"),
    ),
    "better than each other": (
        Said("compare", "a is better than every other group by more than noise", "", GROUPS, "ppo.lr"),
        Said("report: Overview", "It beats trial 3 by more than noise", "", ("trial 4", "trial 3")),
    ),
    "two best ones": (
        Said("report: Overview", "Trial 3 leads (not decided) with ppo.lr=a: its objective is 1.5"),
        Said("last lines", "leading (not decided): trial 4, objective 1.5"),
    ),
    "the best, and the best group": (
        Said("report: Overview", "Trial 3 leads (not decided) with ppo.lr=a: its objective is 1.5"),
        Said("compare", "b has the best value, but the others have one run only", "", GROUPS, "ppo.lr"),
    ),
    "the best, and the first row of a file": (
        Said("last lines", "leading (not decided): trial 3, to report: objective 1.5 on 3 test seeds"),
        Said("comparison.csv", "place 1: b", key="ppo.lr"),
    ),
    "the best on test seeds": (
        Said("report: Overview", "Trial 3 leads (not decided) with ppo.lr=a: its objective is 1.5"),
        Said(
            "sweep",
            "leading objective 1.5 on 3 test seeds (the number to report), chosen by 1.6 (not decided): "
            "trial 4, ppo.lr=b",
        ),
    ),
    "a score that rises and does not": (
        Said("curves", "score rises throughout, from 0 to 1", "3"),
        Said("health", "the policy stays where it began, and the score does not rise", "3"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_contradiction_is_found(name: str) -> None:
    names = {"trial 3": "ppo.lr=a", "trial 4": "ppo.lr=b"}
    assert len(contradictions(PLANTED[name], names)) == 1
    # Of another run, or of groups of another key, nothing is excluded.
    first, second = PLANTED[name]
    others = Said(second.place, second.text, second.about and "7", second.labels, second.key and "seed")
    is_general = not (second.about or second.key or second.labels)
    assert len(contradictions([first, others], {})) == is_general


def test_what_may_stand_beside_each_other_is_no_contradiction() -> None:
    beside = [
        Said("curves", f"{KL}; blow-up from update 36 on: over 30 nats", "3"),
        Said("health", "KL blow-up", "3"),
        Said("health", "never within the KL budget", "3"),
        Said("compare", "a has the best value. It is within noise of b and c", "", GROUPS, "ppo.lr"),
        Said("last lines", "2.  b    66 [57, 74]  within noise of a", key="ppo.lr"),
        Said("report: Overview", "Trial 3 leads (not decided) with ppo.lr=a: its objective is 1.5"),
        Said("sweep", "leading objective 1.5 (not decided): trial 3, ppo.lr=a"),
    ]
    assert contradictions(beside, {"trial 3": "ppo.lr=a"}) == []
