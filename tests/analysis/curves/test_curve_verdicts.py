"""What curves say of the KL and the entropy of a run, which is what health says of them."""

from dataclasses import replace

import numpy as np

from analysis.curves.phases import find_phases
from analysis.curves.sentences import describe_runs
from analysis.curves.verdicts import describe_entropy, describe_kl
from analysis.health.findings import diagnose_run
from analysis.records.runs import Floats, RunRecord


def record(name: str = "0", config: dict[str, object] | None = None, **metrics: Floats) -> RunRecord:
    columns = {key.replace("__", "/"): np.asarray(values, np.float64) for key, values in metrics.items()}
    length = len(next(iter(columns.values())))
    return RunRecord(name, {"update": np.arange(1.0, length + 1), **columns}, config or {})


def test_kl_verdicts() -> None:
    updates = np.arange(1.0, 31)

    def verdict(values: Floats, budget: float | None = 10.0, **config: float) -> str:
        run = record(config=config or {"objective.kl_budget": budget}, objective__kl=values)
        return describe_kl(updates, values, find_phases(updates, values), [run]).text

    level = np.full(30, 3.0)
    assert verdict(level) == "under control: at most 3, below the budget of 10 nats"
    assert verdict(np.minimum(updates, 19.0)) == "over the budget of 10 nats from update 11 on"
    assert verdict(np.linspace(0, 9, 30)) == "close to the budget of 10 nats and still rising"
    # 60 / 29 nats an update: the eleventh is the first above 20.
    assert verdict(np.linspace(0, 60, 30)) == (
        "blow-up from update 11 on: over 20 nats (2 times objective.kl_budget), up to 60"
    )
    assert verdict(level, seed=0) == (
        "under control: at most 3, below the usual budget of 15 nats a response (if it is summed over the tokens)"
    )
    # A mean over tokens may cost a response more than the budget: 0.6 nats for each of 53 tokens are 31.8.
    assert verdict(np.full(30, 0.6), seed=0).endswith(" nats a response (if it is summed over the tokens)")
    assert verdict(level, None) == "no budget is set; at most 3"
    # exp(3) = 20.1
    assert verdict(np.where(updates > 20, np.exp(updates - 20), 1.0)).startswith("blow-up from update 23 on")
    assert verdict(np.full(30, -0.5)) == (
        "negative, although a KL is never negative: -0.5 at the end, so the estimate is biased, as it is with "
        "truncated sampling"
    )
    bump = np.interp(updates, [1, 15, 30], [1, 15, 1])
    # The last five lie 14 / 15 apart and end at 1: their mean is 1 + 28 / 15, their deviation 14 / 15 x root 2.5.
    assert verdict(bump) == (
        "over the budget of 10 nats from update 11 on, back below it at the end: 2.87 (mean of the last 5 updates, "
        "standard deviation 1.48)"
    )
    assert verdict(np.where(updates == 15, 12.0, 3.0)) == (
        "under control: over the budget of 10 nats only briefly, at most 12"
    )


def trained(kl: Floats) -> Floats:
    """A KL that is 0 before the first step."""
    return np.where(np.arange(len(kl)) > 0, kl, 0.0)


def test_runs_that_the_verdicts_part_are_counted() -> None:
    updates, config = np.arange(1.0, 31), {"objective.kl_budget": 10.0}
    kls = [np.full(30, 3.0), np.full(30, 3.0), np.linspace(0, 60, 30)]
    runs = [record(str(seed), config, objective__kl=kl) for seed, kl in enumerate(kls)]
    mean = np.mean(kls, axis=0)
    told = describe_kl(updates, mean, find_phases(updates, mean), runs)
    assert told.text == "blow-up in 1 of 3 runs (2), under control in 2"
    assert describe_kl(updates, kls[2], (), [replace(runs[2], name="3"), runs[2]]).text == "blow-up in all 2 runs"


def test_evaluations_over_the_budget_are_not_under_control() -> None:
    updates = np.arange(1.0, 31)
    evaluated = np.where(updates % 5 == 0, np.where(updates > 10, 12.0, 8.0), np.nan)
    run = record(config={"objective.kl_budget": 10.0}, objective__kl=trained(np.full(30, 3.0)), eval__kl=evaluated)
    told = describe_kl(updates, np.full(30, 3.0), (), [run]).text
    assert told == "over the budget of 10 nats in every evaluation from update 15 on"
    assert [one.kind for one in diagnose_run(run)] == ["over the KL budget"]


def test_curves_and_health_say_the_same_of_a_kl_and_an_entropy() -> None:
    """What a review found: curves that were calm, over the budget, or under control where health said worse."""
    updates = np.arange(1.0, 41)
    fallen = np.where(updates < 20, 2.0, 0.4)  # to a fifth
    blown = np.where(updates < 16, 5.0, 37.5)  # 2.5 budgets of 15
    below = np.where(updates < 26, 0.05, -0.2)
    run = record(config={"objective.kl_budget": 15.0}, policy__entropy_avg=fallen, objective__entropy=10 * fallen)
    (told,) = describe_runs([run], ["objective/entropy"])
    assert told.text.endswith("collapse from update 20 on: 20 % of its start is left at the end")
    assert [one.kind for one in diagnose_run(run)] == ["entropy collapse"]
    for kl, kind, word in (
        (blown, "KL blow-up", "blow-up from update 16"),
        (below, "negative KL", "negative, although a"),
    ):
        run = record(config={"objective.kl_budget": 15.0}, objective__kl=trained(kl))
        (told,) = describe_runs([run])
        assert f"; {word}" in told.text
        assert not any(word in told.text for word in ("under control", "over the budget"))
        assert [one.kind for one in diagnose_run(run)] == [kind]


def test_entropy_verdicts() -> None:
    updates = np.arange(1.0, 31)

    def verdict(values: Floats, **more: Floats) -> str | None:
        found = describe_entropy(updates, values, [record(objective__entropy=values, **more)])
        return None if found is None else found.text

    # Of sums of unknown length an eighth is the limit: 50 to 1 passes 6.25, the median of the first three is 48.3, the
    # mean of the last five 1 + 2 x 49 / 29.
    assert verdict(np.linspace(50, 1, 30)) == "collapse from update 28 on: 9.06 % of its start is left at the end"
    assert verdict(np.linspace(50, 10, 30)) == "only 20 % of its start is left"
    assert verdict(np.linspace(10, 20, 30)) == "it ends at 2 times its start"
    dip = np.interp(updates, [1, 10, 20, 30], [10, 0.1, 0.1, 9])
    assert verdict(dip) == "collapse at update 10, from which it recovers: 81.1 % of its start at the end"
    assert verdict(np.full(30, 5.0)) is None
    assert verdict(np.linspace(10, 6, 30)) is None
    # Answers come to be a tenth as long, of tokens that are as uncertain as before.
    assert verdict(np.linspace(50, 5, 30), objective__length=np.linspace(10, 1, 30)) == "only 10 % of its start is left"


def test_hardly_anything_left_is_not_nothing() -> None:
    updates, values = np.arange(30.0), np.where(np.arange(30) < 5, 50.0, 0.01)
    found = describe_entropy(updates, values, [RunRecord("0", {"update": updates, "objective/entropy": values})])
    assert found is not None
    assert found.text == "collapse from update 5 on: less than 0.1 % of its start is left at the end"
