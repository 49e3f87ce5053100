"""Four made-up records: a grid, a pruned search, a comparison of reward models, another trainer's table.

No clock and no machine has a part in them: what their random numbers come to is rounded before it is written.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from helpers.records import Row, rows, summary, write_run
from helpers.report_records import comparison
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from rlhf_sweeps.record import Axis, Sweep
from rlhf_sweeps.record.axes import as_data

PROMPTS = 120  # held out, of which win rates are shares
UPDATES = 24
LIMIT, KL_BUDGET = "eval/length<=24.6", 15.0
Point = Mapping[str, float | str]


def grid(folder: Path) -> Path:
    """3 learning rates x 2 KL coefficients x 2 seeds, the best setting on two test seeds, one setting too long.

    Of the highest learning rate the policy leaves the reference, and its entropy falls.
    """
    points = [{"ppo.lr": lr, "ppo.kl_coef": kl} for lr, kl in product((1e-4, 3e-4, 1e-3), (0.02, 0.1))]
    heights = (1.0, 0.8, 1.9, 1.6, 1.75, 0.9)
    axes = [Axis("ppo.lr", ("0.0001", "0.0003", "0.001")), Axis("ppo.kl_coef", ("0.02", "0.1"))]
    sweep = _started(folder, axes, [0, 1], num_trials=6)
    study = _study(sweep)
    settings = {"objective__constraints": [LIMIT], "sweep__seeds": 2}
    for number, (point, height) in enumerate(zip(points, heights, strict=True)):
        told = settings | {key.replace(".", "__"): value for key, value in point.items()}
        worth = []
        for seed in (0, 1):
            metrics = _metrics(
                10 * number + seed, height + 0.1 * seed, sick=number == 4, length=24.2 + 0.5 * (number % 2)
            )
            run = write_run(
                sweep.run(number, seed).folder,
                metrics,
                settings=told | {"seed": seed},
                overrides=_said(point),
                end=_end("complete", metrics),
            )
            worth.append((run.summary() or {})["objective"])
        study.add_trial(_trial(point, _choices(points), float(np.mean(worth)), TrialState.COMPLETE))
    for seed in (7, 8):
        told = settings | {"ppo__lr": 3e-4, "seed": seed}
        write_run(sweep.test_run(2, seed).folder, _metrics(seed, 1.7), settings=told, overrides=_said(points[2]))
    return folder


def search(folder: Path) -> Path:
    """18 trials over three keys, the objective a hill over the learning rate: 4 pruned, 2 failed, 1 still running."""
    axes = [
        Axis("ppo.lr", low=1e-5, high=1e-3, is_log=True),
        Axis("ppo.kl_coef", low=0.005, high=0.2, is_log=True),
        Axis("ppo.clip_range", ("0.1", "0.2", "0.3")),
    ]
    distributions: dict[str, BaseDistribution] = {
        "ppo.lr": FloatDistribution(1e-5, 1e-3, log=True),
        "ppo.kl_coef": FloatDistribution(0.005, 0.2, log=True),
        "ppo.clip_range": CategoricalDistribution((0.1, 0.2, 0.3)),
    }
    random = np.random.default_rng(20)
    sweep = _started(folder, axes, [0], num_trials=18)
    study = _study(sweep)
    ends = {3: "pruned", 5: "pruned", 8: "pruned", 13: "pruned", 6: "out_of_memory", 11: "diverged", 17: None}
    for number in range(18):
        point = {
            "ppo.lr": float(f"{10 ** random.uniform(-5, -3):.4g}"),
            "ppo.kl_coef": float(f"{10 ** random.uniform(-2.3, -0.7):.4g}"),
            "ppo.clip_range": float((0.1, 0.2, 0.3)[random.integers(3)]),
        }
        end = ends.get(number, "complete")
        metrics = _metrics(number, 2.0 - (np.log10(point["ppo.lr"]) + 3.8) ** 2, sick=end == "diverged")
        metrics = metrics if end == "complete" else metrics[: UPDATES // 2]
        told = {key.replace(".", "__"): value for key, value in point.items()}
        run = write_run(sweep.trial(number), metrics, settings=told, overrides=_said(point), end=_end(end, metrics))
        worth = (run.summary() or {}).get("objective")
        state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, None: TrialState.RUNNING}
        study.add_trial(_trial(point, distributions, worth, state.get(end, TrialState.FAIL), metrics, end))
    return folder


def compared(folder: Path) -> Path:
    """Three reward models with three seeds each, each a judge of all, as in `report_records.compared`."""
    names = ("own", "judged", "third")
    points = [{"reward_model": name} for name in names]
    sweep = _started(folder, [Axis("reward_model", names)], [0, 1, 2], num_trials=3)
    study = _study(sweep)
    for number, name in enumerate(names):
        worth = []
        for seed in range(3):
            metrics = _metrics(20 * number + seed, (9.0, 1.4, 0.8)[number])
            generator = np.random.default_rng(100 * number + seed)
            for row in metrics:
                if "eval/score" in row:
                    share = row["update"] / UPDATES
                    for place, judge in enumerate(names):
                        liked = ((0.95, 0.4, 0.45), (0.62, 0.9, 0.75), (0.6, 0.55, 0.85))[number][place]
                        won = 0.5 + (liked - 0.5) * share + 0.02 * generator.normal()
                        row[f"judge/{judge}/win_rate"] = _rate(won)
                        row |= {f"judge/{judge}/score": round(liked * share, 6), f"judge/{judge}/base_score": 0.1}
            told = {"reward_model__name": name, "seed": seed, "sweep__seeds": 3}
            folder_of = sweep.run(number, seed).folder
            run = write_run(folder_of, metrics, settings=told, overrides=[f"reward_model={name}"])
            worth.append((run.summary() or {})["objective"])
        study.add_trial(_trial(points[number], _choices(points), float(np.mean(worth)), TrialState.COMPLETE))
    sweep.write_comparison(comparison())
    return folder


def table(folder: Path) -> Path:
    """A CSV file as people export it: TRL's names, a column for the run, a row for each of 2 x 2 runs' updates."""
    folder.mkdir()
    path = folder / "trl.csv"
    found = []
    for number, (lr, seed) in enumerate(product((1e-5, 3e-5), (0, 1))):
        for row in _metrics(40 + number, 1.0 + 0.5 * (number // 2), sick=number == 3):
            named = {key: value for key, value in row.items() if key.startswith(("objective", "policy", "val", "eval"))}
            counted = {"global_step": row["update"], "episode": row["episode"]}
            found.append({"run_name": f"ppo-{number}", "seed": seed, "learning_rate": lr, **counted, **named})
    with path.open("w", newline="", encoding="utf-8") as file:
        names = list(dict.fromkeys(key for row in found for key in row))
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    return path


@dataclass(frozen=True)
class Made:
    """A record: what writes it into a new folder and returns the place to ask about, and the key to compare runs by."""

    write: Callable[[Path], Path]
    by: str


RECORDS: Mapping[str, Made] = {
    "grid": Made(grid, "ppo.lr"),
    "search": Made(search, "ppo.clip_range"),
    "compared": Made(compared, "reward_model"),
    "table": Made(table, "learning_rate"),
}


def _metrics(seed: int, height: float, *, sick: bool = False, length: float = 24.2) -> list[Row]:
    """A run's rows, evaluated at every fourth update, with noise in what is evaluated, too.

    Args:
        sick: from two thirds of the run on its KL grows beyond all budgets, and its entropy falls to a tenth.
    """
    generator = np.random.default_rng(1000 + seed)
    found = []
    for row in rows(UPDATES, seed=seed, height=height, every=4):
        noise = generator.normal(size=4)
        if sick and row["update"] > 2 * UPDATES // 3:
            row |= {"objective/kl": row["objective/kl"] * 8, "objective/entropy": row["objective/entropy"] / 10}
        if "eval/score" in row:
            row["eval/score"] += 0.1 * noise[0]
            row["eval/win_rate"] = _rate(row["eval/win_rate"] + 0.03 * noise[1])
            row["eval/kl"] = row["objective/kl"] * (1 + 0.05 * noise[2])
            row["eval/length"] = length + 0.2 * noise[3]
        found.append({key: value if isinstance(value, int) else round(float(value), 6) for key, value in row.items()})
    return found


def _rate(share: float) -> float:
    """A share of the held-out prompts."""
    return round(round(min(max(share, 0.0), 1.0) * PROMPTS) / PROMPTS, 6)


def _end(end: str | None, metrics: Sequence[Row]) -> dict[str, Any] | None:
    """The summary of a run that ended so; None for one that goes on."""
    if end is None:
        return None
    kept = summary([row for row in metrics if row.get("eval/kl", 0) <= KL_BUDGET])
    counts = {
        key: value for key, value in summary(metrics).items() if key in ("updates", "episodes", "tokens", "seconds")
    }
    if end == "complete":
        return kept | counts
    if end == "pruned":
        return kept | counts | {"status": "stopped", "stop_reason": "pruned"}
    status = "diverged" if end == "diverged" else "failed"
    return summary(metrics, status, cause=end, message=f"made up: {end}", objective=None, objectives=None)


def _said(point: Point) -> list[str]:
    return [f"{key}={value}" for key, value in point.items()]


def _choices(points: Sequence[Point]) -> dict[str, BaseDistribution]:
    return {key: CategoricalDistribution(list(dict.fromkeys(point[key] for point in points))) for key in points[0]}


def _started(folder: Path, axes: Sequence[Axis], seeds: Sequence[int], num_trials: int) -> Sweep:
    folder.mkdir()
    sweep = Sweep(folder)
    metrics, directions = ["eval/score"], ["maximize"]
    config = {"objective.metrics": metrics, "objective.directions": directions}
    start = {"id": "abc", "study_name": "made", "seconds": 300.0, "config": config, "seeds": list(seeds)}
    plan = {"axes": as_data(axes), "metrics": metrics, "directions": directions, "num_trials": num_trials}
    is_comparison = any(axis.key == "reward_model" for axis in axes)
    sweep.write_start({**start, **plan, "is_comparison": is_comparison})
    return sweep


def _study(sweep: Sweep) -> optuna.Study:
    return optuna.create_study(study_name="made", storage=f"sqlite:///{sweep.study}", direction="maximize")


def _trial(
    point: Point,
    distributions: Mapping[str, BaseDistribution],
    worth: float | None,
    state: TrialState,
    metrics: Sequence[Row] = (),
    end: str | None = None,
) -> FrozenTrial:
    """As a sweep leaves it in its study; `metrics` are what it reported."""
    notes: dict[str, Any] = {"settings": {key: str(value) for key, value in point.items()}, "seconds": 0.5 * UPDATES}
    if state == TrialState.FAIL:
        notes |= {"cause": end, "message": f"made up: {end}"}
    return create_trial(
        state=state,
        value=worth if state in (TrialState.COMPLETE, TrialState.PRUNED) else None,
        params=dict(point),
        distributions=dict(distributions),
        user_attrs=notes,
        intermediate_values={row["update"]: row["eval/score"] for row in metrics if "eval/score" in row},
    )
