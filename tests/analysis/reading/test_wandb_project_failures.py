"""A W&B project that cannot be read, or not in full: one line that says why."""

from collections.abc import Mapping
from typing import Any

import pytest
from helpers.stored_projects import Serve, rows, three_runs
from helpers.stored_projects import machine as machine
from helpers.stored_projects import serve as serve
from helpers.wandb_read_stub import KEY, StoredRun

from analysis.reading.wandb_projects import connect, read_project
from analysis.wording.errors import AnalysisError


def failure(text: str = "entity/ppo") -> str:
    with pytest.raises(AnalysisError) as raised:
        read_project(text)
    message = str(raised.value)
    assert message.startswith(f"wandb:{text}: ")
    assert "\n" not in message
    return message


def test_no_key(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")

    message = failure()

    assert "no API key for http://127.0.0.1:9: run `wandb login` or set WANDB_API_KEY (and WANDB_BASE_URL" in message


def test_a_key_that_is_none(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("WANDB_API_KEY", "short")

    assert "does not accept the API key: run `wandb login --relogin` or set WANDB_API_KEY" in failure()


def test_a_key_that_the_server_does_not_know(serve: Serve) -> None:
    serve().fails = lambda operation, variables: (401, '{"errors": ["user is not logged in"]}')

    assert "does not accept the API key: run `wandb login --relogin` or set WANDB_API_KEY" in failure()


def test_a_server_that_cannot_be_reached(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    machine.setenv("WANDB_API_KEY", KEY)

    message = failure()

    assert "no usable answer from http://127.0.0.1:9: check the network and WANDB_BASE_URL" in message
    assert "connection refused" in message


@pytest.mark.parametrize("text", ["entity/other", "entity/ppo/nothing"])
def test_no_such_project_or_run(serve: Serve, text: str) -> None:
    stub = serve(*three_runs())

    assert f"{stub.url} has no such project or run, or not for this API key (allowed: entity/project" in failure(text)


def test_an_empty_project(serve: Serve) -> None:
    serve()

    assert failure().endswith("the project holds no run")


def test_no_such_group(serve: Serve) -> None:
    serve(*three_runs())

    assert failure("entity/ppo/group:s2").endswith("no run is in group s2 (groups there: s1)")


def test_a_sweep_without_trials(serve: Serve) -> None:
    serve(StoredRun("ss", "s1", {}, rows(1), "s1", job_type="sweep"))

    assert failure().endswith("holds a sweep's own run, but none of its trials")


def test_a_history_that_cannot_be_read_is_a_problem_of_its_run(serve: Serve) -> None:
    def fails(operation: str, variables: Mapping[str, Any]) -> tuple[int, str] | None:
        return (400, "no") if operation == "HistoryPage" and variables["run"] == "bb" else None

    serve(*three_runs()).fails = fails

    long, broken, _ = read_project("entity/ppo").runs

    assert (len(long.updates), long.problems) == (2500, ())
    assert (len(broken.updates), broken.objectives) == (0, [1.0])
    assert broken.problems[0].startswith("its history could not be read: ")


def test_a_server_that_stops_answering(serve: Serve) -> None:
    serve(*three_runs()[:2]).fails = lambda operation, variables: (400, "no") if operation == "HistoryPage" else None

    assert "the server stopped answering, run the same command again (" in failure()


def test_errors_of_the_client_come_out_as_ours(serve: Serve) -> None:
    stub = serve()

    line = rf"^here: no usable answer from {stub.url}: .* \(one two\)$"
    with pytest.raises(AnalysisError, match=line), connect("here", "entity"):
        raise ValueError("one\ntwo")
