"""How long workers stand idle when trials take very different times: the engine against blocking batches.

    PYTHONPATH=.:tests python tests/benchmarks/idle.py --workers 2 4

Trials sleep, so that they need no core: lognormal lengths, cut off at 0.5 and 20 s. A worker is idle while it has no
trial's process although trials remain to be asked for: from the first process's start to the last one's. What comes
before, the fork server's imports, is told apart (boot): it does not grow with the sweep. Beside it stands what the same
sleeps, in the same order, would leave idle in batches of as many trials as there are workers, each of which begins when
the one before it has ended altogether, as Hydra's launchers have it; counted to the start of the last batch, and
without any cost of starting trials. Gap: from a trial's end to the next start, median over trials.
"""

import argparse
import functools
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from rlhf_sweeps.record import Run

# Every trial's process imports this file, as that of `python -m rlhf_sweeps` does not: all else is imported in `main`.
SHORTEST, LONGEST = 0.5, 20.0


def seconds_of(number: int) -> float:
    """How long a trial sleeps; the median is 2."""
    return min(max(2.0 * random.Random(number).lognormvariate(0.0, 1.0), SHORTEST), LONGEST)


def sleep(folder: Path, after_update: Callable[[], None]) -> None:
    """A trial: sleep, then one update and the summary."""
    time.sleep(seconds_of(int(folder.name)))
    score = random.Random(folder.name).random()
    run = Run(folder)
    run.append_metrics({"update": 1, "eval/score": score, "eval/kl": 1.0, "objective/kl": 1.0})
    run.write_summary({"status": "complete", "stop_reason": None, "objective": score})


class Log:
    """When trials' processes started and ended, in seconds, in the order of their starts; boot is the first's start."""

    def __init__(self) -> None:
        self.boot: float | None = None
        self.starts: list[float] = []
        self.ends: dict[int, float] = {}

    def submit(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """An executor's `submit` that notes starts and ends."""

        @functools.wraps(original)
        def submit(*args: Any) -> Any:
            number = len(self.starts)
            asked = time.perf_counter()
            future = original(*args)
            self.starts.append(time.perf_counter())
            if self.boot is None:
                self.boot = self.starts[0] - asked
            future.add_done_callback(lambda _: self.ends.setdefault(number, time.perf_counter()))
            return future

        return submit

    def idle(self, workers: int) -> float:
        """The idle share of the workers' time from the first start to the last one."""
        first, last = self.starts[0], self.starts[-1]
        busy = sum(min(self.ends[number], last) - start for number, start in enumerate(self.starts))
        return 1 - busy / (workers * (last - first))

    def gap(self, workers: int) -> float:
        """Seconds between the n-th end and the start that it made room for, the median over all."""
        ends = sorted(self.ends.values())
        return statistics.median(start - end for start, end in zip(self.starts[workers:], ends, strict=False))


def idle_in_batches(lengths: Sequence[float], workers: int) -> float:
    """The idle share if trials ran in batches, until the last of these begins."""
    batches = [lengths[start : start + workers] for start in range(0, len(lengths), workers)][:-1]
    return 1 - sum(map(sum, batches)) / (workers * sum(map(max, batches)))


def main() -> None:
    """Sweep and print, for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--folder", type=Path, help="where the sweeps are written; by default a temporary folder")
    arguments = parser.parse_args()
    from helpers.sweeping import sweep

    lengths = [seconds_of(number) for number in range(arguments.trials)]
    print(f"{arguments.trials} trials of {min(lengths):.1f} to {max(lengths):.1f} s, {sum(lengths):.0f} s in all")
    settings = ("hydra.sweeper.trial=idle.sleep", f"hydra.sweeper.n_trials={arguments.trials}", "search=lr_kl_clip")
    lines = [f"{'workers':>7} {'idle':>7} {'in batches':>11} {'gap ms':>7} {'boot s':>7} {'wall s':>7} {'load':>5}"]
    for workers in arguments.workers:
        folder, log = Path(tempfile.mkdtemp(prefix="idle_", dir=arguments.folder)), Log()
        path = "rlhf_sweeps.sweep.execution.executors.LocalProcesses.submit"
        original, _ = mock.patch(path).get_original()
        with mock.patch(path, log.submit(original)):
            sweep(folder, *settings, "ppo.total_episodes=${ppo.batch_size}", workers=workers)
        wall = max(log.ends.values()) - log.starts[0]
        shares = f"{log.idle(workers):7.1%} {idle_in_batches(lengths, workers):11.1%} {1000 * log.gap(workers):7.0f}"
        lines.append(f"{workers:7} {shares} {log.boot:7.1f} {wall:7.1f} {os.getloadavg()[0]:5.2f}")
    print("\n".join(["", *lines]))


if __name__ == "__main__":
    main()
