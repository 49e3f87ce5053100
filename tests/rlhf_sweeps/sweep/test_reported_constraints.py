"""The seed left out has no part in objective.constraints, in the sweep and in the analysis; expectations by hand.

The first of two settings breaks the limit of 5 without seeds 0 and 1, by (-1 + 2) / 2, and keeps it without seed 2. The
second keeps it on all seeds. Without seed 2 the first is better, with means of 3.5 and 1. So the second counts on seeds
0 and 1, the first on seed 2: (0 + 2 + 2) / 3.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from helpers.ended_trials import make
from helpers.records import write_run
from helpers.sweep_sources import of, run, trial

from analysis.records.runs import RunRecord, TrialRecord
from analysis.sweep.left_out import measure_view_left_out
from analysis.sweep.settings import make_views
from rlhf_sweeps.config.schema import ObjectiveConfig
from rlhf_sweeps.record import Sweep
from rlhf_sweeps.sweep.left_out import measure_left_out_seeds
from rlhf_sweeps.sweep.study.trials import SweepTrial
from rlhf_sweeps.verdicts.left_out_seeds import LeftOut

LIMIT = "eval/kl<=5"
SCORES = ((6.0, 1.0, 2.0), (0.0, 2.0, 2.0))
KLS = ((4.0, 4.0, 7.0), (1.0, 1.0, 1.0))
EXPECTED = LeftOut(4 / 3, [0, 1, 2], False, None)


def make_plan() -> Any:
    objective = ObjectiveConfig(["eval/score"], ["maximize"], "last", 1, None, [LIMIT], 0.0)
    config = SimpleNamespace(objective=objective)
    return SimpleNamespace(directions=["maximize"], has_own_scales=False, seeds=[0, 1, 2], config=config)


def make_trials() -> list[SweepTrial]:
    """As an earlier start left them: the study knows by how much the mean over the seeds breaks the limit."""
    return [
        make(
            number,
            [sum(scores) / 3],
            by_seed={seed: [score] for seed, score in enumerate(scores)},
            violations={LIMIT: sum(kls) / 3 - 5},
        )
        for number, (scores, kls) in enumerate(zip(SCORES, KLS, strict=True))
    ]


def test_in_the_sweep_that_trained_them(tmp_path: Path) -> None:
    trials = make_trials()
    for each, kls in zip(trials, KLS, strict=True):
        each.broken = {seed: {LIMIT: kl - 5} for seed, kl in enumerate(kls)}
    assert measure_left_out_seeds(Sweep(tmp_path), trials, make_plan()) == {"": EXPECTED}


def test_in_a_sweep_that_continues_the_record_says_what_each_seed_breaks(tmp_path: Path) -> None:
    folder = Sweep(tmp_path)
    assert measure_left_out_seeds(folder, make_trials(), make_plan()) == {}  # the record is gone
    for number, kls in enumerate(KLS):
        for seed, kl in enumerate(kls):
            write_run(folder.run(number, seed).folder, [{"update": 1, "eval/score": 1.0, "eval/kl": kl}])
    assert measure_left_out_seeds(folder, make_trials(), make_plan()) == {"": EXPECTED}


def make_record(number: int, runs: Sequence[RunRecord]) -> TrialRecord:
    each = make_trials()[number]
    return trial(number, {"ppo.lr": f"{number + 1}e-4"}, each.objectives, runs=runs, violations=each.violations)


def make_limited_run(number: int, seed: int) -> RunRecord:
    """A run with one evaluation and a limit on its KL."""
    score, kl = SCORES[number][seed], KLS[number][seed]
    config = {
        "seed": seed,
        "objective.reduction": "last",
        "objective.constraints": [LIMIT],
        "objective.metrics": ["eval/score"],
        "objective.directions": ["maximize"],
    }
    metrics = {"update": [1.0], "eval/score": [score], "eval/kl": [kl], "eval/base_score": [0.0]}
    return replace(
        run(number, seed, score), metrics={name: np.array(values) for name, values in metrics.items()}, config=config
    )


def test_in_the_analysis() -> None:
    records = [make_record(number, [make_limited_run(number, seed) for seed in (0, 1, 2)]) for number in (0, 1)]
    (view,) = make_views(of(records))
    assert measure_view_left_out(view) == EXPECTED
    # Without the metrics of the runs it is unknown what each seed breaks.
    (view,) = make_views(of([make_record(number, [run(number, seed, 1.0) for seed in (0, 1, 2)]) for number in (0, 1)]))
    assert measure_view_left_out(view) is None
