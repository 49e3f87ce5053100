"""W&B as a view of the record: one run is one W&B run, and training neither waits for W&B nor fails by it.

Nothing is read back from W&B, so nothing is lost without it. A continued run sends the updates since its checkpoint a
second time; the record holds each once. wandb is imported only by a run that needs it: that costs a second.
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

from rlhf_sweeps.process.deadline import within
from rlhf_sweeps.process.wandb_environment import wandb_environment
from rlhf_sweeps.record import command, hidden, masked_words, place
from rlhf_sweeps.tracking.names import hide_variables, is_off, names_of, tags_of
from rlhf_sweeps.wording import shown, told

if TYPE_CHECKING:
    import wandb

    from rlhf_sweeps.config.schema import TrackingConfig

_log = logging.getLogger("rlhf_sweeps")

# What W&B's table of runs shows of a whole curve; of any other metric it shows the last value.
_SUMMARIES = {
    "eval/score": "max",
    "eval/win_rate": "max",
    "eval/kl": "last",
    "objective/scores": "max,last",
    "objective/kl": "max,last",
}

# What a run's end says of it in the summary: a run that goes on has not ended, and may end otherwise.
_ENDING = (
    "status", "stop_reason", "cause", "message", "traceback", "objective", "best_update", "base_score", "updates",
    "episodes", "tokens", "seconds", "peak_memory_mb", "device",
)  # fmt: skip

# By default the file that `wandb sync` reads is 15 s behind, which a killed run would lose.
_ENVIRONMENT = {"WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "2"}

# A table is the one thing that W&B sends while the caller waits: 20 s each when the server is gone. Once is enough.
_PATIENCE = 10.0
# W&B's process takes an update in a millisecond. For how many seconds of silence it counts as frozen; how long after
# finish_timeout, which is its own to keep, it is no longer waited for.
_FROZEN = 30.0
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
    """Open this run's W&B run, or attach to it again where W&B has one of the same id.

    Args:
        run_dir: where W&B's own files go, unless WANDB_DIR says otherwise.
        name, group, job_type, part, is_named: as `names_of` takes them.
        settings: the whole config, nested, as plain values.
        axis: the metric that is the x axis of all others.
    """
    if is_off(config.mode):
        return Tracker(None)
    fields: dict[str, Any] = {"id": run_id, "config": settings}
    if not os.environ.get("WANDB_DIR"):
        fields["dir"] = str(run_dir)
    try:
        with _environment_kept():
            fields |= names_of(config.project, name, group, job_type, part, is_named)
            fields["tags"] = tags_of(config.tags) or None
            hide_variables()
            run = _open(config, fields)
            run.define_metric("*", step_metric=axis, step_sync=True)
            for metric, summary in _SUMMARIES.items():
                run.define_metric(metric, step_metric=axis, step_sync=True, summary=summary)
            _forget(run, _ENDING)  # by an earlier start, whose process may have been killed since
    except Exception as error:
        _log.warning("W&B is off, training goes on without it: %s", told(error))
        return Tracker(None)
    return Tracker(run, log_model=config.log_model, finish_timeout=config.finish_timeout)


def _open(config: TrackingConfig, fields: dict[str, Any]) -> wandb.Run:
    """Online where that is wanted and works, else offline with one line that says why."""
    import wandb

    def init(mode: Any) -> wandb.Run:
        return wandb.init(
            mode=mode,
            entity=config.entity,
            resume="allow",
            reinit="create_new",  # by default a second run of a process would be added to the first
            settings=wandb.Settings(
                console="off",
                init_timeout=config.init_timeout,
                finish_timeout=config.finish_timeout,
                finish_timeout_raises=True,
            ),
            **fields,
        )

    # A mode of ours wins over WANDB_MODE; for `auto` W&B itself reads that, and what `wandb offline` has set.
    wanted: Any = config.mode
    mode = wandb.setup(None if wanted == "auto" else wandb.Settings(mode=wanted)).settings.mode
    level, reason = logging.INFO, "as configured"
    if mode not in ("offline", "dryrun", "disabled"):
        try:
            if wandb.login(prompt=False, verify=False):
                return init(mode)
            level, reason = logging.INFO if config.mode == "auto" else logging.WARNING, "no API key, see `wandb login`"
        except Exception as error:
            level, reason = logging.WARNING, told(error)
            with contextlib.suppress(SystemExit):  # it passes on the exit code of W&B's process
                wandb.teardown()  # else that process still holds the id of the run that has failed
        mode = "offline"
    run = init(mode)
    if run.offline:
        _log.log(level, "W&B is offline (%s); to upload this run: %s", reason, _sync_command(run))
    return run


class _NotInTime(Exception):
    """W&B itself says that it has not taken everything in its time."""


class Tracker:
    """An open W&B run, or nothing: the first error turns it off with one warning and never reaches the caller."""

    def __init__(self, run: wandb.Run | None, *, log_model: bool = False, finish_timeout: float = 60.0) -> None:
        self._run = run
        self._log_model = log_model
        self._finish_timeout = finish_timeout
        self._is_on = run is not None
        self._takes_tables = True

    def log(self, metrics: Mapping[str, float | int]) -> None:
        """Send the metrics of one update, the x axis among them."""
        if (run := self._run) is None or not self._is_on:
            return
        try:
            within(_FROZEN, lambda: run.log(dict(metrics)))
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
        """Send a table; on an error, or a long wait, it is the last one.

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
            within(_FROZEN, lambda: run.log({**at, name: table}))
        except Exception as error:
            reason = told(error)
        else:
            if time.monotonic() - started < _PATIENCE:
                return
            reason = "the server does not answer"
        self._takes_tables = False
        _log.warning("W&B gets no more %s of this run: %s", name, reason)

    def finish(self, *, exit_code: int, summary: Mapping[str, Any], model_dir: Path | None = None) -> None:
        """Write the scalars of `summary` and close the W&B run, with the model as an artifact if the config says so.

        What is None is taken back, if an earlier start has written it. W&B has `finish_timeout` seconds for what it has
        not uploaded yet, the model included.
        """
        run, self._run = self._run, None
        if run is None:
            return
        try:
            within(self._finish_timeout + _GRACE, lambda: self._close(run, exit_code, summary, model_dir))
        except (_NotInTime, TimeoutError) as error:
            if not isinstance(error, _NotInTime):
                _end_process()  # else this one would wait for it at its own end
            _log.warning("W&B has not taken the whole run in time; to upload the rest: %s", _sync_command(run))
        except Exception as error:
            self._turn_off(error)
        else:
            if run.offline:
                _log.info("W&B was offline; to upload this run: %s", _sync_command(run))

    def _close(self, run: wandb.Run, exit_code: int, summary: Mapping[str, Any], model_dir: Path | None) -> None:
        try:
            if self._is_on:
                entries = hidden(summary)
                run.summary.update({name: x for name, x in entries.items() if isinstance(x, str | int | float)})
                _forget(run, [name for name, x in summary.items() if x is None])
                if self._log_model and model_dir is not None:
                    _log_artifact(run, model_dir)
        except Exception as error:
            self._turn_off(error)
        try:
            run.finish(exit_code=exit_code)
        except TimeoutError as error:
            raise _NotInTime from error

    def _turn_off(self, error: Exception) -> None:
        if self._is_on:
            self._is_on = False
            _log.warning("W&B is off for the rest of this run, training goes on: %s", told(error))


def _end_process() -> None:
    """Kill W&B's process, which does not answer; wandb has no public way to do so."""
    import wandb

    with contextlib.suppress(Exception):
        process = wandb.setup()._connection._proc._process  # type: ignore[union-attr]
        process.kill()
        process.wait(_GRACE)
    # Else wandb would want to hear from it at this process's end.
    with contextlib.suppress(Exception, SystemExit):
        within(_GRACE, wandb.teardown)


def _forget(run: wandb.Run, names: Iterable[str]) -> None:
    """Take entries of the summary back; W&B keeps them over all starts of a run."""
    for name in names:
        with contextlib.suppress(KeyError):  # a disabled run's summary is a plain dict
            del run.summary[name]  # type: ignore[no-untyped-call]


def _log_artifact(run: wandb.Run, model_dir: Path) -> None:
    import wandb

    artifact = wandb.Artifact(f"model-{run.id}", type="model")
    artifact.add_dir(str(model_dir), policy="immutable")  # by default every file is copied first
    run.log_artifact(artifact)


def _sync_command(run: wandb.Run) -> str:
    """What uploads the run: all its folders, for each start offline makes another one; done ones are skipped."""
    folder = Path(run.sync_dir)
    if not run.offline:
        return command("wandb", "sync", "--include-online", place(shown(folder)))
    files = folder.parent.glob(f"offline-run-*/run-{glob.escape(run.id)}.wandb")
    return command("wandb", "sync", *(place(shown(file.parent)) for file in sorted(files)))


@contextlib.contextmanager
def _environment_kept() -> Iterator[None]:
    """Set W&B's variables; meanwhile the program's arguments, which W&B records, are masked."""
    given, sys.argv = sys.argv, masked_words(sys.argv)
    try:
        with wandb_environment(_ENVIRONMENT):
            yield
    finally:
        sys.argv = given
