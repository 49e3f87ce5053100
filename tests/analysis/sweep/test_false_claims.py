"""What is claimed about sweeps in which nothing differs; tests/benchmarks/verdicts.py measures it over many more."""

import numpy as np
import pytest
from helpers.null_sweeps import NULLS, grid, list_claims

from analysis.sweep import importance
from analysis.sweep.analysis import analyse_sweep
from rlhf_sweeps.verdicts import estimates


@pytest.fixture(autouse=True)
def only_p_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of importance and resampled intervals take most of the time, and no claim depends on them."""
    monkeypatch.setattr(importance, "_resample_shares", lambda *given: {})
    monkeypatch.setattr(estimates, "RESAMPLES", 100)


@pytest.mark.parametrize("kind", NULLS)
def test_false_claims_are_rare_in_the_whole_text_of_a_sweep(kind: str) -> None:
    """At most 5 % of sweeps; of 20 sweeps 5 or more would come up in 3 of 1,000 such tests."""
    claims = [list_claims(NULLS[kind](seed)) for seed in range(20)]
    assert sum(map(bool, claims)) < 5, claims


def test_the_text_speaks_where_there_is_something_to_say() -> None:
    sources = [grid(seed, (4, 4), 3, planted=4.0) for seed in range(8)]
    assert sum("winner" in list_claims(source) for source in sources) >= 6
    for source in sources:
        (analysis,) = analyse_sweep(source).views
        best = max(analysis.view.settings, key=lambda setting: float(np.mean(setting.by_run)))
        assert analysis.view.best is best
