"""Runs of a W&B project, through W&B's own client: configs, summaries, whole histories, tables of samples."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from analysis.reading.wandb_rows import find_row_axis, order_as_logged, select_alive_rows
from analysis.reading.wandb_runs import SWEEP, WandbRun, make_run, read_logged_table, select_samples
from analysis.reading.wandb_sweeps import make_source
from analysis.records.runs import Samples, Source
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.process.wandb_environment import set_wandb_environment
from rlhf_sweeps.record import natural_key

GROUP = "group:"
TIMEOUT = 20  # seconds for one answer of the server
_FORMS = f"entity/project, entity/project/RUN_ID, or entity/project/{GROUP}NAME"
_THREADS = 8  # a run's history takes three requests, most of which is waiting
_MOST_FAILURES = 5  # runs that cannot be read before the project is given up; chosen
# While the client is set up. By default it tries for minutes to reach a server; a project is asked for whatever the
# mode says in which runs are logged; and its folders for files are not to be made in those of the record.
_ENVIRONMENT = {"WANDB_X_GRAPHQL_RETRY_MAX": "3", "WANDB_X_GRAPHQL_RETRY_WAIT_MIN_SECONDS": "1"}
_UNSET = ("WANDB_MODE", "WANDB_DISABLED")


@dataclass(frozen=True)
class ProjectPlace:
    """A project, and at most one of its run and its group."""

    entity: str
    project: str
    run: str = ""
    group: str = ""

    @property
    def path(self) -> str:
        """As W&B writes it."""
        return f"{self.entity}/{self.project}"


def parse_project(text: str) -> ProjectPlace:
    """entity/project, with a run's id or group:NAME; also the address of a project's or run's page.

    Raises:
        AnalysisError: if it is none of these.
    """
    address = urlsplit(text) if "://" in text else None
    parts = [part for part in (address.path if address else text).split("/") if part]
    if address:
        parts = [part for part in parts if part not in ("runs", "groups", "workspace", "table", "overview")]
        if "/groups/" in address.path and len(parts) > 2:
            parts = [*parts[:2], GROUP + parts[2]]
    elif text.count("/") != len(parts) - 1:
        parts = []
    if len(parts) not in (2, 3):
        raise AnalysisError(f"wandb:{text}: names no project (allowed: {_FORMS})")
    entity, project, detail = [*parts, ""][:3]
    if detail.startswith(GROUP) and detail != GROUP:
        return ProjectPlace(entity, project, group=detail.removeprefix(GROUP))
    if detail == GROUP:
        raise AnalysisError(f"wandb:{text}: names no group (allowed: {_FORMS})")
    return ProjectPlace(entity, project, run=detail)


def read_project(text: str) -> Source:
    """The runs of a project, one of its groups (a sweep), or one run.

    Runs of several groups are named `<group>/<name>` and have the config key `group`.

    Args:
        text: entity/project, entity/project/RUN_ID or entity/project/group:NAME.

    Raises:
        AnalysisError: if the server cannot be reached or wants another key, or there is no such project, group or run.
    """
    place = parse_project(text)
    with connect(f"wandb:{text}", place.entity) as api:
        runs = _find_runs(api, place)
        if not runs:
            raise AnalysisError(f"wandb:{text}: {_explain_absence(api, place)}")
        read = _read_runs(text, runs)
        own = [run.job_type == SWEEP for run in runs]
        sweeps = [
            (record, _download_trials_table(run)) for run, record, is_own in zip(runs, read, own, strict=True) if is_own
        ]
    records = [record for record, is_own in zip(read, own, strict=True) if not is_own]
    if not records:
        raise AnalysisError(f"wandb:{text}: holds a sweep's own run, but none of its trials")
    return make_source(place.group or place.run or place.project, records, sweeps)


@contextlib.contextmanager
def connect(address: str, entity: str) -> Iterator[Any]:
    """W&B's client with an API key that the server accepts; its errors become an AnalysisError of one line.

    Args:
        address: of the project, with which that line begins.
        entity: the owner of the projects; without it the client asks the server for the user's own.

    Raises:
        AnalysisError: if there is no key, or the server does not answer, or not as hoped.
    """
    import wandb

    with (
        tempfile.TemporaryDirectory() as folder,
        set_wandb_environment(_ENVIRONMENT, fixed={"WANDB_DIR": folder}, unset=_UNSET),
    ):
        server = wandb.setup().settings.base_url
        try:
            if not wandb.login(prompt=False, verify=False):
                raise AnalysisError(
                    f"{address}: no API key for {server}: run `wandb login` or set WANDB_API_KEY "
                    "(and WANDB_BASE_URL for a server of your own)"
                )
            yield wandb.Api({"entity": entity}, timeout=TIMEOUT)
        except AnalysisError:
            raise
        except Exception as error:  # the client raises of many kinds, not all its own
            raise AnalysisError(f"{address}: {_explain_error(error, server)}") from error


def _explain_error(error: Exception, server: str) -> str:
    """An error in one line, with what to do about it."""
    reason = " ".join(str(error).split()).removeprefix("input: ")
    lowered = reason.lower()
    if "could not find" in lowered or "not found" in lowered:
        return f"{server} has no such project or run, or not for this API key (allowed: {_FORMS})"
    if any(word in lowered for word in ("logged in", "unauthorized", "permission", "401", "403", "api key")):
        return (
            f"{server} does not accept the API key: run `wandb login --relogin` or set WANDB_API_KEY ({reason[:150]})"
        )
    return f"no usable answer from {server}: check the network and WANDB_BASE_URL ({reason[:200]})"


def _find_runs(api: Any, place: ProjectPlace) -> list[Any]:
    if place.run:
        return [api.run(f"{place.path}/{place.run}")]
    filters = {"group": place.group} if place.group else {}
    return list(api.runs(place.path, filters=filters, lazy=False))


def _explain_absence(api: Any, place: ProjectPlace) -> str:
    if not place.group:
        return "the project holds no run"
    groups = sorted({run.group for run in api.runs(place.path) if run.group}, key=natural_key)
    return f"no run is in group {place.group} (groups there: {', '.join(groups) or 'none'})"


def _read_runs(text: str, runs: Sequence[Any]) -> list[WandbRun]:
    """The runs, several at a time; one whose history cannot be read is without updates."""

    def read_with_history(run: Any) -> WandbRun:
        if len(failures) >= _MOST_FAILURES:
            return _make_wandb_run(run, [], failures[-1:])
        try:
            return _make_wandb_run(run, list(run.scan_history(use_cache=False)))  # a cache of a run that goes on is old
        except Exception as error:
            failures.append(f"its history could not be read: {' '.join(str(error).split())[:200]}")
            return _make_wandb_run(run, [], failures[-1:])

    failures: list[str] = []
    records = []
    with ThreadPoolExecutor(_THREADS) as threads, report_activity(f"{len(runs)} runs of W&B", len(runs)) as reading:
        for record in threads.map(read_with_history, runs):
            records.append(record)
            reading.done += 1
    if failures and (len(failures) >= _MOST_FAILURES or len(failures) == len(runs)):
        raise AnalysisError(f"wandb:{text}: the server stopped answering, run the same command again ({failures[-1]})")
    return records


def _make_wandb_run(run: Any, rows: Sequence[Mapping[str, Any]], problems: Sequence[str] = ()) -> WandbRun:
    rows = order_as_logged(rows, _is_rewound(run))
    tables = [
        path
        for row in select_alive_rows(rows, find_row_axis(rows), [])
        for value in row.values()
        if (path := _find_table_path(value))
    ]
    config = dict(run.config)
    record = make_run(
        config, rows, dict(run.summary_metrics), run.state, problems, partial(_download_samples, run, tables)
    )
    return WandbRun(run.id, run.name or "", run.group or "", record, settings=config)


def _is_rewound(run: Any) -> bool:
    own = run.rawconfig.get("_wandb")
    branch = own.get("branch_point") if isinstance(own, dict) else None
    return isinstance(branch, dict) and branch.get("run_id") == run.id


def _find_table_path(value: Any) -> str | None:
    """Where a table's file is, if the value of a row is a table."""
    is_table = isinstance(value, dict) and value.get("_type") == "table-file"
    return str(value.get("path")) if is_table else None


def _download_samples(run: Any, paths: Sequence[str]) -> Samples:
    return [row for path in paths for row in select_samples(_download_table(run, path))]


def _download_trials_table(run: Any) -> list[dict[str, Any]]:
    path = _find_table_path(run.summary_metrics.get("sweep/trials"))
    return _download_table(run, path) if path else []


def _download_table(run: Any, path: str) -> list[dict[str, Any]]:
    """The rows of a table's file; none where it cannot be fetched, as everything else is there without it."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            run.file(path).download(root=folder, replace=True).close()
        except Exception:
            return []
        return read_logged_table(Path(folder) / path)
