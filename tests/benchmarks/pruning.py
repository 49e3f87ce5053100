"""What pruning saves and what it costs: recorded complete runs replayed as asynchronous sweeps, under each rule.

    python tests/benchmarks/pruning.py FOLDER --workers 4 --orders 20

FOLDER holds <group>/<name>/metrics.jsonl of complete runs; a group is one sweep, its names are the settings, and its
result is the mean over random orders. Every update costs one unit on one worker. --synthetic takes made-up sweeps whose
best settings bloom late instead. The last lines keep the settings in the order of their names' numbers, as a grid does.
"""

import argparse
import heapq
import json
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from rlhf_sweeps.sweep.pruning.pruners import ObjectiveCurve, make_pruner

KL_BUDGET = 5.0
RULES: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("none", {}),
    ("asha", {}),
    ("hyperband", {}),
    ("median", {}),
    ("percentile", {}),
    ("patient", {}),
    ("patient", {"pruner": "median", "patience": 5}),
    ("optuna.pruners.SuccessiveHalvingPruner", {}),
    ("optuna.pruners.MedianPruner", {}),
)
Sweep = dict[str, dict[int, float]]


@dataclass(frozen=True)
class Replay:
    """One sweep as it went: updates spent, setting -> when it ran to its end."""

    spent: int
    finished: Mapping[str, int]


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="<group>/<name>/metrics.jsonl")
    parser.add_argument("--groups", nargs="*", help="only these; any late<number> with --synthetic")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--orders", type=int, default=20, help="random orders for each group")
    parser.add_argument("--synthetic", action="store_true", help="late bloomers instead of the folder's runs")
    parser.add_argument("--rule", nargs=2, action="append", metavar=("NAME", "JSON"), help="instead of the usual ones")
    return parser.parse_args()


def read_curve(file: Path) -> dict[int, float]:
    """Update -> best score within the KL budget so far, or the base policy's, at every evaluation."""
    curve, best = {}, -math.inf
    for row in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
        if "eval/score" in row:
            if row["eval/kl"] <= KL_BUDGET:
                best = max(best, row["eval/score"])
            curve[row["update"]] = best if math.isfinite(best) else row["eval/base_score"]
    return curve


def read_sweeps(folder: Path, groups: Sequence[str] | None) -> dict[str, Sweep]:
    """Group -> its settings' curves; runs without a summary are not over and left out."""
    sweeps: dict[str, Sweep] = {}
    for file in sorted(folder.glob("*/*/metrics.jsonl")):
        group, name = file.parts[-3:-1]
        if (groups is None or group in groups) and file.with_name("summary.json").exists():
            sweeps.setdefault(group, {})[name] = read_curve(file)
    return sweeps


def bloom_late(seed: int) -> Sweep:
    """16 settings over 30 updates: 12 saturate early and low, 3 rise steadily, 1 lies low for a third and ends best."""
    rng = random.Random(seed)
    sweep: Sweep = {}
    for index in range(16):
        final, speed = rng.uniform(0.4, 1.2), rng.uniform(3, 8)
        if index < 12:
            shape = {step: final * (1 - math.exp(-step / speed)) for step in range(5, 31, 5)}
        elif index < 15:
            shape = {step: 1.3 * final * step / 30 for step in range(5, 31, 5)}
        else:
            middle = rng.uniform(14, 20)
            shape = {step: 1.5 / (1 + math.exp((middle - step) / 2.5)) for step in range(5, 31, 5)}
        best, noisy = -math.inf, {}
        for step, value in shape.items():
            best = noisy[step] = max(best, value + rng.gauss(0, 0.03))
        sweep[f"{index}_{index >= 12:d}"] = noisy
    return sweep


def replay(sweep: Sweep, order: Sequence[str], workers: int, name: str, arguments: Mapping[str, Any]) -> Replay:
    """The sweep as it would have gone with a rule."""
    pruner, waiting = make_pruner(name, arguments), list(enumerate(order))[::-1]
    seen: dict[int, dict[int, float]] = {}
    finished: dict[str, int] = {}
    spent = 0
    # When a worker has its next value, which trial that is of, and what the trial has spent so far.
    events: list[tuple[int, int, int]] = []

    def start(now: int) -> None:
        if waiting:
            number, _ = waiting.pop()
            heapq.heappush(events, (now + min(sweep[order[number]]), number, 0))

    for _ in range(workers):
        start(0)
    while events:
        now, number, before = heapq.heappop(events)
        curve = sweep[order[number]]
        step, end = min(known for known in curve if known > before), max(curve)
        spent += step - before
        seen.setdefault(number, {})[step] = curve[step]
        peers = [ObjectiveCurve(other, values) for other, values in seen.items() if other != number]
        if step == end:
            finished[order[number]] = now
            start(now)
        elif pruner.should_prune(ObjectiveCurve(number, seen[number]), peers, end):
            start(now)
        else:
            heapq.heappush(events, (now + min(known for known in curve if known > step) - step, number, step))
    return Replay(spent, finished)


def measure(sweeps: Mapping[str, Sweep], arguments: argparse.Namespace) -> None:
    """The table, a line for each rule."""
    print(f"{'rule':42} {'spent':>6} {'best ran':>9} {'2 % ran':>8} {'regret':>7} {'first in 2 %':>12}")
    rules = [(name, json.loads(text)) for name, text in arguments.rule] if arguments.rule else RULES
    for name, own in rules:
        rows = []
        for group, sweep in sweeps.items():
            rng = random.Random(group)
            for _ in range(arguments.orders):
                order = rng.sample(sorted(sweep), len(sweep))
                rows.append(judge(sweep, replay(sweep, order, arguments.workers, name, own)))
        label = name.removeprefix("optuna.pruners.") + (f" {json.dumps(own)}" if own else "")
        spent, best, near, regret, first = (statistics.mean(column) for column in zip(*rows, strict=True))
        print(f"{label:42} {spent:6.1%} {best:9.1%} {near:8.1%} {regret:7.4f} {first:12.1%}")


def judge(sweep: Sweep, result: Replay) -> tuple[float, float, float, float, float]:
    """Share spent; whether the best setting, and one within 2 %, ran to its end; regret; time to the first of these.

    The time is a share of what all runs take one after the other; a replay that never got there counts as all of it.
    """
    final = {name: curve[max(curve)] for name, curve in sweep.items()}
    total, best = sum(max(curve) for curve in sweep.values()), max(final.values())
    near = [time for name, time in result.finished.items() if final[name] >= best - 0.02 * abs(best)]
    regret = best - max(final[name] for name in result.finished)
    ran = any(final[name] == best for name in result.finished)
    return result.spent / total, ran, bool(near), regret, min(near, default=total) / total


def measure_grid(sweeps: Mapping[str, Sweep]) -> None:
    """Time to the first finished setting within 2 % of the best, in grid order."""
    for workers, name in ((1, "none"), (2, "none"), (2, "asha")):
        times = []
        for sweep in sweeps.values():
            order = sorted(sweep, key=lambda setting: [float(part) for part in setting.split("_")])
            total = sum(max(curve) for curve in sweep.values())
            times.append(judge(sweep, replay(sweep, order, workers, name, {}))[-1] * total)
        updates = ", ".join(f"{time:.0f}" for time in times)
        print(f"grid order, {workers} workers, {name}: first within 2 % after {updates} updates' time")


def main() -> None:
    """Read, replay, print."""
    arguments = read_arguments()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if arguments.synthetic:
        names = arguments.groups or [f"late{seed}" for seed in range(6)]
        sweeps = {name: bloom_late(int(name.removeprefix("late"))) for name in names}
    else:
        sweeps = read_sweeps(arguments.folder, arguments.groups)
    counts = ", ".join(f"{group} ({len(sweep)} settings)" for group, sweep in sweeps.items())
    print(f"groups {counts}; {arguments.workers} workers, {arguments.orders} orders each")
    measure(sweeps, arguments)
    measure_grid(sweeps)


if __name__ == "__main__":
    main()
