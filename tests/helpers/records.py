"""Made-up records for tests of the analysis: folders as runs and sweeps leave them, without training anything."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import yaml

from rlhf_sweeps.record import Axis, Run, Sweep, SweepPlan, convert_start, read_plan
from rlhf_sweeps.record.checked_objects import locate_copy

Row = dict[str, Any]


def rows(
    updates: int = 30, *, seed: int = 0, height: float = 2.0, every: int = 5, judges: Sequence[str] = ()
) -> list[Row]:
    """The metrics of a healthy run: scores that rise by `height` and level off, evaluated `every` so many updates."""
    random = np.random.default_rng(seed)
    found = []
    for update in range(1, updates + 1):
        share = 1 - np.exp(-4 * update / updates)
        kl, score = 8 * share, height * share - 0.1
        noise = random.normal(size=12)
        entropy = 25 - 8 * share
        row: Row = {
            "update": update,
            "episode": 32 * update,
            "lr": 5e-4 * (1 - (update - 1) / updates),
            "tokens/sample": 760,
            "tokens/score": 1150,
            "tokens/optimize": 2300,
            "objective/kl": kl + 0.3 * noise[0] if update > 1 else 0.0,  # 0 before the first step
            "objective/kl_coef": 0.02,
            "objective/entropy": entropy + 0.4 * noise[1],
            "objective/scores": score + 0.1 * noise[2],
            "objective/scores_std": 0.8 + 0.05 * noise[3],
            "objective/non_score_reward": -0.02 * kl,
            "objective/rlhf_reward": score + 0.1 * noise[2] - 0.02 * kl,
            "objective/length": 24 + 0.3 * noise[4],
            "objective/eos_rate": 0.98,
            "objective/truncated_rate": 0.02,
            "val/explained_variance": 0.6 * share + 0.05 * noise[5],
            "policy/approxkl_avg": 0.002 + 0.0002 * abs(noise[6]),
            "policy/clipfrac_avg": 0.02 + 0.003 * abs(noise[7]),
            "loss/policy_avg": -0.01 + 0.003 * noise[8],
            "loss/value_avg": 0.1 + 0.01 * abs(noise[9]),
            "val/ratio": 1 + 0.001 * noise[10],
            "val/ratio_max": 1.5 + 0.1 * abs(noise[11]),
            "policy/grad_norm": 1.4,
            "perf/update_seconds": 0.5,
            "perf/peak_memory_mb": 500.0,
        }
        if update % every == 0 or update == updates:
            row |= {"eval/score": score, "eval/base_score": -0.1, "eval/win_rate": 0.5 + 0.4 * share, "eval/kl": kl}
            row |= {"eval/length": 24.0, "eval/eos_rate": 0.98, "eval/exclamation_rate": 0.3, "eval/emoji_rate": 0.2}
            for judge in judges:
                row |= {f"judge/{judge}/score": 0.8 * score, f"judge/{judge}/base_score": -0.08}
                row |= {f"judge/{judge}/win_rate": 0.5 + 0.3 * share}
        found.append(row)
    return found


def lose(file: Path) -> None:
    """Remove an object of a record with its copy."""
    file.unlink()
    locate_copy(file).unlink()


def config(**changed: Any) -> Row:
    """A nested config as run.json has it; keys are given as ppo__lr=1e-4."""
    content: Row = {
        "name": "tiny",
        "seed": 0,
        "reward_model": {"name": "tiny", "normalize": None, "path": "embedded:tiny_reward_model"},
        "ppo": {"lr": 5e-4, "kl_coef": 0.02, "clip_range": 0.2, "batch_size": 32, "total_episodes": 960},
        "objective": {"metrics": ["eval/score"], "directions": ["maximize"], "kl_budget": 15.0, "constraints": []},
        "sweep": {"seeds": 1},
    }
    for key, value in changed.items():
        *groups, last = key.split("__")
        part = content
        for group in groups:
            part = part[group]
        part[last] = value
    return content


def summary(metrics: Sequence[Row], status: str = "complete", **more: Any) -> Row:
    """What such a run writes last."""
    evaluated = [row for row in metrics if "eval/score" in row] or [{}]
    best = max(evaluated, key=lambda row: row.get("eval/score", 0.0))
    objective = best.get("eval/score") if status != "failed" else None
    return {
        "status": status,
        "stop_reason": None,
        "objective": objective,
        "objectives": None if objective is None else [objective],
        "best_update": best.get("update"),
        "base_score": -0.1,
        "best": {"update": best.get("update"), "score": objective, "kl": best.get("eval/kl")},
        "updates": len(metrics),
        "episodes": 32 * len(metrics),
        "tokens": 4210 * len(metrics),
        "seconds": 0.5 * len(metrics),
        "scoring": {"tiny": {"responses": 1680, "cached": 104, "seconds": 0.4, "seconds_per_1000": 0.25}},
        "peak_memory_mb": 500.0,
        "device": "cpu",
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        **more,
    }


def samples(update: int, texts: Sequence[tuple[str, str, str]], judges: Sequence[str] = ()) -> list[Row]:
    """Evaluation samples from (prompt, base response, response)."""
    return [
        {
            "update": update,
            "prompt": prompt,
            "response": response,
            "score": 1.0 + 0.1 * index,
            "base_response": base,
            "base_score": -0.2,
            **{
                f"judge/{judge}/{name}": value
                for judge in judges
                for name, value in (("score", 0.5), ("base_score", 0.1))
            },
        }
        for index, (prompt, base, response) in enumerate(texts)
    ]


def write_run(
    folder: Path,
    metrics: Sequence[Row] | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    end: Mapping[str, Any] | str | None = "complete",
    texts: Sequence[tuple[str, str, str]] = (),
) -> Run:
    """A run's folder.

    Args:
        settings: for `config`.
        end: the summary, a status, or None for a run that did not finish.
    """
    metrics = rows() if metrics is None else metrics
    run = Run(folder)
    run.begin(config(**(settings or {})))
    (folder / ".hydra").mkdir(exist_ok=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(overrides)), encoding="utf-8")
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in metrics)
    if texts:
        run.append_samples(samples(int(metrics[-1]["update"]), texts))
    if end is not None:
        run.write_summary(summary(metrics, end) if isinstance(end, str) else end)
    return run


def axes(space: Mapping[str, str]) -> tuple[Axis, ...]:
    """What is swept, by what it may be in words, as earlier versions wrote it: `choice(1,2) with k=choice(3,4)`."""
    return read_plan(convert_start({"space": dict(space)}, {})).axes


def write_sweep(
    folder: Path,
    points: Sequence[Mapping[str, Any]],
    *,
    updates: int = 30,
    heights: Sequence[float] | None = None,
    space: Mapping[str, str] | None = None,
    study: bool = True,
) -> Sweep:
    """A complete grid: one run for each point (Hydra key -> value), its scores rising by its height.

    Args:
        space: swept key -> text; by default the choice of the values that the points have.
        study: whether there is a study.db.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = list(dict.fromkeys(key for point in points for key in point))
    choices = {key: list(dict.fromkeys(point[key] for point in points)) for key in keys}
    space = space or {key: f"choice({','.join(map(str, values))})" for key, values in choices.items()}
    sweep = Sweep(folder)
    plan = SweepPlan(axes(space), ["eval/score"], ["maximize"], [0])
    config = {"objective.metrics": ["eval/score"], "objective.directions": ["maximize"]}
    sweep.write_start({"id": "abc", "study_name": "made", "seconds": 60.0, "config": config, **plan.as_data()})
    storage = f"sqlite:///{sweep.study}" if study else None
    made = optuna.create_study(study_name="made", storage=storage, direction="maximize")
    for number, point in enumerate(points):
        height = heights[number] if heights is not None else 2.0
        metrics = rows(updates, seed=number, height=height, every=max(1, updates // 6))
        told = [f"{key}={value}" for key, value in point.items()]
        settings = {key.replace(".", "__"): value for key, value in point.items()}
        run = write_run(sweep.trial(number), metrics, settings=settings, overrides=told)
        made.add_trial(
            optuna.trial.create_trial(
                value=(run.summary() or {})["objective"],
                params=dict(point),
                distributions={key: optuna.distributions.CategoricalDistribution(choices[key]) for key in point},
                user_attrs={"settings": {key: str(value) for key, value in point.items()}, "seconds": 0.5 * updates},
                intermediate_values={row["update"]: row["eval/score"] for row in metrics if "eval/score" in row},
            )
        )
    return sweep
