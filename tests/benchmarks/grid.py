"""Time until a setting within 2 % of the full grid's best is found: the sweep engine against a plain loop of runs.

The grid is 4 learning rates x 4 KL coefficients of the embedded model, unless --lrs and --kl-coefs name others. The
loop runs `python -m rlhf_sweeps` for one point after another, in the order of the grid; the engine runs the same grid
with `pruner=asha` and two workers. A setting is found when a run's record first shows an objective of at least the full
grid's best less 2 %; importing, loading and all else counts. Runs have one thread on both sides, so that their numbers
are equal bit for bit.

Without --reference, the loop runs all points, and says what the best is. With it, the best is read from such runs
made before (SEED/LR_KL/metrics.jsonl), and loop and engine are stopped when they have found it.
"""

import argparse
import itertools
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rlhf_sweeps.record import Run

LRS = (5e-5, 1.5e-4, 5e-4, 1.5e-3)
KL_COEFS = (0.01, 0.03, 0.1, 0.3)
KL_BUDGET = 5.0
Found = list[tuple[float, str, float]]  # seconds, run, objective so far


def follow(process: subprocess.Popen[bytes], runs: dict[str, Run], begun: float, target: float) -> Found:
    """What the runs' objectives came to, and when, until the process ends or the target is reached."""
    found: Found = []
    best: dict[str, float] = {}
    while True:
        is_over = process.poll() is not None
        for name, run in runs.items():
            for row in run.new_metrics():
                if (
                    "eval/score" in row
                    and row["eval/kl"] <= KL_BUDGET
                    and row["eval/score"] > best.get(name, -math.inf)
                ):
                    best[name] = row["eval/score"]
                    found.append((time.monotonic() - begun, name, best[name]))
        if is_over:
            return found
        if first(found, target) < math.inf:
            process.send_signal(signal.SIGTERM)
            process.wait()
            return found
        time.sleep(0.02)


def loop(folder: Path, seed: int, target: float, options: argparse.Namespace) -> Found:
    """One run after another, until one reaches the target."""
    begun, found = time.monotonic(), []
    for lr, kl_coef in itertools.product(options.lrs, options.kl_coefs):
        name = f"{lr:g}_{kl_coef:g}"
        point = [f"ppo.lr={lr}", f"ppo.kl_coef={kl_coef}", f"seed={seed}", f"hydra.run.dir={folder / name}"]
        process = start([*point, *options.runs])
        found += follow(process, {name: Run(folder / name)}, begun, target)
        if first(found, target) < math.inf:
            break
    return found


def engine(folder: Path, seed: int, target: float, options: argparse.Namespace) -> Found:
    """The sweep, until a trial reaches the target."""
    begun = time.monotonic()
    lists = [f"ppo.lr={','.join(map(str, options.lrs))}", f"ppo.kl_coef={','.join(map(str, options.kl_coefs))}"]
    common = [f"seed={seed}", f"hydra.sweep.dir={folder}", "hydra.sweeper.pruner=asha"]
    common += ["hydra.sweeper.workers=2", "sweep.report=false"]
    runs = {str(number): Run(folder / str(number)) for number in range(len(options.lrs) * len(options.kl_coefs))}
    return follow(start(["-m", *lists, *common, *options.runs, *options.engine]), runs, begun, target)


def start(arguments: list[str]) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "rlhf_sweeps", *arguments, "tracking=disabled"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)


def first(found: Found, target: float) -> float:
    """When an objective first reached the target; infinity if none did."""
    return min((seconds for seconds, _, value in found if value >= target), default=math.inf)


def best_of(folder: Path) -> float:
    """The best objective of a full grid's runs."""
    rows = [json.loads(line) for path in folder.glob("*/metrics.jsonl") for line in path.read_text().splitlines()]
    return max(row["eval/score"] for row in rows if "eval/score" in row and row["eval/kl"] <= KL_BUDGET)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--lrs", type=float, nargs="+", default=LRS)
    parser.add_argument("--kl-coefs", type=float, nargs="+", default=KL_COEFS)
    parser.add_argument("--runs", nargs="*", default=[], help="further overrides of both sides' runs")
    parser.add_argument("--engine", nargs="*", default=[], help="further overrides of the engine's")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    times = []
    for seed in options.seeds:
        target = math.inf if options.reference is None else 0.98 * best_of(options.reference / str(seed))
        loops = loop(options.folder / f"loop_{seed}", seed, target, options)
        if options.reference is None:
            target = 0.98 * max(value for _, _, value in loops)
        ours = engine(options.folder / f"engine_{seed}", seed, target, options)
        times.append((first(loops, target), first(ours, target)))
        print(f"seed {seed}: target {target:.3f}; loop {times[-1][0]:.1f} s, engine {times[-1][1]:.1f} s", flush=True)
    loops_mean, engine_mean = (statistics.fmean(column) for column in zip(*times, strict=True))
    print(f"mean: loop {loops_mean:.1f} s, engine {engine_mean:.1f} s: {loops_mean / engine_mean:.2f} times as fast")


if __name__ == "__main__":
    main()
