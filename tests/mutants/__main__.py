"""Make small wrong changes one by one and say which of them the tests notice: `python -m tests.mutants [ROOM ...]`.

The working tree is left alone: each worker has a copy. A change is noticed where one of its tests fails, takes more
than TIME_LIMIT seconds, or ends the whole test process by a signal. The exit status is 1 where one is not noticed, 2
where one cannot be tried.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from .changes import ROOT, Change, changes

TIME_LIMIT = 300.0
NOTICED, HANGS, DIES = "noticed", "noticed: it hangs", "noticed: it dies by a signal"
SURVIVED, UNTRIED = "SURVIVED", "cannot be tried"
NONE_COLLECTED = 5  # where only slow tests notice a change


def main(arguments: list[str]) -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help="lists in tests/mutants (default: all)")
    parser.add_argument("--sample", type=int, metavar="NUMBER", help="so many of them, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument("--workers", type=int, default=2, help="at a time (default: 2)")
    parser.add_argument("--file", help="only changes of files whose path holds this")
    options = parser.parse_args(arguments)
    chosen = [one for one in changes(options.rooms) if not one.equal and (options.file or "") in one.file]
    if options.sample is not None:
        chosen = random.Random(options.seed).sample(chosen, min(options.sample, len(chosen)))
    print(f"{len(chosen)} changes; the tests must pass without them first", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        copies: Queue[Path] = Queue()
        for number in range(options.workers):
            copies.put(copied(Path(folder) / str(number)))
        if not pass_unchanged(copies.queue[0], sorted({test for one in chosen for test in one.tests})):
            return 2
        with ThreadPoolExecutor(options.workers) as pool:
            outcomes = list(pool.map(lambda one: tried(one, copies), chosen))
    return told(chosen, outcomes)


def copied(folder: Path) -> Path:
    """A copy of everything that git knows of, and of new files."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def pass_unchanged(copy: Path, tests: list[str]) -> bool:
    """Whether all tests pass as things are; a test that fails anyway notices nothing."""
    status, output = run_tests(copy, tests, None)
    if status != 0:
        print(output[-3000:], "the tests fail without any change", sep="\n")
    return status == 0


def tried(change: Change, copies: "Queue[Path]") -> str:
    """What becomes of a change, made in a copy that nobody else uses meanwhile."""
    copy, begun = copies.get(), time.monotonic()
    file = copy / change.file
    before = file.read_bytes()
    try:
        file.write_text(change.made(), encoding="utf-8")
        status, output = run_tests(copy, list(change.tests), TIME_LIMIT)
        if status == NONE_COLLECTED:
            status, output = run_tests(copy, list(change.tests), TIME_LIMIT, "not gpu")
    finally:
        file.write_bytes(before)
        copies.put(copy)
    outcome = outcome_of(status)
    print(f"{outcome:10} {time.monotonic() - begun:4.0f} s  {change.name}", flush=True)
    if outcome == UNTRIED:
        print(output[-1500:], flush=True)
    return outcome


def outcome_of(status: int | None) -> str:
    """What pytest's exit status says: minus a signal that ended it, None where it took too long."""
    if status is None:
        return HANGS
    if status < 0:
        return DIES  # as by a signal that a test sends, and the changed code does not catch any more
    return {0: SURVIVED, 1: NOTICED}.get(status, UNTRIED)


def run_tests(
    copy: Path, tests: list[str], seconds: float | None, marks: str = "not gpu and not slow"
) -> tuple[int | None, str]:
    """pytest's exit status in a copy, up to the first failure, and what it printed; None where it took too long."""
    options = ["-n", "0", "-x", "-q", "-p", "no:cacheprovider", "-m", marks]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    # Bytecode is told from its source by time and size, which a change of one sign within a second has in common.
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        return None, process.communicate()[0]
    return process.returncode, output


def told(chosen: list[Change], outcomes: list[str]) -> int:
    """Print the figures; returns the exit status."""
    for room in dict.fromkeys(one.room for one in chosen):
        own = [outcome for one, outcome in zip(chosen, outcomes, strict=True) if one.room == room]
        print(f"{room}: {sum(outcome in (NOTICED, HANGS, DIES) for outcome in own)} of {len(own)} noticed")
    counts = Counter(outcomes)
    num = counts[NOTICED] + counts[HANGS] + counts[DIES]
    print(f"all: {num} of {len(chosen)} noticed ({100 * num / max(1, len(chosen)):.0f} %)")
    for one, outcome in zip(chosen, outcomes, strict=True):
        if outcome in (SURVIVED, UNTRIED):
            print(f"{outcome}: {one.name}\n  {one.old!r}\n  {one.new!r}")
    return 2 if counts[UNTRIED] else 1 if counts[SURVIVED] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
