"""Where in the search space findings come more often than chance has it."""

from math import comb

import numpy as np
import pytest
from helpers.health_sweeps import run, source, sweep
from scipy import stats

from analysis.health.findings import diagnose_run
from analysis.health.patterns import find_patterns
from analysis.records.runs import Source


def all_patterns(given: Source) -> list[tuple[str, str, float]]:
    found = find_patterns(given, {one.name: diagnose_run(one) for one in given.runs})
    return [(pattern.kind, pattern.text, pattern.p_value) for pattern in found]


def test_p_value_of_a_split_is_fishers() -> None:
    # All sick settings above the sound ones: Fisher's exact table is [[k, 0], [0, n - k]].
    ((kind, _, p_value),) = all_patterns(sweep(12, 5))
    exact = stats.fisher_exact([[5, 0], [0, 7]], alternative="greater").pvalue
    assert kind == "KL blow-up"
    assert p_value == pytest.approx(2 * exact)
    assert exact == pytest.approx(1 / comb(12, 5))


def test_too_few_settings_make_no_pattern() -> None:
    assert all_patterns(sweep(4, 2)) == []
    assert all_patterns(sweep(12, 12)) == []


def test_seeds_of_a_setting_are_one_unit() -> None:
    # 3 settings of 4 seeds: as 12 runs the split would be clear.
    runs = [
        run(f"{i}/{s}", 90.0 if i == 2 else 5.0, ppo__lr=1e-4 * (i + 1), seed=s) for i in range(3) for s in range(4)
    ]
    assert all_patterns(source(runs, ppo__lr="1e-4,2e-4,3e-4")) == []


def test_names_make_a_pattern() -> None:
    models = ["length"] * 4 + ["tiny"] * 8
    runs = [
        run(str(i), 90.0 if name == "length" else 5.0, reward_model__name=name, x=i) for i, name in enumerate(models)
    ]
    ((_, text, p_value),) = all_patterns(source(runs, reward_model="length,tiny", x="range(12)"))
    assert text.startswith("only with reward_model=length: 4 of 4 settings there have it, and none of the 8 others")
    assert p_value == pytest.approx(2 * 2 / comb(12, 4))


def test_chance_makes_a_pattern_in_at_most_one_sweep_of_twenty() -> None:
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(300):
        kls = np.where(rng.random(14) < 0.3, 90.0, 5.0)
        runs = [run(str(i), kl, ppo__lr=rng.random(), ppo__kl_coef=rng.random()) for i, kl in enumerate(kls)]
        false += bool(all_patterns(source(runs, ppo__lr="interval(0,1)", ppo__kl_coef="interval(0,1)")))
    assert false <= 0.05 * 300
