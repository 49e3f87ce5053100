"""A trainer for the sweep engine's tests: a noisy quadratic in log lr and log kl_coef that is learned update by update.

Its record is a real one, so that the engine follows, prunes, kills and continues it as any other. What goes wrong is in
misbehaviour.json in the sweep's folder: {"<trial number>": {"<update>": "raise" | "exit" | "kill" | ...}}. Unlike the
record, the file `history` is never cut: "start", "update 1", "checkpoint 5", "end", a line each.
"""

import errno
import json
import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from rlhf_sweeps.process.interruption import Interruption
from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep.study.trials import BAD_SETTING

EVALUATED_EVERY = 5


def value(lr: float, kl_coef: float, seed: int) -> float:
    """What a run comes to; the best setting is lr 5e-4, kl_coef 0.02."""
    noise = 0.02 * math.sin(1000 * seed + 100 * math.log(lr) + 10 * math.log(kl_coef + 1))
    return 2 - math.log10(lr / 5e-4) ** 2 - 0.5 * math.log10((kl_coef + 1e-6) / 0.02) ** 2 + noise


def divergence(lr: float, update: int) -> float:
    """The KL of an evaluation, in nats, at any update; beyond the default budget from a learning rate of 7.5e-4 on."""
    return 10 / 3 * lr / 5e-4


def run(folder: Path, after_update: Callable[[], None] = lambda: None) -> None:
    """Train; a checkpoint is a file with a number."""
    config = OmegaConf.load(folder / ".hydra" / "config.yaml")
    record = Run(folder)
    with (folder / "starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    history = folder / "history"
    _note(history, "start")
    reward_model = OmegaConf.select(config, "reward_model.name")
    ppo = {"lr": config.ppo.lr, "kl_coef": config.ppo.kl_coef}
    record.begin({"ppo": ppo, "reward_model": {"name": reward_model}, "seed": config.seed})
    checkpoint = folder / "fake_checkpoint"
    done = int(checkpoint.read_text()) if checkpoint.exists() else 0
    record.rewind(done)
    total = math.ceil(config.ppo.total_episodes / config.ppo.batch_size)
    goal = value(config.ppo.lr, config.ppo.kl_coef, config.seed)
    interrupted = _listen()
    for update in range(done + 1, total + 1):
        _misbehave(folder, update, record, config.ppo.lr)
        row = {
            "update": update,
            "objective/kl": float(update > 1),
            "objective/scores": goal,
            "perf/update_seconds": 0.01,
        }
        if update % EVALUATED_EVERY == 0 or update == total:
            kl = divergence(config.ppo.lr, update)
            row |= {"eval/score": goal * update / total, "eval/base_score": 0.0, "eval/kl": kl, "eval/length": 20.0}
        record.append_metrics(row)
        _note(history, f"update {update}")
        after_update()
        reason = (interrupted() or record.stop_reason()) if update < total else None
        if reason or update % EVALUATED_EVERY == 0:
            _save(checkpoint, update)
            _note(history, f"checkpoint {update}")
        if reason:
            _end(record, "stopped", reason)
            return
    _end(record, "complete", None)
    _note(history, "end")


def _listen() -> Callable[[], str | None]:
    """Answer SIGTERM as a real run does; whether it has come. In the sweeper's own process the sweeper answers it."""
    if multiprocessing.parent_process() is None:
        return lambda: None
    interruption = Interruption().__enter__()
    return lambda: interruption.reason


def _save(checkpoint: Path, update: int) -> None:
    unfinished = checkpoint.with_name("fake_checkpoint.unfinished")
    unfinished.write_text(str(update))
    unfinished.replace(checkpoint)


def _note(history: Path, line: str) -> None:
    with history.open("a") as file:
        file.write(f"{line}\n")


def _end(record: Run, status: str, reason: str | None) -> None:
    scores = [row["eval/score"] for row in record.metrics() if "eval/score" in row]
    best = max(scores, default=None)
    objectives = None if best is None else [best]
    record.write_summary({"status": status, "stop_reason": reason, "objective": best, "objectives": objectives})


def _misbehave(folder: Path, update: int, record: Run, lr: float) -> None:
    """Do what the test has asked for: once, if the word ends on `_once`; `sleep` in every update."""
    plan = folder.parent / "misbehaviour.json"
    if not plan.exists():
        return
    wanted: dict[str, Any] = json.loads(plan.read_text())
    time.sleep(wanted.get("seconds", {}).get(folder.name, wanted.get("seconds_each", 0)))
    how = wanted.get(folder.name, {}).get(str(update))
    if "above" in wanted and lr > wanted["above"]["lr"]:
        how = wanted["above"]["how"]
    done = folder / f"misbehaved_{update}"
    if how is None or (how.endswith("_once") and done.exists()):
        return
    done.touch()
    how = how.removesuffix("_once")
    if how in BAD_SETTING:
        status = {"status": "failed", "cause": how} if how == "out_of_memory" else {"status": how}
        record.write_summary({**status, "message": f"{how} in update {update}", "objective": None})
        raise RuntimeError(how)
    if how == "reward_model":
        record.write_summary({"status": "failed", "cause": how, "message": "no score", "objective": None})
        raise RuntimeError(how)
    if how == "full_disk":
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "checkpoint"))
    if how == "environment":
        message = "no space is left on the disk"
        record.write_summary({"status": "failed", "cause": how, "message": message, "objective": None})
        raise RuntimeError(how)
    if how == "raise":
        record.write_summary({"status": "failed", "cause": "error", "message": "ValueError: no", "objective": None})
        raise ValueError("no")
    if how == "exit":
        sys.exit(3)
    if how == "os_exit":
        os._exit(0)
    if how == "hang":
        time.sleep(1000)
    if how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "sigterm":
        os.kill(os.getpid(), signal.SIGTERM)
    if how == "realtime_signal":
        os.kill(os.getpid(), signal.SIGRTMIN + 6)  # the enumeration signal.Signals has no name for it
