"""A W&B project as the stand-in for the server stores it: its runs, and a machine that is logged in."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers.wandb_read_stub import KEY, ReadStub, StoredRun, new_machine

Serve = Callable[..., ReadStub]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    with new_machine(monkeypatch, tmp_path):
        yield monkeypatch


@pytest.fixture
def serve(machine: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a server that has some runs in entity/ppo, and logs in there."""
    started: list[ReadStub] = []

    def start(*runs: StoredRun, **options: Any) -> ReadStub:
        stub = ReadStub({"entity/ppo": runs}, **options).__enter__()
        started.append(stub)
        machine.setenv("WANDB_BASE_URL", stub.url)
        machine.setenv("WANDB_API_KEY", KEY)
        return stub

    yield start
    for stub in started:
        stub.__exit__(None, None, None)


def rows(number: int, **more: float) -> list[dict[str, Any]]:
    common = {"_runtime": 1.0, "_timestamp": 1.0}
    return [{"_step": step, "update": step + 1, "objective/kl": 0.5 * step, **common, **more} for step in range(number)]


def config(kl_coef: float, seed: int = 0) -> dict[str, Any]:
    return {
        "seed": seed,
        "ppo": {"kl_coef": kl_coef},
        "objective": {"metrics": ["eval/score"], "directions": ["maximize"]},
        "overrides": [f"ppo.kl_coef={kl_coef}"],
        "_wandb": {"cli_version": "0.31.0"},
    }


def table(columns: Sequence[str], *data: Sequence[Any]) -> bytes:
    return json.dumps({"columns": columns, "data": data}).encode()


def table_file(path: str) -> dict[str, Any]:
    return {"_type": "table-file", "path": path, "nrows": 1, "ncols": 4}


def summary(objective: float, **more: Any) -> dict[str, Any]:
    return {"status": "complete", "objective": objective, "objective/kl": {"max": 9.0}, "_step": 3, **more}


def three_runs() -> list[StoredRun]:
    logged = rows(6)
    logged[4]["samples"] = table_file("media/table/samples_4.table.json")
    content = table(["update", "prompt", "response", "score"], [5, "Hi", "Hello", 1.5])
    return [
        StoredRun("aa", "kl_coef=0.1", config(0.1), rows(2500), "s1", summary=summary(1.5)),
        StoredRun(
            "bb",
            "kl_coef=0.2",
            config(0.2),
            logged,
            "s1",
            summary=summary(1.0, status="stopped", stop_reason="pruned"),
            files={"media/table/samples_4.table.json": content},
        ),
        StoredRun("cc", "kl_coef=0.3", config(0.3), [], "s1", state="crashed"),
    ]
