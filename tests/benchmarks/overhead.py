"""What the sweep engine costs beside its trials: 200 trials that return at once, searched by TPE over lr, KL and clip.

    PYTHONPATH=.:tests python tests/benchmarks/overhead.py

Study in SQLite in the sweep's folder; one update a trial, so that pruners have nothing to decide. A trial counts from
the call that starts its process to the process's exit. The overhead is what is between: from one trial's exit to the
next one's start, while the sweeper tells, asks, composes and writes, and the one worker stands idle. It is measured
with trials in processes (--workers 1) and in the sweeper itself (--workers 0). CPU is that of the sweeper's process,
all its threads, from start to start; with --workers 0 the trials are in it. The other rows say how long parts of the
overhead take from call to return. --profile prints what cProfile finds instead, which makes everything slower.
"""

import argparse
import cProfile
import functools
import os
import pstats
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from rlhf_sweeps.record import Run

# Every trial's process imports this file, as that of `python -m rlhf_sweeps` does not: all else is imported in `main`.
PARTS = {
    "ask": "study.study.Study.ask",
    "tell: notes": "study.study.Study.note",
    "tell: end": "study.study.Study.tell",
    "report": "study.study.Study.report",
    "compose and write": "composition.Composer.write",
    "show": "display.Display.show",
    "W&B": "wandb_run.SweepTracker.log",
}


def instant(folder: Path, after_update: Callable[[], None]) -> None:
    """A trial: one update and the summary."""
    score = random.Random(folder.name).random()
    run = Run(folder)
    run.append_metrics({"update": 1, "eval/score": score, "eval/kl": 1.0, "objective/kl": 1.0})
    run.write_summary({"status": "complete", "stop_reason": None, "objective": score})


class Stopwatch:
    """When trials started and ended, what the parts took, and the CPU time at each start; all in seconds."""

    def __init__(self) -> None:
        self.starts: list[float] = []
        self.ends: list[float] = []
        self.cpu: list[float] = []
        self.parts: dict[str, list[float]] = defaultdict(list)

    def submit(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """An executor's `submit` that notes starts and ends."""

        @functools.wraps(original)
        def submit(*args: Any) -> Any:
            self.cpu.append(time.process_time())
            for part in PARTS:
                self.parts[part].append(0.0)
            self.starts.append(time.perf_counter())
            future = original(*args)
            future.add_done_callback(lambda _: self.ends.append(time.perf_counter()))
            return future

        return submit

    def part(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        """A function that adds what it takes to its part, since the newest start."""

        @functools.wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            result = original(*args, **kwargs)
            if self.starts:
                self.parts[name][-1] += time.perf_counter() - start
            return result

        return timed

    @contextmanager
    def on(self, with_parts: bool) -> Iterator[None]:
        """Measure the engine meanwhile."""
        package = "rlhf_sweeps.sweep."
        wrappers: list[tuple[str, Callable[..., Any]]] = [
            (f"{package}execution.executors.{kind}.submit", self.submit) for kind in ("LocalProcesses", "InProcess")
        ]
        if with_parts:
            wrappers += [(package + path, functools.partial(self.part, name)) for name, path in PARTS.items()]
        with ExitStack() as stack:
            for path, wrap in wrappers:
                patch = mock.patch(path)
                original, _ = patch.get_original()
                stack.enter_context(mock.patch(path, wrap(original)))
            yield

    def print(self) -> None:
        """Milliseconds a trial: all, the first and the last quarter."""
        gaps = [start - end for end, start in zip(self.ends, self.starts[1:], strict=False)]
        cpu = [after - before for before, after in zip(self.cpu, self.cpu[1:], strict=False)]
        alive = [end - start for start, end in zip(self.starts, self.ends, strict=True)]
        rows = {"trial itself": alive, "overhead": gaps, "CPU of the sweeper": cpu} | self.parts
        quarter = len(gaps) // 4 + 1
        print(f"{'ms a trial, mean':22} {'all':>7} {'first ' + str(quarter):>9} {'last ' + str(quarter):>9} {'max':>7}")
        for name, row in rows.items():
            means = [1000 * statistics.fmean(some) for some in (row[1:], row[1 : quarter + 1], row[-quarter:])]
            print(f"{name:22} {means[0]:7.1f} {means[1]:9.1f} {means[2]:9.1f} {1000 * max(row[1:]):7.1f}")


def main() -> None:
    """Sweep and print, for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, nargs="+", choices=[0, 1], default=[1, 0])
    parser.add_argument("--folder", type=Path, help="where the sweeps are written; by default a temporary folder")
    parser.add_argument("--profile", type=int, default=0, metavar="LINES", help="of cProfile, by cumulative time")
    arguments = parser.parse_args()
    from helpers.sweeping import sweep

    settings = (
        "hydra.sweeper.trial=overhead.instant",
        f"hydra.sweeper.n_trials={arguments.trials}",
        "search=lr_kl_clip",
    )
    for workers in arguments.workers:
        folder = Path(tempfile.mkdtemp(prefix="overhead_", dir=arguments.folder))
        stopwatch, profile = Stopwatch(), cProfile.Profile()
        with stopwatch.on(with_parts=not arguments.profile):
            if arguments.profile:
                profile.enable()
            sweep(folder, *settings, "ppo.total_episodes=${ppo.batch_size}", workers=workers)
            profile.disable()
        print(f"\n{folder}, workers={workers}, load {os.getloadavg()[0]:.2f}")
        stopwatch.print()
        if arguments.profile:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(arguments.profile)


if __name__ == "__main__":
    main()
