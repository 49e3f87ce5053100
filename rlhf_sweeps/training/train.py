"""One run from start to end: load, begin or continue, train, record, evaluate, export, write the summary."""

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.references import redact, take_fingerprints
from rlhf_sweeps.config.schema import Config, as_dict
from rlhf_sweeps.models.card import write_model_card
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.process.exit_status import INTERRUPTED, choose_exit_status
from rlhf_sweeps.process.interruption import Interruption
from rlhf_sweeps.process.progress import Progress
from rlhf_sweeps.record import InUseError, Run, Sweep, mask_words
from rlhf_sweeps.tracking import wandb_run as tracking
from rlhf_sweeps.tracking.names import name_part
from rlhf_sweeps.training import checkpoints
from rlhf_sweeps.training.base_policy import BasePolicy
from rlhf_sweeps.training.confirmation import confirm
from rlhf_sweeps.training.earlier_start import mend_earlier_start
from rlhf_sweeps.training.export import export
from rlhf_sweeps.training.last_lines import report_end
from rlhf_sweeps.training.session import Session, load_session
from rlhf_sweeps.training.summary import describe_failure, measure_peak_memory, read_versions, summarize
from rlhf_sweeps.verdicts.objective import KL_BOUND, NET_SCORE, Evaluation, choose_kl_price

# Reasons to stop a run that will be continued, and a run whose policy is not needed: neither policy is exported.
RESUMABLE = ("interrupted", "budget", "timeout", "waiting", "environment")
UNWANTED = ("pruned",)

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
        settings={**as_dict(config), "overrides": mask_words(overrides), "versions": read_versions()},
        part=part if sweep is None else name_part(run.folder, sweep.folder),
        is_named=any(override.startswith("name=") for override in overrides),
    )
    try:
        with Interruption() as interruption:
            with report_activity("asking the base policy"):
                base_policy = session.ask_base_policy(sweep)
            stop_reason = _loop(session, tracker, interruption, after_update)
        summary = _finish(session, base_policy, stop_reason)
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
                "perf/peak_memory_mb": measure_peak_memory(),
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
    objective = session.config.objective
    metrics[NET_SCORE] = metrics["eval/score"] - objective.kl_price * metrics["eval/kl"]
    row |= metrics
    row["perf/evaluate_seconds"] = time.perf_counter() - start
    samples = [{"update": update, **sample} for sample in samples]
    session.run.append_samples(samples)
    tracker.log_samples(samples)
    price = choose_kl_price(objective.metrics, objective.kl_price)
    session.last = Evaluation(update, metrics["eval/score"], metrics["eval/kl"], metrics[KL_BOUND], price)
    is_best = session.last.beats(session.best, objective.kl_budget)
    if is_best:
        session.best = session.last
    return is_best


def _finish(session: Session, base_policy: BasePolicy, stop_reason: str | None) -> dict[str, Any]:
    """Export the best policy, let it confirm, write the summary, and log the results."""
    run, best = session.run, session.best
    if reason := run.find_gap(session.trainer.update):
        log.warning("%s; the objective is computed from this file", reason)
    if stop_reason in (*RESUMABLE, *UNWANTED):
        summary, _ = summarize(session, stop_reason)
        run.write_summary(summary)
        if stop_reason in UNWANTED:
            checkpoints.remove(run.checkpoint)
        log.info("stopped after update %d (%s): %s", session.trainer.update, stop_reason, run.folder)
        return summary
    if best is not None and best.update != session.trainer.update:
        assert session.checkpoint is not None  # the best update always has a checkpoint
        checkpoints.read_state(session.checkpoint)  # raises if it is damaged
        checkpoints.load_weights(session.checkpoint / "best.safetensors", session.policy)
    summary, policy = summarize(session, stop_reason, confirm(session, base_policy))
    run.write_summary(summary, exported=_export(session, summary))
    if session.config.checkpoint.keep:
        checkpoints.remove_others(run.checkpoint, [session.checkpoint])
    else:
        checkpoints.remove(run.checkpoint)
    report_end(session.config, run, summary, [policy])
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


def _name_run(config: Config, overrides: Sequence[str]) -> str:
    """A short name from the changed keys, such as kl_coef=0.01,seed=0."""
    changed = [override.partition("=") for override in overrides if not override.startswith(("tracking", "seed="))]
    words = [f"{key.rpartition('.')[2]}={value}" for key, _, value in changed] or [redact(config.name)]
    return ",".join([*words, f"seed={config.seed}"])
