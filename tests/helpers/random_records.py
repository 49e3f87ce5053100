"""Records of all kinds at random: KLs that rise, blow up or are negative, entropies that fall, noise, ties, winners.

Sweeps with one to five seeds, with test seeds, constraints and failures, to maximize and to minimize.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.records.runs import RunRecord, Source, TrialRecord
from helpers.judged_sweeps import drawn, judged_source
from helpers.records import axes

KINDS = ("runs", "table", "grid", "long grid", "grid with seeds", "grid over seeds", "search", "reward models")


def record(seed: int) -> Source:
    """A record; seeds one after the other go through all kinds."""
    random, kind = np.random.default_rng(seed), KINDS[seed % len(KINDS)]
    if kind in ("runs", "table"):
        runs = [_run(random, str(index), {"seed": index}) for index in range(random.integers(1, 6))]
        if kind == "table":
            runs = [replace(run, config={}, summary={}) for run in runs]
        return Source("made", "folder" if kind == "runs" else "table", runs)
    if kind == "reward models":
        return _reward_models(random)
    return _sweep(random, kind)


def _reward_models(random: np.random.Generator) -> Source:
    names = [f"model_{letter}" for letter in "abcd"[: random.integers(2, 5)]]
    spread = random.choice([0.0, 0.05, 0.15, 0.3])
    chances = {name: float(np.clip(0.6 + spread * random.standard_normal(), 0.05, 0.95)) for name in names}
    wins = drawn(random, chances, int(random.integers(1, 6)), int(random.choice([20, 60, 120])))
    return judged_source(wins)


def _sweep(random: np.random.Generator, kind: str) -> Source:
    num_settings = {"search": 12, "long grid": 14}.get(kind) or int(random.integers(2, 5))
    num_seeds = int(random.integers(2, 6)) if "seeds" in kind else 1
    rates = sorted(10 ** random.uniform(-5, -3, num_settings)) if kind == "search" else [1e-5 * 2**i for i in range(14)]
    is_unequal = random.random() < 0.3  # some seeds are missing
    worths = random.choice([0.0, 0.3, 3.0]) * random.standard_normal(num_settings)
    if kind == "long grid":  # smooth enough for a fit
        worths = worths[0] * np.sin(np.arange(num_settings) / 4)
    trials: list[TrialRecord] = []
    for place in range(num_settings):
        settings = {"ppo.lr": repr(float(rates[place]))}
        own = []
        for seed in range(int(random.integers(1, num_seeds + 1)) if is_unequal else num_seeds):
            number = place * num_seeds + seed if kind == "grid over seeds" else place
            worth = float(worths[place] + 0.3 * random.standard_normal())
            name = f"{number}" if num_seeds == 1 or kind == "grid over seeds" else f"{number}/seed_{seed}"
            own.append(_run(random, name, _config(rates[place], seed), worth, number))
        if kind == "grid over seeds":
            trials += [_trial(run.trial or 0, {**settings, "seed": str(run.seed)}, [run]) for run in own]
        else:
            trials.append(_trial(place, settings, own))
    space = {"ppo.lr": f"choice({','.join(repr(float(rate)) for rate in rates[:num_settings])})"}
    if kind == "search":
        space = {"ppo.lr": "tag(log,interval(1e-05,0.001))"}
    if kind == "grid over seeds":
        space["seed"] = f"choice({','.join(map(str, range(num_seeds)))})"
    directions = ("minimize",) if random.random() < 0.25 else ("maximize",)
    trials = _with_tests(random, _with_failures(random, trials), directions[0])
    runs = [run for trial in trials for run in (*trial.runs, *trial.tests)]
    return Source("made", "sweep", runs, trials, directions=directions, space=axes(space), seconds=60.0)


def _config(rate: float, seed: int) -> dict[str, Any]:
    return {"ppo.lr": float(rate), "seed": seed, "objective.kl_budget": 15.0}


def _trial(number: int, settings: Mapping[str, str], runs: Sequence[RunRecord]) -> TrialRecord:
    mean = [float(np.mean([run.objectives[0] for run in runs if run.objectives]))]
    return TrialRecord(number, "complete", settings, mean, seconds=9.0, runs=runs)


def _with_failures(random: np.random.Generator, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """In some sweeps one trial diverged with its last seed; in some there is a constraint, which some trials break."""
    found = list(trials)
    if random.random() < 0.4:
        failed = int(random.integers(len(found)))
        *others, last = found[failed].runs
        runs = [*others, replace(last, state="diverged", summary={"status": "diverged"})]
        found[failed] = replace(found[failed], state="failed", objectives=None, cause="diverged", runs=runs)
    if random.random() < 0.4:
        found = [replace(trial, violations={"eval/length<=30": float(random.normal(0, 10))}) for trial in found]
    return found


def _with_tests(random: np.random.Generator, trials: Sequence[TrialRecord], direction: str) -> list[TrialRecord]:
    """In half of the sweeps the best trials ran on test seeds, too, by which none, some or all of the order changes."""
    if random.random() < 0.5:
        return list(trials)
    sign, num_tests = (-1 if direction == "maximize" else 1), int(random.integers(1, 5))
    able = [trial for trial in trials if trial.objectives and all(by <= 0 for by in trial.violations.values())]
    able.sort(key=lambda trial: sign * (trial.objectives or [0.0])[0])
    best = {trial.number for trial in able[: random.integers(1, 4)]}
    return [
        replace(trial, tests=_tests(random, trial, num_tests)) if trial.number in best else trial for trial in trials
    ]


def _tests(random: np.random.Generator, trial: TrialRecord, num_tests: int) -> list[RunRecord]:
    """Runs on test seeds, where a setting is worth less than on those that chose it, more, or the same."""
    rate, worth = (
        float(trial.settings["ppo.lr"]),
        (trial.objectives or [0.0])[0] + random.choice([-2.0, -0.5, 0.0, 2.0]),
    )
    found = []
    for seed in range(num_tests):
        name = f"test/{trial.number}_seed_{100 + seed}"
        one = _run(random, name, _config(rate, 100 + seed), worth + 0.3 * random.standard_normal(), trial.number)
        found.append(replace(one, is_test=True))
    return found


def _run(
    random: np.random.Generator, name: str, config: Mapping[str, Any], worth: float = 1.0, trial: int | None = None
) -> RunRecord:
    """A run of 20 to 60 updates, evaluated at every tenth."""
    num = int(random.integers(20, 61))
    updates = np.arange(1.0, num + 1)
    time = np.linspace(0, 1, num)
    kl = _kl(random, time)
    entropy = _entropy(random, time)
    rise = worth * (1 - np.exp(-4 * time)) + random.choice([0.02, 0.3]) * random.standard_normal(num)
    evaluated = (updates % 10 == 0) | (updates == num)
    length = np.full(num, random.choice([12.0, 60.0]))
    metrics = {
        "update": updates,
        "objective/scores": rise,
        "objective/rlhf_reward": rise - 0.02 * kl,
        "objective/kl": kl,
        "eval/score": np.where(evaluated, worth * time, np.nan),
        "eval/kl": np.where(evaluated, kl, np.nan),
        "objective/entropy": entropy * length,
    }
    if random.random() < 0.7:
        metrics["objective/length"] = length
    if random.random() < 0.5:
        metrics["policy/entropy_avg"] = entropy
    budget = {"objective.kl_budget": float(random.choice([5.0, 15.0]))} if random.random() < 0.7 else {}
    summary = {"status": "complete", "objective": worth, "objectives": [worth], "best_update": num, "seconds": 9.0}
    return RunRecord(name, metrics, {**budget, **config}, "complete", summary, trial)


def _kl(random: np.random.Generator, time: NDArray[np.float64]) -> NDArray[np.float64]:
    size = float(np.exp(random.uniform(np.log(0.5), np.log(60))))
    course = {
        "ramp": size * time,
        "level": size * (1 - np.exp(-8 * time)),
        "burst": np.where(time > 0.8, size * np.exp(6 * (time - 0.8)), 0.2),
        "there and back": size * np.sin(np.pi * time),
        "spike": np.where(np.abs(time - 0.5) < 0.02, size, 1.0),
        "negative": np.where(time > random.uniform(0, 0.9), -random.uniform(0.05, 1.0), 0.1),
        "nothing": 0.001 * time,
    }
    shape = course[random.choice(list(course))]
    return shape + random.choice([0.0, 0.02, 0.2]) * random.standard_normal(len(time))


def _entropy(random: np.random.Generator, time: NDArray[np.float64]) -> NDArray[np.float64]:
    left = float(random.choice([0.02, 0.15, 0.22, 0.28, 0.5, 0.9, 1.6, 3.0]))
    start, steep = random.uniform(0.5, 3.0), random.choice([3.0, 40.0])
    course = left + (1 - left) * np.exp(-steep * np.maximum(time - 0.3, 0))
    if random.random() < 0.2:
        course = np.where(time > 0.75, 0.9, course)
    return start * course * np.exp(0.03 * random.standard_normal(len(time)))
