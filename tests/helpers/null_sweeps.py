"""Made-up sweeps in which no setting differs, or one does, and what is claimed about them.

Runs on one seed share half of the seeds' variance, unless told otherwise; the variance of a run is 1.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import optuna
from optuna.trial import TrialState, create_trial

from analysis.records.runs import RunRecord, Source
from analysis.records.worth import measure_violations
from analysis.sweep.analysis import ViewAnalysis, analyse_sweep
from analysis.sweep.left_out import measure_view_left_out
from analysis.sweep.settings import make_views
from analysis.views.sweep_sentences import write_view_statements
from helpers.studies import DISTRIBUTIONS
from helpers.sweep_sources import Point, drawn, of, run, swept, trial
from rlhf_sweeps.verdicts.pairs import BETTER
from rlhf_sweeps.verdicts.settings import mean_violations

LRS = ("1e-05", "3e-05", "0.0001", "0.0003")
KL_COEFS = ("0.01", "0.03", "0.1", "0.3")
UPDATES = 30  # of a run, where reports count them
SHARED = 0.5  # of the variance of a run, by its seed
CLAIMS = {
    "matters": r" matters(: |$)",
    "range": r"it is worse|(is|are) worse",
    "edge": r"still rises there",
    "advice": r"is the best choice|comes near the best|where the best may lie",
}


def grid(
    seed: int, shape: tuple[int, int], num_seeds: int, planted: float = 0.0, shared: float = SHARED, noisy: float = 1.0
) -> Source:
    """A grid over one or two axes; one of its settings is better by `planted`, the last is `noisy` times as noisy."""
    random = np.random.default_rng(seed)
    space = {"ppo.lr": LRS[: shape[0]]} | ({"ppo.kl_coef": KL_COEFS[: shape[1]]} if shape[1] > 1 else {})
    points: list[dict[str, object]] = [{}]
    for key, values in space.items():
        points = [{**point, key: value} for point in points for value in values]
    levels = np.zeros(len(points))
    levels[random.integers(len(points))] = planted
    values = _draw_values(random, levels, num_seeds, shared)
    values[-1] = [noisy * value for value in values[-1]]
    return swept(points, values, space={key: f"choice({','.join(each)})" for key, each in space.items()})


def search(seed: int, num: int, num_seeds: int = 1, num_tests: int = 0, shared: float = SHARED) -> Source:
    """A random search over three keys; the best three settings are run on test seeds."""
    random = np.random.default_rng(seed)
    points = drawn(num, seed)
    values = _draw_values(random, np.zeros(num), num_seeds + num_tests, shared)
    means = [float(np.mean(row[:num_seeds])) for row in values]
    finalists = sorted(range(num), key=lambda index: -means[index])[:3]
    return of([
        trial(
            number,
            dict(point),
            [means[number]],
            runs=[run(number, place, worth) for place, worth in enumerate(row[:num_seeds])],
            tests=[
                run(number, num_seeds + place, worth)
                for place, worth in enumerate(row[num_seeds:] if number in finalists else [])
            ],
        )
        for number, (point, row) in enumerate(zip(_as_settings(points), values, strict=True))
    ])  # fmt: skip


def pruned(seed: int, num: int, num_seeds: int = 1, shared: float = SHARED) -> Source:
    """A random search whose worse half is pruned in the middle of the first seed, where luck alone decides.

    A run's value in the middle is that at its end and noise of half a standard deviation.
    """
    random = np.random.default_rng(seed)
    points = drawn(num, seed)
    values = np.array(_draw_values(random, np.zeros(num), num_seeds, shared))
    reports = values[:, 0] + 0.5 * random.standard_normal(num)
    lost = set(np.argsort(reports)[: num // 2].tolist())
    study = optuna.create_study(direction="maximize")
    trials = []
    for number, (point, row) in enumerate(zip(points, values.tolist(), strict=True)):
        is_lost, mean = number in lost, float(np.mean(row))
        ends = (
            {} if is_lost else {UPDATES * (place + 1): float(np.mean(row[: place + 1])) for place in range(num_seeds)}
        )
        study.add_trial(
            create_trial(
                state=TrialState.PRUNED if is_lost else TrialState.COMPLETE,
                value=None if is_lost else mean,
                params=dict(point),
                distributions=DISTRIBUTIONS,
                intermediate_values={UPDATES // 2: float(reports[number])} | ends,
                user_attrs={"num_updates": UPDATES},
            )
        )
        runs = [run(number, place, worth) for place, worth in enumerate(row)]
        more = (
            {"state": "pruned", "runs": [replace(runs[0], state="pruned", summary={})]} if is_lost else {"runs": runs}
        )
        trials.append(trial(number, dict(point), None if is_lost else [mean], **more))
    return of(trials, study=study)


def put_off(seed: int, num: int, num_seeds: int) -> Source:
    """A search whose worse half was put off after the first seed and did not end: luck on this seed alone decides."""
    source = search(seed, num, num_seeds, shared=0.0)
    worths = {each.number: (each.runs[0].objectives or [0.0])[0] for each in source.trials}
    waiting = set(sorted(worths, key=worths.__getitem__)[: num // 2])
    trials = [
        replace(each, state="unfinished", objectives=None, runs=each.runs[:1]) if each.number in waiting else each
        for each in source.trials
    ]
    return replace(source, trials=trials, runs=[run for each in trials for run in each.runs])


def limited(seed: int, num: int, num_seeds: int) -> Source:
    """A search with a limit on a KL that falls with the score, so that what keeps it is lucky: a correlation of -0.7.

    Two of three runs break it.
    """
    random = np.random.default_rng(seed)
    source = search(seed, num, num_seeds, shared=0.0)
    trials = []
    for each in source.trials:
        runs = [_limit(run, random.standard_normal()) for run in each.runs]
        trials.append(replace(each, runs=runs, violations=mean_violations(map(measure_violations, runs))))
    return replace(source, trials=trials, runs=[run for each in trials for run in each.runs])


def _limit(run: RunRecord, noise: float) -> RunRecord:
    """A run with an evaluation whose KL has a standard deviation of 1, and a mean of 0.5 above the limit."""
    (score,) = run.objectives or [0.0]
    kl = 5.5 - 0.7 * score + math.sqrt(1 - 0.7**2) * noise
    metrics = {"update": 1.0, "eval/score": score, "eval/kl": kl, "eval/base_score": 0.0}
    config = {
        **run.config,
        "objective.metrics": ["eval/score"],
        "objective.directions": ["maximize"],
        "objective.reduction": "last",
        "objective.constraints": ["eval/kl<=5"],
    }
    return replace(run, metrics={name: np.array([value]) for name, value in metrics.items()}, config=config)


def reward_models(seed: int, num_models: int, num_settings: int, num_seeds: int) -> Source:
    """Some learning rates under each of several reward models; objectives of different ones have no common scale."""
    random = np.random.default_rng(seed)
    values = _draw_values(random, np.zeros(num_models * num_settings), num_seeds, SHARED)
    trials = []
    for number, row in enumerate(values):
        setting = {"reward_model": f"model{number // num_settings}", "ppo.lr": LRS[number % num_settings]}
        runs = [run(number, place, worth) for place, worth in enumerate(row)]
        trials.append(trial(number, setting, [float(np.mean(row))], runs=runs))
    names = ",".join(f"model{number}" for number in range(num_models))
    return of(trials, space={"reward_model": f"choice({names})", "ppo.lr": f"choice({','.join(LRS[:num_settings])})"})


def _as_settings(points: Sequence[Point]) -> list[dict[str, object]]:
    return [dict(point) for point in points]


def _draw_values(random: np.random.Generator, levels: np.ndarray, num_seeds: int, shared: float) -> list[list[float]]:
    by_seed = math.sqrt(shared) * random.standard_normal(num_seeds)
    own = math.sqrt(1 - shared) * random.standard_normal((len(levels), num_seeds))
    return [[float(value) for value in row] for row in levels[:, None] + by_seed + own]


# What nothing differs in.
NULLS: dict[str, Callable[[int], Source]] = {
    "grid 4 x 4, 1 seed": lambda seed: grid(seed, (4, 4), 1),
    "grid 4 x 4, 3 seeds": lambda seed: grid(seed, (4, 4), 3),
    "grid 4 x 4, 3 seeds that share nothing": lambda seed: grid(seed, (4, 4), 3, shared=0.0),
    "grid 3 x 3, 2 seeds": lambda seed: grid(seed, (3, 3), 2),
    "grid 3 x 3, 3 seeds, one setting 5 times as noisy": lambda seed: grid(seed, (3, 3), 3, noisy=5.0),
    "grid of 4, 3 seeds": lambda seed: grid(seed, (4, 1), 3),
    "grid of 2, 5 seeds": lambda seed: grid(seed, (2, 1), 5),
    "search of 20": lambda seed: search(seed, 20),
    "search of 12, 3 seeds": lambda seed: search(seed, 12, 3),
    "search of 20, 3 test seeds": lambda seed: search(seed, 20, num_tests=3),
    "search of 24, half of it pruned, 1 seed": lambda seed: pruned(seed, 24),
    "search of 24, half of it pruned on the first of 3 seeds": lambda seed: pruned(seed, 24, 3),
    "4 reward models with 4 settings each, 3 seeds": lambda seed: reward_models(seed, 4, 4, 3),
}
# Sweeps in which the figure of the best setting is compared with the truth, 0. Seeds share nothing: then luck is most.
CURSED: dict[str, Callable[[int], Source]] = {
    "16 settings, 1 seed": lambda seed: search(seed, 16, shared=0.0),
    "16 settings, 1 seed, the best 3 on 3 test seeds": lambda seed: search(seed, 16, num_tests=3, shared=0.0),
    "16 settings, 3 seeds": lambda seed: search(seed, 16, 3, shared=0.0),
    "32 settings, half of them pruned on the first of 3 seeds": lambda seed: pruned(seed, 32, 3, shared=0.0),
    "32 settings, half of them put off after the first of 3 seeds": lambda seed: put_off(seed, 32, 3),
    "16 settings, 3 seeds, a limit that goes with the score": lambda seed: limited(seed, 16, 3),
}


def list_claims(source: Source) -> set[str]:
    """The kinds of claims in all that is said about a sweep, in all of its views."""
    return {claim for analysis in analyse_sweep(source).views for claim in _list_claims_of_view(analysis)}


def measure_best(source: Source) -> tuple[float, float]:
    """The figure of the best setting, on test seeds if it was run on some, and the one to report; nan without it."""
    (view,) = make_views(source)
    if view.best is None:  # every setting breaks the limit
        return math.nan, math.nan
    figure = measure_view_left_out(view)
    on_tests = view.best.tested
    return (on_tests or view.best.objectives.tolist())[0], math.nan if figure is None else figure.mean


def _list_claims_of_view(analysis: ViewAnalysis) -> set[str]:
    texts = [statement.text for statement in (*write_view_statements(analysis), *analysis.steps)]
    claims = {name for name, pattern in CLAIMS.items() if any(re.search(pattern, text) for text in texts)}
    return claims | _list_claims_of_lead(analysis)


def _list_claims_of_lead(analysis: ViewAnalysis) -> set[str]:
    lead = analysis.lead
    if lead is None:
        return set()
    if lead.is_clear:
        return {"winner"}
    if lead.pairs is not None:
        return {"behind"} if any(pair.verdict == BETTER for pair in lead.pairs) else set()
    is_some_behind = lead.noise.is_known and len(lead.rivals) < len(lead.ranked) - 1
    return {"behind"} if is_some_behind else set()
