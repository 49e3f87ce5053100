"""Trials for the tests of executors: each does one thing in its run's folder. Imported by the trials' processes."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from rlhf_sweeps.platforms.memory import room

Watch = Callable[[], None]


def describe(folder: Path, watch: Watch) -> None:
    """What the process finds."""
    watch()
    keys = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
    found = {
        "pid": os.getpid(),
        "group": os.getpgrp(),
        "cwd": str(Path.cwd()),
        "stdin": str(Path("/proc/self/fd/0").resolve()),
        "sigint_ignored": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
        "sigterm_default": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "colorsys": "colorsys" in sys.modules,
        "environment": {key: os.environ.get(key) for key in keys},
        "memory": room.share,
    }
    (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")


def call_watch(folder: Path, watch: Watch) -> None:
    watch()
    (folder / "pid").write_text(str(os.getpid()), encoding="utf-8")


def nothing(folder: Path, watch: Watch) -> None:
    pass


def end(folder: Path, watch: Watch) -> None:
    """As the file `how` says."""
    how = (folder / "how").read_text(encoding="utf-8")
    if how == "raise":
        raise ValueError("a plain error")
    if how == "segfault":
        ctypes.string_at(0)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "exit with a text":
        sys.exit("a text")
    kind, value = how.split()
    if kind == "exit":
        sys.exit(int(value))
    if kind == "os._exit":
        os._exit(int(value))
    os.kill(os.getpid(), int(value))


def write(folder: Path, watch: Watch) -> None:
    print("from python")
    os.write(1, b"from a descriptor\n")
    subprocess.run(["echo", "from a child"], check=True)
    print("to stderr", file=sys.stderr)
    print("before the kill")
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(folder: Path, watch: Watch) -> None:
    _tell_pid(folder)
    time.sleep(60)


def spin(folder: Path, watch: Watch) -> None:
    _tell_pid(folder)
    while True:
        pass


def sleep_with_child(folder: Path, watch: Watch) -> None:
    child = subprocess.Popen(["sleep", "60"])
    (folder / "child").write_text(str(child.pid), encoding="utf-8")
    sleep(folder, watch)


def _tell_pid(folder: Path) -> None:
    (folder / "device").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"), encoding="utf-8")
    (folder / "pid.new").write_text(str(os.getpid()), encoding="utf-8")
    (folder / "pid.new").rename(folder / "pid")


def find_once(folder: Path, watch: Watch) -> None:
    """An update of 0.2 s, half of it its evaluation; the first run of a sweep takes a second longer."""
    hydra = yaml.safe_load((folder / ".hydra" / "hydra.yaml").read_text(encoding="utf-8"))["hydra"]
    base = Path(hydra["sweep"]["dir"]) / "base"
    if not base.exists():
        time.sleep(1.0)
        base.mkdir(parents=True)
    time.sleep(0.2)
    row = {"update": 1, "perf/update_seconds": 0.2, "perf/evaluate_seconds": 0.1}
    (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
