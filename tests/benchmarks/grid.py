"""Time until a setting within 2 % of the full grid's best is found: the sweep engine against a plain loop of runs.

The grid is 4 learning rates x 4 KL coefficients of the embedded model. The loop runs `python -m rlhf_sweeps` for one
point after another, in the order of the grid, each with all cores; the engine runs the same grid with `pruner=asha` and
two workers. A setting is found when a run's record first shows an objective of at least the best one of the loop's 16
runs less 2 %; importing, loading and all else counts. With --orders, the loop's points are also shuffled, on paper.
"""

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rlhf_sweeps.runs import Run

LRS = (5e-5, 1.5e-4, 5e-4, 1.5e-3)
KL_COEFS = (0.01, 0.03, 0.1, 0.3)
KL_BUDGET = 15.0
MODULE = (sys.executable, "-m", "rlhf_sweeps")
Found = list[tuple[float, str, float]]  # seconds, run, objective so far


def follow(process: subprocess.Popen[bytes], runs: dict[str, Run], begun: float) -> Found:
    """What the runs' objectives came to, and when, until the process ends."""
    found: Found = []
    best: dict[str, float] = {}
    while True:
        is_over = process.poll() is not None
        for name, run in runs.items():
            for row in run.new_metrics():
                if "eval/score" in row and row["eval/kl"] <= KL_BUDGET and row["eval/score"] > best.get(name, -1e9):
                    best[name] = row["eval/score"]
                    found.append((time.monotonic() - begun, name, best[name]))
        if is_over:
            return found
        time.sleep(0.02)


def loop(folder: Path, seed: int) -> tuple[Found, list[float]]:
    """One run after another; also how long each took."""
    begun, found, seconds = time.monotonic(), [], []
    for lr, kl_coef in itertools.product(LRS, KL_COEFS):
        name, start = f"{lr:g}_{kl_coef:g}", time.monotonic()
        arguments = [f"ppo.lr={lr}", f"ppo.kl_coef={kl_coef}", f"seed={seed}", f"hydra.run.dir={folder / name}"]
        process = run([*arguments, "tracking=disabled"])
        found += follow(process, {name: Run(folder / name)}, begun)
        seconds.append(time.monotonic() - start)
    return found, seconds


def engine(folder: Path, seed: int, extra: list[str]) -> tuple[Found, float]:
    """The sweep; also how long it took to its end."""
    begun = time.monotonic()
    lists = [f"ppo.lr={','.join(map(str, LRS))}", f"ppo.kl_coef={','.join(map(str, KL_COEFS))}"]
    common = [f"seed={seed}", "tracking=disabled", f"hydra.sweep.dir={folder}"]
    process = run(["-m", *lists, *common, "hydra.sweeper.pruner=asha", "hydra.sweeper.workers=2", *extra])
    runs = {str(number): Run(folder / str(number)) for number in range(len(LRS) * len(KL_COEFS))}
    return follow(process, runs, begun), time.monotonic() - begun


def run(arguments: list[str]) -> "subprocess.Popen[bytes]":
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    return subprocess.Popen([*MODULE, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)


def first(found: Found, target: float) -> float:
    """When an objective first reached the target; infinity if none did."""
    return min((seconds for seconds, _, value in found if value >= target), default=float("inf"))


def shuffled(found: Found, seconds: list[float], target: float, orders: int) -> float:
    """The mean time of the loop, had its runs been in another order."""
    names = [f"{lr:g}_{kl_coef:g}" for lr, kl_coef in itertools.product(LRS, KL_COEFS)]
    starts = dict(zip(names, itertools.accumulate([0.0, *seconds[:-1]]), strict=True))
    own = {name: first([one for one in found if one[1] == name], target) - starts[name] for name in names}
    each, generator, times = dict(zip(names, seconds, strict=True)), random.Random(0), []
    for _ in range(orders):
        generator.shuffle(names)
        before = itertools.accumulate([0.0, *(each[name] for name in names[:-1])])
        times.append(next(b + own[name] for b, name in zip(before, names, strict=True) if own[name] < float("inf")))
    return statistics.fmean(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the runs; what is there already is not run again")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--orders", type=int, default=1000)
    parser.add_argument("--engine", nargs="*", default=[], help="further overrides of the engine's")
    parser.add_argument("--name", default="engine", help="of the engine's folders")
    options = parser.parse_args()
    rows = []
    for seed in options.seeds:
        record = options.folder / f"loop_{seed}.json"
        if not record.exists():
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps(loop(options.folder / f"loop_{seed}", seed)))
        found, seconds = json.loads(record.read_text())
        target = 0.98 * max(value for _, _, value in found)
        ours, whole = engine(options.folder / f"{options.name}_{seed}", seed, options.engine)
        rows.append((first(found, target), shuffled(found, seconds, target, options.orders), first(ours, target)))
        in_order, in_any_order, engines = rows[-1]
        print(f"seed {seed}: target {target:.3f}; loop {in_order:.1f} s, in any order {in_any_order:.1f}, "
              f"whole {sum(seconds):.1f}; engine {engines:.1f} s, whole {whole:.1f}", flush=True)  # fmt: skip
    means = [statistics.fmean(column) for column in zip(*rows, strict=True)]
    print(f"mean: loop {means[0]:.1f} s, in any order {means[1]:.1f}, engine {means[2]:.1f}: "
          f"{means[0] / means[2]:.2f} times as fast, {means[1] / means[2]:.2f} against any order")  # fmt: skip


if __name__ == "__main__":
    main()
