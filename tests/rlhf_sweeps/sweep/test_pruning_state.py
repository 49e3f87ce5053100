"""Which trials the judge prunes: beyond the KL budget, worse in most seeds, or behind those of their group."""

import pytest

from rlhf_sweeps.config.schema import ObjectiveConfig
from rlhf_sweeps.sweep.pruning.pruners import make_pruner
from rlhf_sweeps.sweep.pruning.pruning_state import PruningState, is_over_budget_for_good


def test_patience_beyond_the_kl_budget() -> None:
    """sweep.kl_patience evaluations in a row must be beyond, and the last no nearer than the first of them."""
    config = ObjectiveConfig(["eval/score"], ["maximize"], "best", 3, 10.0, [])

    def is_over(kls: list[float], patience: int | None) -> bool:
        rows = [{"update": n, "eval/score": 0.0, "eval/kl": kl, "objective/kl": 0.0} for n, kl in enumerate(kls)]
        return is_over_budget_for_good(rows, config, patience)

    kl_patience = 3
    assert is_over([5.0, 11.0, 12.0, 13.0], kl_patience)
    assert is_over([11.0, 15.0, 11.0], kl_patience)
    assert not is_over([14.0, 12.0, 13.0], kl_patience)  # on its way back
    assert not is_over([9.0, 12.0, 13.0], kl_patience)
    assert not is_over([10.0, 12.0, 13.0], kl_patience)  # at the budget is within
    assert not is_over([12.0, 13.0], kl_patience)
    assert is_over([9.0, 12.0, 13.0], 2)
    assert not is_over([12.0, 13.0, 14.0], None)


@pytest.mark.parametrize("sign", [1, -1])
def test_seeds_are_compared_in_the_metrics_direction(sign: int) -> None:
    """Worse in five seeds of five: p is 2 ** -5."""
    pruning = PruningState(make_pruner("wilcoxon", {}), sign)
    for number, offset in enumerate((0.0, -1.0, 1.0)):
        pruning.add_trial(number, {10 * step: sign * offset for step in range(1, 6)}, 10)
        pruning.end_seeds(number, {seed: sign * (offset + seed / 100) for seed in range(7, 12)})
    assert pruning.should_prune(1)
    assert not pruning.should_prune(2)


@pytest.mark.parametrize("sign", [1, -1])
def test_what_a_peer_has_reported_since_counts(sign: int) -> None:
    pruning = PruningState(make_pruner("percentile", {"percentile": 50, "min_peers": 1, "warmup": 0}), sign)
    pruning.add_trial(0, {5: sign * 1.0}, 10)
    pruning.add_trial(1, {5: sign * 2.0}, 10)
    assert not pruning.should_prune(1)
    assert pruning.report(0, 10, sign * 3.0)
    assert pruning.report(1, 10, sign * 2.5)
    assert pruning.should_prune(1)
    assert pruning.reports(1) == {5: sign * 2.0, 10: sign * 2.5}
    assert pruning.newest(1) == 2.5
    assert pruning.progress(1) == (1.0, 2.5)
    pruning.measure(0, 20)  # what it reported after 10 updates is at half of its run
    assert not pruning.should_prune(1)


def test_trials_of_another_group_are_no_peers() -> None:
    pruning = PruningState(make_pruner("percentile", {"percentile": 50, "min_peers": 1, "warmup": 0}))
    pruning.add_trial(0, {5: 1.0}, 10, group=1)
    pruning.add_trial(1, {5: 0.5}, 10, group=0)
    assert not pruning.should_prune(1)
    pruning.add_trial(2, {5: 0.75}, 10, group=0)
    assert pruning.should_prune(1)
