"""One run from start to end: load, begin or continue, train, record, evaluate, export, write the summary."""

import contextlib
import logging
import platform
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from rlhf_sweeps import __version__
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.references import redact, take_fingerprints
from rlhf_sweeps.config.schema import Config, as_dict
from rlhf_sweeps.models.card import write_model_card
from rlhf_sweeps.platforms import system
from rlhf_sweeps.ppo.memory import is_out_of_memory
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.process.environment import find_fault
from rlhf_sweeps.process.exit_status import INTERRUPTED, choose_exit_status
from rlhf_sweeps.process.failures import DivergedError, RewardModelError
from rlhf_sweeps.process.interruption import Interruption
from rlhf_sweeps.process.progress import Progress
from rlhf_sweeps.record import InUseError, Run, Sweep, mask_words
from rlhf_sweeps.tracking import wandb_run as tracking
from rlhf_sweeps.tracking.names import name_part
from rlhf_sweeps.training import checkpoints
from rlhf_sweeps.training.earlier_start import mend_earlier_start
from rlhf_sweeps.training.export import export
from rlhf_sweeps.training.last_lines import report_end
from rlhf_sweeps.training.session import Session, load_session
from rlhf_sweeps.verdicts.final_policies import find_final_policy, measure_policies
from rlhf_sweeps.verdicts.objective import (
    KL_BOUND,
    NET_SCORE,
    Evaluation,
    compute_objectives,
    ends_beyond_budget,
    list_updates_within_budget,
)

# Reasons to stop a run that will be continued, and a run whose policy is not needed: neither policy is exported.
RESUMABLE = ("interrupted", "budget", "timeout", "waiting", "environment")
UNWANTED = ("pruned",)
PACKAGES = ("torch", "transformers", "trl", "datasets", "wandb", "optuna", "hydra-core")

log = logging.getLogger("rlhf_sweeps")


def train(
    config: Config,
    folder: Path,
    sweep: Sweep | None = None,
    overrides: Sequence[str] = (),
    after_update: Callable[[], None] = lambda: None,
    begin: Callable[[], None] = lambda: None,
    number: int | None = None,
) -> dict[str, Any]:
    """Begin or continue the run in `folder`, and return its summary.

    Args:
        sweep: the sweep of the run, if it is a trial; it groups the runs in W&B, and holds what they share.
        overrides: the user's overrides; they name the run in W&B.
        after_update: called after each recorded update, before the run checks whether it was asked to stop.
        begin: called once the folder is locked and its record can be continued, before anything is loaded.
        number: the job's number, if one of Hydra's own sweepers started it.

    Raises:
        ConfigError: if a model, the data set or the folder cannot be used; no run has begun then.
        DivergedError: if a loss is not finite; the summary contains that, too.
    """
    run = Run(folder)
    try:
        with run.claim():
            return _train(config, run, sweep, overrides, after_update, begin, number)
    except InUseError as error:
        raise ConfigError(f"hydra.run.dir={folder}: {error}; choose another folder") from error


def _train(
    config: Config,
    run: Run,
    sweep: Sweep | None,
    overrides: Sequence[str],
    after_update: Callable[[], None],
    begin: Callable[[], None],
    number: int | None,
) -> dict[str, Any]:
    if (summary := mend_earlier_start(run, is_alone=sweep is None)) is not None:
        log.info("%s is complete already: objective %s", run.folder, summary.get("objective"))
        return summary
    begin()
    part = None if number is None else str(number)
    with report_activity("loading"):
        session = load_session(config, run, sweep)
    start = run.begin(as_dict(config), partial(take_fingerprints, config))
    with report_activity("looking for a checkpoint"):
        session.go_on()
    tracker = tracking.start(
        config.tracking,
        run_dir=run.folder,
        run_id=start["id"],
        name=_name_run(config, mask_words(overrides)),
        group=None if sweep is None else sweep.folder.absolute().name,
        job_type="train",
        settings={**as_dict(config), "overrides": mask_words(overrides), "versions": _read_versions()},
        part=part if sweep is None else name_part(run.folder, sweep.folder),
        is_named=any(override.startswith("name=") for override in overrides),
    )
    try:
        with Interruption() as interruption:
            with report_activity("asking the base policy"):
                session.ask_base_policy(sweep)
            stop_reason = _loop(session, tracker, interruption, after_update)
        summary = _finish(session, stop_reason)
    except BaseException as error:
        summary = {}
        if isinstance(error, Exception):
            summary = describe_failure(error, session.trainer.update)
            with contextlib.suppress(OSError):  # the disk may be full
                if (run.summary() or {}).get("status") != "complete":  # complete: only the clean-up has failed
                    run.write_summary(summary)
        tracker.finish(exit_code=choose_exit_status(error), summary=summary)
        raise
    # A single run that was interrupted ends the command line with this status. A trial was asked to stop by its sweep.
    exit_code = INTERRUPTED if sweep is None and stop_reason == "interrupted" else 0
    tracker.finish(exit_code=exit_code, summary=summary, model_dir=run.model if run.model.exists() else None)
    return summary


def _loop(
    session: Session, tracker: tracking.Tracker, interruption: Interruption, after_update: Callable[[], None]
) -> str | None:
    """Train all remaining updates; returns the reason for which the run was asked to stop, or None at its end."""
    trainer, run = session.trainer, session.run
    num_updates = session.config.ppo.num_updates
    with Progress(num_updates, trainer.update) as progress:
        start = time.perf_counter()
        for row in trainer.updates():
            is_last = trainer.update == num_updates
            is_best = False
            if is_last or trainer.update % session.config.eval.every == 0:
                is_best = _evaluate(session, row, tracker)
            row |= {
                "perf/update_seconds": time.perf_counter() - start,
                "perf/peak_memory_mb": _measure_peak_memory_mb(),
            }
            start = time.perf_counter()
            session.seconds += row["perf/update_seconds"]
            session.tokens += sum(int(row[f"tokens/{phase}"]) for phase in ("sample", "score", "optimize"))
            run.append_metrics(row)
            tracker.log(row)
            progress.show(row)
            after_update()
            # A request to stop at the last update is ignored: the run is complete. An interruption by the user counts
            # even then, since it also ends the sweep.
            stop_reason = interruption.reason or (None if is_last else run.stop_reason())
            if stop_reason in UNWANTED:
                return stop_reason
            if stop_reason or is_last or is_best or trainer.update % session.config.checkpoint.every == 0:
                with report_activity(f"writing the checkpoint of update {trainer.update}"):
                    session.save()
            if stop_reason:
                return stop_reason
    return None


def _evaluate(session: Session, row: dict[str, float], tracker: tracking.Tracker) -> bool:
    """Evaluate, and add the results to the row and the record; returns whether the policy is the best so far."""
    start = time.perf_counter()
    update = session.trainer.update
    with report_activity(f"evaluating the policy after update {update}"):
        metrics, samples = session.evaluator.evaluate(session.policy)
    metrics[NET_SCORE] = metrics["eval/score"] - session.config.objective.kl_price * metrics["eval/kl"]
    row |= metrics
    row["perf/evaluate_seconds"] = time.perf_counter() - start
    samples = [{"update": update, **sample} for sample in samples]
    session.run.append_samples(samples)
    tracker.log_samples(samples)
    session.last = Evaluation(update, metrics["eval/score"], metrics["eval/kl"], metrics[KL_BOUND])
    is_best = session.last.beats(session.best, session.config.objective.kl_budget)
    if is_best:
        session.best = session.last
    return is_best


def _finish(session: Session, stop_reason: str | None) -> dict[str, Any]:
    """Export the best policy, write the summary, and log the results."""
    run, best, last = session.run, session.best, session.last
    if reason := run.find_gap(session.trainer.update):
        log.warning("%s; the objective is computed from this file", reason)
    rows = run.metrics()
    values = compute_objectives(rows, session.config.objective)
    evaluations = {
        "best": asdict(best) if best else None,
        "last": asdict(last) if last else None,
        "updates_within_budget": list_updates_within_budget(rows, session.config.objective),
    }
    policies = [find_final_policy(evaluations, run.samples(), session.config.reward_model.name)]
    gain = measure_policies(policies)
    summary: dict[str, Any] = {
        "status": "stopped" if stop_reason else "complete",
        "stop_reason": stop_reason,
        "objective": values[0] if values else None,
        "objectives": values,
        "best_update": best.update if best else None,
        "base_score": session.evaluator.base_score,
        "against_base": asdict(gain) if gain else None,
        "is_beyond_budget": ends_beyond_budget(rows, session.config.objective),
        **evaluations,
        "updates": session.trainer.update,
        "episodes": session.trainer.update * session.config.ppo.batch_size,
        "tokens": session.tokens,
        "seconds": session.seconds,
        "scale": asdict(session.evaluator.scale),
        "scoring": {
            scorer.name: {**asdict(scorer.cost), "seconds_per_1000": scorer.cost.seconds_per_1000}
            for scorer in session.loader.scorers
        },
        "peak_memory_mb": _measure_peak_memory_mb(),
        "device": str(session.policy.device),
        "versions": _read_versions(),
    }
    if stop_reason in (*RESUMABLE, *UNWANTED):
        run.write_summary(summary)
        if stop_reason in UNWANTED:
            checkpoints.remove(run.checkpoint)
        log.info("stopped after update %d (%s): %s", session.trainer.update, stop_reason, run.folder)
        return summary
    if best is not None and best.update != session.trainer.update:
        assert session.checkpoint is not None  # the best update always has a checkpoint
        checkpoints.read_state(session.checkpoint)  # raises if it is damaged
        checkpoints.load_weights(session.checkpoint / "best.safetensors", session.policy)
    run.write_summary(summary, exported=_export(session, summary))
    if session.config.checkpoint.keep:
        checkpoints.remove_others(run.checkpoint, [session.checkpoint])
    else:
        checkpoints.remove(run.checkpoint)
    report_end(session.config, run, summary, policies)
    return summary


def _export(session: Session, summary: dict[str, Any]) -> list[str]:
    """Write model/; returns the names of its files."""

    def save(folder: Path) -> None:
        if session.adapter is not None:
            session.adapter.merge_and_unload()  # into session.policy
        session.policy.save_pretrained(folder)
        session.tokenizer.save_pretrained(folder)

    with report_activity("exporting the policy"):
        return export(session.run.model, save, write_model_card(session.config, summary, session.run.metrics()))


def describe_failure(error: BaseException, update: int) -> dict[str, Any]:
    """The summary of a run that failed in this update."""
    at_fault = find_fault(error)
    message = {
        "message": at_fault or f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error)),
        "update": update,
        "objective": None,
    }
    if isinstance(error, DivergedError):
        return {"status": "diverged", **message}
    if is_out_of_memory(error.__cause__ or error):
        cause = "out_of_memory"
    elif at_fault is not None:
        cause = "environment"
    else:
        cause = "reward_model" if isinstance(error, RewardModelError) else "error"
    return {"status": "failed", "cause": cause, **message}


def _name_run(config: Config, overrides: Sequence[str]) -> str:
    """A short name from the changed keys, such as kl_coef=0.01,seed=0."""
    changed = [override.partition("=") for override in overrides if not override.startswith(("tracking", "seed="))]
    words = [f"{key.rpartition('.')[2]}={value}" for key, _, value in changed] or [redact(config.name)]
    return ",".join([*words, f"seed={config.seed}"])


def _read_versions() -> dict[str, str]:
    own = {"python": platform.python_version(), "rlhf_sweeps": __version__}
    return own | {package: version(package) for package in PACKAGES}


def _measure_peak_memory_mb() -> float:
    """The process's peak memory so far: of the GPU if there is one, else its resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return system.peak_memory() / 2**20
