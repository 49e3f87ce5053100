"""W&B as a view of the record: a run has one W&B run, and training neither waits for W&B nor fails because of it.

Nothing is read back from W&B, so nothing is lost without it. A continued run sends the updates since its checkpoint a
second time; the record holds each of them once. wandb is imported only by a run that needs it, since the import takes a
second.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf_sweeps.process.activity import format_seconds, report_activity
from rlhf_sweeps.process.deadline import run_within
from rlhf_sweeps.process.wandb_environment import set_wandb_environment
from rlhf_sweeps.record import hide_in_summary, mask_words, write_command, write_folder
from rlhf_sweeps.tracking.names import choose_tags, hide_variables, is_off, make_names
from rlhf_sweeps.wording import describe_error, display_path

if TYPE_CHECKING:
    import wandb

    from rlhf_sweeps.config.schema import TrackingConfig

_log = logging.getLogger("rlhf_sweeps")

# The values of a curve that W&B's table of runs shows; for any other metric it shows the last value.
_SUMMARIES = {
    "eval/score": "max,last",
    "eval/win_rate": "max",
    "eval/kl": "last",
    "objective/scores": "max,last",
    "objective/kl": "max,last",
}

# The entries of the summary that a run's end writes: a run that is continued has not ended, and may end differently.
_ENDING = (
    "status", "stop_reason", "cause", "message", "traceback", "objective", "best_update", "base_score", "updates",
    "episodes", "tokens", "seconds", "peak_memory_mb", "device", "confirmed_score", "confirmed_kl",
)  # fmt: skip
# The entries that say what came of the confirming prompts -> the metrics in the summary's `confirmed`.
_CONFIRMED = {"confirmed_score": "eval/score", "confirmed_kl": "eval/kl"}

# By default the file that `wandb sync` reads is 15 s behind; a killed run would lose them.
_ENVIRONMENT = {"WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "2"}

# The caller waits only while W&B sends a table: 20 s each if the server is gone. After one such wait no table is sent.
# Chosen, in seconds.
_TABLE_PATIENCE = 10.0
# W&B's process takes an update in a millisecond. It counts as frozen after _FROZEN_AFTER seconds without an answer; the
# run's end waits _GRACE seconds longer than finish_timeout, which W&B itself should keep. Both are chosen.
_FROZEN_AFTER = 30.0
_GRACE = 5.0


def start(
    config: TrackingConfig,
    *,
    run_dir: Path,
    run_id: str,
    name: str,
    group: str | None,
    job_type: str,
    settings: dict[str, Any],
    part: str | None = None,
    is_named: bool = False,
    axis: str = "update",
) -> Tracker:
    """Open this run's W&B run, or continue it if W&B has a run with this id.

    Args:
        run_dir: the folder for W&B's own files, unless WANDB_DIR names another.
        name, group, job_type, part, is_named: see `make_names`.
        settings: the whole config, nested, as plain values.
        axis: the metric that is the x axis of all others.
    """
    if is_off(config.mode):
        return Tracker(None)
    fields: dict[str, Any] = {"id": run_id, "config": settings}
    if not os.environ.get("WANDB_DIR"):
        fields["dir"] = str(run_dir)
    try:
        with report_activity("connecting to W&B"), _set_environment():
            fields |= make_names(config.project, name, group, job_type, part, is_named)
            fields["tags"] = choose_tags(config.tags) or None
            hide_variables()
            run = _open(config, fields)
            run.define_metric("*", step_metric=axis, step_sync=True)
            for metric, summary in _SUMMARIES.items():
                run.define_metric(metric, step_metric=axis, step_sync=True, summary=summary)
            _remove_entries(run, _ENDING)  # which an earlier start may have written
    except Exception as error:
        _log.warning("W&B is off, training goes on without it: %s", describe_error(error))
        return Tracker(None)
    return Tracker(run, log_model=config.log_model, finish_timeout=config.finish_timeout)


def _open(config: TrackingConfig, fields: dict[str, Any]) -> wandb.Run:
    """Open a W&B run online if that is wanted and works, else offline with one line that says why."""
    import wandb

    def init(mode: Any) -> wandb.Run:
        return wandb.init(
            mode=mode,
            entity=config.entity,
            resume="allow",
            reinit="create_new",  # by default a process's second run would be added to its first
            settings=wandb.Settings(
                console="off",
                init_timeout=config.init_timeout,
                finish_timeout=config.finish_timeout,
                finish_timeout_raises=True,
            ),
            **fields,
        )

    # A mode in the config has precedence over WANDB_MODE; for `auto` W&B reads that, and the setting of `wandb
    # offline`.
    wanted: Any = config.mode
    mode = wandb.setup(None if wanted == "auto" else wandb.Settings(mode=wanted)).settings.mode
    level, reason = logging.INFO, "as configured"
    if mode not in ("offline", "dryrun", "disabled"):
        try:
            if wandb.login(prompt=False, verify=False):
                return init(mode)
            level, reason = logging.INFO if config.mode == "auto" else logging.WARNING, "no API key, see `wandb login`"
        except Exception as error:
            level, reason = logging.WARNING, describe_error(error)
            with contextlib.suppress(SystemExit):  # which passes on the exit code of W&B's process
                wandb.teardown()  # otherwise that process would still hold the id of the failed run
        mode = "offline"
    run = init(mode)
    if run.offline:
        _log.log(level, "W&B is offline (%s); to upload this run: %s", reason, _sync_command(run))
    return run


class _UploadTimeout(Exception):
    """W&B itself reports that it could not upload everything in time."""


class Tracker:
    """An open W&B run, or none. The first error turns it off with one warning and never reaches the caller."""

    def __init__(self, run: wandb.Run | None, *, log_model: bool = False, finish_timeout: float = 60.0) -> None:
        self._run = run
        self._log_model = log_model
        self._finish_timeout = finish_timeout
        self._is_on = run is not None
        self._takes_tables = True

    def log(self, metrics: Mapping[str, float | int]) -> None:
        """Send the metrics of one update, including the x axis."""
        if (run := self._run) is None or not self._is_on:
            return
        try:
            with report_activity("sending an update to W&B"):
                run_within(_FROZEN_AFTER, lambda: run.log(dict(metrics)))
        except Exception as error:
            self._turn_off(error)

    def log_samples(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Send the samples of one evaluation as a table."""
        if rows:
            columns = list(dict.fromkeys(column for row in rows for column in row))
            data = [[row.get(column) for column in columns] for row in rows]
            self.log_table("samples", columns, data, at={"update": rows[-1]["update"]})

    def log_table(
        self, name: str, columns: Sequence[str], data: Sequence[Sequence[Any]], at: Mapping[str, float | int]
    ) -> None:
        """Send a table; after an error or a long wait, later tables are not sent.

        Args:
            data: (rows, columns)
            at: the x axis and its value.
        """
        if (run := self._run) is None or not self._is_on or not self._takes_tables:
            return
        started = time.monotonic()
        try:
            import wandb

            table = wandb.Table(columns=list(columns), data=[list(row) for row in data], allow_mixed_types=True)
            with report_activity(f"sending {name} to W&B"):
                run_within(_FROZEN_AFTER, lambda: run.log({**at, name: table}))
        except Exception as error:
            reason = describe_error(error)
        else:
            if time.monotonic() - started < _TABLE_PATIENCE:
                return
            reason = "the server does not answer"
        self._takes_tables = False
        _log.warning("no more %s of this run are sent to W&B: %s", name, reason)

    def finish(self, *, exit_code: int, summary: Mapping[str, Any], model_dir: Path | None = None) -> None:
        """Write the scalars of `summary` and close the W&B run, with the model as an artifact if the config says so.

        Entries that are None are removed, since an earlier start may have written them. W&B has `finish_timeout`
        seconds to upload the remaining data, including the model.
        """
        run, self._run = self._run, None
        if run is None:
            return
        try:
            patience = self._finish_timeout + _GRACE
            with report_activity(f"uploading to W&B, which takes {format_seconds(patience)} at most"):
                run_within(patience, lambda: self._close(run, exit_code, summary, model_dir))
        except (_UploadTimeout, TimeoutError) as error:
            if not isinstance(error, _UploadTimeout):
                _end_process()  # otherwise this process would wait for it at its end
            _log.warning("W&B has not taken the whole run in time; to upload the rest: %s", _sync_command(run))
        except Exception as error:
            self._turn_off(error)
        else:
            if run.offline:
                _log.info("W&B was offline; to upload this run: %s", _sync_command(run))

    def _close(self, run: wandb.Run, exit_code: int, summary: Mapping[str, Any], model_dir: Path | None) -> None:
        try:
            if self._is_on:
                entries = hide_in_summary(summary)
                confirmed = entries.get("confirmed") or {}
                entries |= {name: confirmed.get(metric) for name, metric in _CONFIRMED.items()}
                run.summary.update({name: x for name, x in entries.items() if isinstance(x, str | int | float)})
                _remove_entries(run, [name for name, x in summary.items() if x is None])
                if self._log_model and model_dir is not None:
                    _log_artifact(run, model_dir)
        except Exception as error:
            self._turn_off(error)
        try:
            run.finish(exit_code=exit_code)
        except TimeoutError as error:
            raise _UploadTimeout from error

    def _turn_off(self, error: Exception) -> None:
        if self._is_on:
            self._is_on = False
            _log.warning("W&B is off for the rest of this run, training goes on: %s", describe_error(error))


def _end_process() -> None:
    """Kill W&B's process, which does not answer; wandb has no public function for this."""
    import wandb

    with contextlib.suppress(Exception):
        process = wandb.setup()._connection._proc._process  # type: ignore[union-attr]
        process.kill()
        process.wait(_GRACE)
    # Otherwise wandb would wait for an answer from it at this process's end.
    with contextlib.suppress(Exception, SystemExit):
        run_within(_GRACE, wandb.teardown)


def _remove_entries(run: wandb.Run, names: Iterable[str]) -> None:
    """Remove entries of the summary, which W&B keeps over all starts of a run."""
    for name in names:
        with contextlib.suppress(KeyError):  # a disabled run's summary is a plain dict
            del run.summary[name]  # type: ignore[no-untyped-call]


def _log_artifact(run: wandb.Run, model_dir: Path) -> None:
    import wandb

    artifact = wandb.Artifact(f"model-{run.id}", type="model")
    artifact.add_dir(str(model_dir), policy="immutable")  # by default W&B first copies every file
    run.log_artifact(artifact)


def _sync_command(run: wandb.Run) -> str:
    """The command that uploads all folders of the run: each offline start makes one; W&B skips uploaded ones."""
    folder = Path(run.sync_dir)
    if not run.offline:
        return write_command("wandb", "sync", "--include-online", write_folder(display_path(folder)))
    files = folder.parent.glob(f"offline-run-*/run-{glob.escape(run.id)}.wandb")
    return write_command("wandb", "sync", *(write_folder(display_path(file.parent)) for file in sorted(files)))


@contextlib.contextmanager
def _set_environment() -> Iterator[None]:
    """Set W&B's variables for a while; meanwhile the program's arguments, which W&B records, are masked."""
    given, sys.argv = sys.argv, mask_words(sys.argv)
    try:
        with set_wandb_environment(_ENVIRONMENT):
            yield
    finally:
        sys.argv = given
