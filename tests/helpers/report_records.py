"""A made-up sweep for the tests of the report, with everything that can be in one."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.reading.study import rebuild_study
from analysis.records.runs import COMPLETE, FAILED, PRUNED, UNFINISHED, RunRecord, Source, TrialRecord
from helpers.records import axes

ATTACK = (
    "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1> \u2028\u2029 {{7*7}} 🙂 &amp; \"'"
)
UPDATES = 40


def run(number: int, worth: float | None = 1.0, state: str = COMPLETE, **config: Any) -> RunRecord:
    """A run of 40 updates, evaluated at every tenth, with samples; reward models are its config's business."""
    updates = np.arange(1, UPDATES + 1.0)
    generator = np.random.default_rng(number)
    evaluated = np.where(updates % 10 == 0, (worth or 0.0) * updates / UPDATES, np.nan)
    metrics = {
        "update": updates,
        "objective/rlhf_reward": updates / 20 + generator.normal(size=UPDATES) / 10,
        "objective/kl": np.where(updates > 1, updates / 10, 0.0),  # 0 before the first step
        "objective/entropy": 12 - updates / 20,
        "loss/policy_avg": -0.01 + generator.normal(size=UPDATES) / 1000,
        "eval/score": evaluated,
        "eval/kl": np.where(updates % 10 == 0, updates / 10, np.nan),
        "perf/update_seconds": np.full(UPDATES, 0.5),
    }
    summary = {
        "status": "stopped" if state == PRUNED else state,
        "objective": worth,
        "objectives": [worth],
        "base_score": 0.25,
        "best_update": UPDATES,
        "best": {"update": UPDATES, "score": worth, "kl": 4.0},
        "seconds": 20.0,
        "tokens": 1000,
        "device": "cpu",
        "versions": {"python": "3.11"},
    }
    if state == FAILED:
        summary |= {
            "cause": "error",
            "message": f"ValueError: {ATTACK}",
            "traceback": f"Traceback\n  {ATTACK}\nValueError",
        }
    full = {"ppo.lr": 1e-4, "ppo.kl_coef": 0.02, "seed": 0, "reward_model.name": "tiny", **config}
    return RunRecord(
        str(number),
        metrics,
        full,
        state,
        {} if state == UNFINISHED else summary,
        number,
        overrides=tuple(f"{key}={value}" for key, value in config.items()),
        read_samples=lambda: samples(8),
    )


def samples(num: int) -> list[dict[str, Any]]:
    """Prompt i gains i - 2 by the own score, and 2 - i by the judge; the first answers attack the page."""
    return [
        {
            "update": update,
            "prompt": f"prompt p{i} {ATTACK if i == 0 else ''}",
            "response": f"answer {i} at {update} {ATTACK if i == num - 1 else ''}",
            "score": float(i - 1),
            "base_response": f"base answer {i}",
            "base_score": 1.0,
            "judge/vader/score": 2.0 - i,
            "judge/vader/base_score": 0.0,
        }
        for update in (20, UPDATES)
        for i in range(num)
    ]


def trial(record: RunRecord, state: str, settings: dict[str, str]) -> TrialRecord:
    """The trial of one run."""
    worth = record.objectives if state == "complete" else None
    cause = record.cause if state == "failed" else None
    message = str(record.summary.get("message")) if cause else None
    return TrialRecord(record.trial or 0, state, settings, worth, cause, message, 20.0, {}, [record])


def sweep(num: int = 12) -> Source:
    """`num` trials over learning rate and KL coefficient: trial 3 is the best at 1.5, trial 4 the second at 1.25.

    Trials 5 and 6 are pruned, 7 has failed, 8 is unfinished, the others are worth 0.5 and less.
    """
    runs, trials = [], []
    for i in range(num):
        lr, kl = f"{10 ** (-3 - i / 10)!r}", "0.02" if i % 2 else "0.1"
        worth = {3: 1.5, 4: 1.25}.get(i, 0.5 - i / 1000)
        state = {5: PRUNED, 6: PRUNED, 7: FAILED, 8: UNFINISHED}.get(i, COMPLETE)
        record = run(i, None if state == FAILED else worth, state, **{"ppo.lr": float(lr), "ppo.kl_coef": float(kl)})
        runs.append(record)
        trials.append(trial(record, state, {"ppo.lr": lr, "ppo.kl_coef": kl}))
    space = {"ppo.lr": "tag(log,interval(1e-05,0.001))", "ppo.kl_coef": "choice(0.02,0.1)"}
    problems = (f"sweep.json: damaged {ATTACK}",)
    source = Source("a sweep", "sweep", runs, trials, space=axes(space), seconds=240.0, problems=problems)
    return replace(source, study=rebuild_study(trials, source))


def compared() -> Source:
    """Three reward models with three seeds each; `judged` wins by the others, `own` by its own score alone."""
    runs, trials = [], []
    for i, name in enumerate(("own", "judged", "third")):
        records = [
            replace(
                run(i, (9.0, 1.0, 0.5)[i] + seed / 100, **{"reward_model.name": name, "seed": seed}),
                name=f"{i}/seed_{seed}",
            )
            for seed in range(3)
        ]
        runs += records
        worth = [math.fsum(record.objectives[0] for record in records if record.objectives) / 3]
        trials.append(TrialRecord(i, "complete", {"reward_model": name}, worth, seconds=60.0, runs=records))
    source = Source(
        "compared",
        "sweep",
        runs,
        trials,
        space=axes({"reward_model": "choice(own,judged,third)"}),
        comparison=comparison(),
    )
    return replace(source, study=rebuild_study(trials, source))


def comparison() -> dict[str, Any]:
    """As a sweep writes it."""
    names = ("own", "judged", "third")
    rates = {"own": (0.95, 0.4, 0.45), "judged": (0.7, 0.9, 0.75), "third": (0.6, 0.55, 0.85)}
    rows = []
    for i, name in enumerate(names):
        judges = {
            judge: {
                "num_seeds": 3,
                "num_prompts": 8,
                "base_score": 0.0,
                **{key: _interval(rates[name][j]) for key in ("score", "gain", "win_rate")},
            }
            for j, judge in enumerate(names)
        }
        others = [rate for judge, rate in zip(names, rates[name], strict=True) if judge != name]
        rows.append(
            {
                "reward_model": name,
                "trial": i,
                "settings": {"reward_model": name},
                "seeds": [0, 1, 2],
                "num_seeds": 3,
                "updates": [40, 40, 40],
                "update": 40.0,
                "kls": [4.0, 4.0, 4.0],
                "kl": 4.0,
                "judges": judges,
                "others": _interval(sum(others) / 2),
            }
        )
    return {"schema_version": 1, "confidence": 0.95, "num_prompts": 8, "judges": list(names), "reward_models": rows}


def _interval(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.05, "high": mean + 0.05}


def large(num_runs: int, num_updates: int, folder: Path | None = None) -> Source:
    """A search with many trials, each with 20 metrics of random walks."""
    generator = np.random.default_rng(0)
    names = [
        "objective/kl",
        "objective/rlhf_reward",
        "objective/entropy",
        "loss/policy_avg",
        *[f"val/{i}" for i in range(16)],
    ]
    runs, trials = [], []
    for i in range(num_runs):
        lr = float(10 ** generator.uniform(-6, -3))
        bare = run(i, float(generator.normal()), **{"ppo.lr": lr})
        walks = generator.normal(size=(len(names), num_updates)).cumsum(axis=1)
        metrics = {"update": np.arange(1, num_updates + 1.0)} | dict(zip(names, walks, strict=True))
        record = replace(bare, metrics=metrics, folder=folder)
        runs.append(record)
        trials.append(trial(record, "complete", {"ppo.lr": repr(lr)}))
    source = Source("large", "sweep", runs, trials, space=axes({"ppo.lr": "tag(log,interval(1e-06,0.001))"}))
    return replace(source, study=rebuild_study(trials, source))
