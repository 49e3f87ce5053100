"""A stand-in for the W&B server, enough for the real client in online mode and for `wandb sync`.

It shows what the client sends, not what W&B's pages make of it. It keeps runs, rows and files, and refuses artifacts.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass
class Tracking:
    """What our tracker reads of the config."""

    mode: str = "online"
    project: str | None = "ppo"
    entity: str | None = None
    tags: list[str] = field(default_factory=list)
    log_model: bool = False
    init_timeout: float = 20.0
    finish_timeout: float = 20.0


@dataclass
class StubRun:
    """What the server knows of one run."""

    upserts: list[dict[str, Any]] = field(default_factory=list)
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)  # by line number, as the real server keeps them
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        return [self.rows[line] for line in sorted(self.rows)]

    @property
    def config(self) -> dict[str, Any]:
        """The last config sent, without the client's own entry and out of its {"value": ...} boxes."""
        boxed = json.loads(next(u["config"] for u in reversed(self.upserts) if u.get("config")))
        return {key: box["value"] for key, box in boxed.items() if key != "_wandb"}


class WandbStub:
    """The server; a context manager that listens on a free local port."""

    def __init__(self) -> None:
        self.runs: dict[str, StubRun] = {}
        self.requests: list[tuple[str, dict[str, Any]]] = []  # every GraphQL operation with its variables
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._running = False

    def __enter__(self) -> WandbStub:
        self._thread.start()
        self._running = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop listening: from here on, connections are refused, as with a server that has died."""
        if self._running:
            self._running = False
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def run(self, run_id: str) -> StubRun:
        return self.runs.setdefault(run_id, StubRun())

    def graphql(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Answer the operations that a run needs and the one that checks a key; any other is an error."""
        self.requests.append((operation, variables))
        if operation == "Viewer":
            return {"viewer": {"id": "user", "username": "user", "entity": "entity", "flags": "{}"}}
        if operation == "RunResumeStatus":
            return {"model": self._resume_status(variables)}
        if operation == "UpsertBucket":
            run_id = variables["name"]
            known = run_id in self.runs
            self.run(run_id).upserts.append(variables)
            bucket = {"id": run_id, "name": run_id, "displayName": variables.get("displayName"), "project": _PROJECT}
            return {"upsertBucket": {"bucket": bucket, "inserted": not known}}
        if operation == "CreateRunFiles":
            run_id = variables["run"]
            files = [{"name": name, "uploadUrl": f"{self.url}/put/{run_id}/{name}"} for name in variables["files"]]
            return {"createRunFiles": {"runID": run_id, "uploadHeaders": [], "files": files}}
        raise NotImplementedError(operation)

    def _resume_status(self, variables: dict[str, Any]) -> dict[str, Any]:
        model = {**_PROJECT, "bucket": None}
        run = self.runs.get(variables["name"])
        if run is not None:
            model["bucket"] = {
                "id": variables["name"],
                "name": variables["name"],
                "displayName": run.upserts[0].get("displayName"),
                "summaryMetrics": json.dumps(run.summary),
                "config": run.upserts[-1].get("config") or "{}",
                "tags": run.upserts[0].get("tags") or [],
                "historyLineCount": len(run.rows),
                "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
                "eventsLineCount": 0,
                "eventsTail": "[]",
                "logLineCount": 0,
                "wandbConfig": json.dumps({"t": 1}),
            }
        return model

    def file_stream(self, run_id: str, body: dict[str, Any]) -> None:
        run = self.run(run_id)
        files = body.get("files") or {}
        if history := files.get("wandb-history.jsonl"):
            for line, content in enumerate(history["content"], start=history["offset"]):
                run.rows[line] = json.loads(content)
        if summary := files.get("wandb-summary.json"):
            run.summary = json.loads(summary["content"][-1])
        if body.get("complete"):
            run.exit_code = body.get("exitcode")


_PROJECT = {"id": "project", "name": "project", "entity": {"id": "entity", "name": "entity"}}


def _handler(stub: WandbStub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self._body()
            if self.path == "/graphql":
                request = json.loads(body)
                try:
                    reply: dict[str, Any] = {
                        "data": stub.graphql(request.get("operationName", ""), request.get("variables") or {})
                    }
                except NotImplementedError as error:
                    reply = {"errors": [{"message": f"the stub does not know {error}"}]}
                self._reply(200, reply)
            elif self.path.endswith("/file_stream"):
                stub.file_stream(self.path.split("/")[4], json.loads(body))
                self._reply(200, {})
            else:
                self._reply(404, {})

        def do_PUT(self) -> None:
            _, _, run_id, name = self.path.split("/", 3)
            stub.run(run_id).files[name] = self._body()
            self._reply(200, {})

        def do_GET(self) -> None:
            self._reply(404, {})

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _reply(self, status: int, content: dict[str, Any]) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
