"""A stand-in for the W&B server, enough for the real client to read runs: keys, projects, runs, histories, files.

Answers what wandb 0.31 asks for. It knows no permissions and of all filters only one by group.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

KEY = "0123456789" * 4
_OPERATION = re.compile(r"(?:query|mutation)\s+(\w+)")


@dataclass
class StoredRun:
    """What the server has of one run.

    Attributes:
        exported: how many of the rows lie in a parquet file, as the server moves them there after a while.
    """

    id: str
    name: str
    config: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    group: str | None = None
    job_type: str = "train"
    state: str = "finished"
    summary: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    exported: int = 0

    def node(self) -> dict[str, Any]:
        """As GraphQL gives it."""
        return {
            "id": f"storage-{self.id}",
            "projectId": "7",
            "name": self.id,
            "displayName": self.name,
            "config": json.dumps({key: {"desc": None, "value": value} for key, value in self.config.items()}),
            "summaryMetrics": json.dumps(self.summary),
            "systemMetrics": "{}",
            "state": self.state,
            "group": self.group,
            "jobType": self.job_type,
            "historyLineCount": len(self.rows),
            "historyKeys": self.history_keys(),
            "tags": [],
            "user": {"name": "user", "username": "user"},
            **dict.fromkeys(("sweepName", "commit", "description", "notes", "createdAt", "heartbeatAt")),
            "readOnly": False,
        }

    def history_keys(self) -> dict[str, Any] | None:
        """None for a run that has logged nothing."""
        return {"lastStep": max(row["_step"] for row in self.rows)} if self.rows else None


class ReadStub:
    """The server; a context manager that listens on a free local port.

    Attributes:
        requests: every GraphQL operation with its variables.
        page: the most runs that one answer holds.
        fails: (operation, variables) -> HTTP status and body, where a request is to fail.
    """

    def __init__(self, projects: Mapping[str, Sequence[StoredRun]], page: int = 50) -> None:
        self.projects = projects
        self.page = page
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.views: list[dict[str, Any]] = []
        self.fails: Callable[[str, dict[str, Any]], tuple[int, str] | None] = lambda operation, variables: None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> ReadStub:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def asked(self, operation: str) -> list[dict[str, Any]]:
        """The variables of all requests of one operation."""
        return [variables for name, variables in self.requests if name == operation]

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data for one operation."""
        if operation == "Viewer":
            return {"viewer": {"id": "user", "username": "user", "entity": "user", "flags": "{}", "teams": None}}
        if operation == "UpsertView2":
            self.views.append(variables)
            return {"upsertView": {"view": {"id": "view", "name": variables["name"]}, "inserted": True}}
        runs = self.projects.get(f"{variables['entity']}/{variables['project']}")
        if runs is None:
            return {"project": None}
        if operation == "Runs":
            return {"project": self._runs(runs, variables)}
        found = [
            run for run in runs if run.id == (variables.get("name") or variables.get("run") or variables["runName"])
        ]
        return {"project": {"internalId": "7", "run": self._of_run(operation, found[0], variables) if found else None}}

    def _runs(self, runs: Sequence[StoredRun], variables: dict[str, Any]) -> dict[str, Any]:
        group = json.loads(variables["filters"] or "{}").get("group")
        kept = [run for run in runs if group in (None, run.group)]
        start = int(variables["cursor"] or 0)
        end = start + min(self.page, variables["perPage"])
        edges = [{"node": run.node(), "cursor": str(start + n)} for n, run in enumerate(kept[start:end], start=1)]
        info = {"endCursor": str(end), "hasNextPage": end < len(kept)}
        return {"internalId": "7", "runCount": len(kept), "readOnly": False, "runs": {"edges": edges, "pageInfo": info}}

    def _of_run(self, operation: str, run: StoredRun, variables: dict[str, Any]) -> dict[str, Any]:
        if operation == "Run":
            return run.node()
        if operation == "RunHistoryKeys":
            return {"historyKeys": run.history_keys()}
        if operation == "RunParquetHistory":
            urls = [f"{self.url}/parquet/{run.id}.parquet"] if run.exported else []
            live = [{"_step": row["_step"]} for row in run.rows[run.exported :]]
            return {"parquetHistory": {"parquetUrls": urls, "liveData": live}}
        if operation == "HistoryPage":
            span = range(variables["minStep"], variables["maxStep"])
            rows = [json.dumps(row) for row in run.rows[run.exported :] if row["_step"] in span]
            return {"history": rows[: variables["pageSize"]]}
        if operation == "RunFiles":
            names = [name for name in run.files if name in variables["fileNames"]]
            edges = [{"node": self._file(run, name), "cursor": name} for name in names]
            return {"fileCount": len(names), "files": {"edges": edges, "pageInfo": {"hasNextPage": False}}}
        raise NotImplementedError(operation)

    def _file(self, run: StoredRun, name: str) -> dict[str, Any]:
        url = f"{self.url}/files/{run.id}/{name}"
        return {"id": name, "name": name, "url": url, "directUrl": url, "sizeBytes": str(len(run.files[name]))}

    def content(self, path: str) -> bytes | None:
        """Of a file: /files/RUN/NAME or /parquet/RUN.parquet."""
        runs = {run.id: run for stored in self.projects.values() for run in stored}
        kind, _, rest = path.lstrip("/").partition("/")
        if kind == "parquet":
            return _parquet(runs[rest.removesuffix(".parquet")])
        run, _, name = rest.partition("/")
        return runs[run].files.get(name) if kind == "files" and run in runs else None


@contextmanager
def new_machine(patch: pytest.MonkeyPatch, home: Path) -> Iterator[None]:
    """A machine where nobody has used W&B, and whose client gives up early."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        patch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        patch.setenv(name, str(home))
    patch.setenv("NETRC", str(home / ".netrc"))
    patch.setenv("WANDB_CACHE_DIR", str(home / "cache"))
    patch.setenv("WANDB_X_GRAPHQL_RETRY_MAX", "1")
    patch.setenv("WANDB_X_GRAPHQL_RETRY_WAIT_MIN_SECONDS", "1")
    _forget()
    yield
    _forget()


def _forget() -> None:
    """What the client has read from the environment."""
    if (wandb := sys.modules.get("wandb")) is not None:
        wandb.teardown()


def _parquet(run: StoredRun) -> bytes:
    import io

    import pyarrow
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in run.rows[: run.exported]]), file)
    return file.getvalue()


def _handler(stub: ReadStub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path != "/graphql":
                self._reply(404, b"{}")
                return
            request = json.loads(body)
            found = _OPERATION.search(request["query"])
            operation, variables = found[1] if found else "", request.get("variables") or {}
            stub.requests.append((operation, variables))
            if failure := stub.fails(operation, variables):
                self._reply(failure[0], failure[1].encode())
                return
            try:
                reply = {"data": stub.answer(operation, variables)}
            except (NotImplementedError, KeyError) as error:
                reply = {"errors": [{"message": f"the stub does not know {operation} {error}"}]}
            self._reply(200, json.dumps(reply).encode())

        def do_GET(self) -> None:
            content = stub.content(self.path)
            if content is None:
                self._reply(404, b"{}")
                return
            first, last = 0, len(content) - 1
            if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                first, last = int(wanted[1]), min(int(wanted[2] or last), last)
            self._reply(206 if wanted else 200, content[first : last + 1], f"bytes {first}-{last}/{len(content)}")

        def do_HEAD(self) -> None:
            self.do_GET()

        def _reply(self, status: int, content: bytes, span: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if status == 206:
                self.send_header("Content-Range", span)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
