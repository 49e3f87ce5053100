"""Made-up sweeps for tests: settings drawn at random, objectives from a known function, nothing trained."""

from collections.abc import Callable, Sequence

import numpy as np

from analysis.records.runs import RunRecord, Source, TrialRecord
from helpers.records import axes

SPACE = {
    "ppo.lr": "tag(log,interval(1e-05,0.01))",
    "ppo.kl_coef": "tag(log,interval(0.002,0.5))",
    "ppo.clip_range": "choice(0.1,0.2,0.3)",
}
Point = dict[str, float]


def hill(top: float) -> Callable[[Point], float]:
    """An objective that falls with the squared distance, in decades, of the learning rate from 10 to the `top`."""
    return lambda point: -((np.log10(point["ppo.lr"]) - top) ** 2)


def drawn(num: int, seed: int) -> list[Point]:
    """Points of SPACE at random."""
    random = np.random.default_rng(seed)
    return [
        {
            "ppo.lr": 10 ** random.uniform(-5, -2),
            "ppo.kl_coef": 10 ** random.uniform(np.log10(0.002), np.log10(0.5)),
            "ppo.clip_range": [0.1, 0.2, 0.3][random.integers(3)],
        }
        for _ in range(num)
    ]


def search(objective: Callable[[Point], float], num: int, noise: float, seed: int, runs: int = 1) -> Source:
    """A random search over SPACE with some runs (seeds) a setting."""
    random = np.random.default_rng(seed + 1000)
    points = drawn(num, seed)
    values = [objective(point) + noise * random.standard_normal(runs) for point in points]
    return swept(points, values)


def swept(points: Sequence[dict[str, object]], values: Sequence[Sequence[float]], **more: object) -> Source:
    """A sweep of given settings; `values` holds what each run of a setting is worth."""
    trials = [
        trial(number, point, [float(np.mean(one))], runs=[run(number, seed, value) for seed, value in enumerate(one)])
        for number, (point, one) in enumerate(zip(points, values, strict=True))
    ]
    return of(trials, **more)


def of(trials: Sequence[TrialRecord], **more: object) -> Source:
    """A sweep of given trials over SPACE, unless told otherwise."""
    runs = [one for trial in trials for one in (*trial.runs, *trial.tests)]
    space = axes(more.pop("space", SPACE))  # type: ignore[arg-type]
    return Source("made", "sweep", runs, trials, space=space, **more)  # type: ignore[arg-type]


def trial(number: int, point: dict[str, object], objectives: list[float] | None, **more: object) -> TrialRecord:
    """One trial; complete unless told otherwise."""
    settings = {key: str(value) for key, value in point.items()}
    return TrialRecord(number, str(more.pop("state", "complete")), settings, objectives, **more)  # type: ignore[arg-type]


def run(number: int, seed: int, objective: float | None = None, **summary: object) -> RunRecord:
    """A run without metrics that is worth something."""
    name = f"{number}/seed_{seed}"
    return RunRecord(name, {"update": np.empty(0)}, {"seed": seed}, summary={"objective": objective} | summary)
