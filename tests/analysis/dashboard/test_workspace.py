"""The W&B dashboard: what it names, that it needs no network, and what is sent to a stand-in for the server.

What W&B's pages make of it is not shown here.
"""

import importlib.util
import json
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Compose
from helpers.wandb_read_stub import KEY, ReadStub, new_machine

from analysis.dashboard.sections import KL_NOW, SCORE_NOW, SWEPT
from analysis.dashboard.workspace import write_workspace
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.tracking import wandb_run as tracking

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("wandb_workspaces") is None, reason="the extra `workspaces` is not installed"
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    with new_machine(monkeypatch, tmp_path):
        yield monkeypatch


def spec(**options: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(write_workspace("entity/ppo", dry_run=True, **options))
    return content


def panels(content: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """By section."""
    return {section["name"]: section["panels"] for section in content["section"]["panelBankConfig"]["sections"]}


def texts(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        for inner in content:
            yield from texts(inner)
    elif isinstance(content, str):
        yield content


def documented() -> list[str]:
    """The metrics on the record's page, as patterns."""
    page = (ROOT / "rlhf_sweeps" / "record" / "README.md").read_text(encoding="utf-8")
    table = page.partition("| metric | definition |\n")[2].partition("\n\n")[0]
    names = [name for line in table.splitlines() for name in re.findall(r"`([^`]+)`", line.split("|")[1])]
    return [re.escape(name).replace("<name>", "[^/]+").replace(r"\.\.\.", ".+") for name in names]


@needs_package
def test_every_metric_is_one_that_the_page_of_the_record_explains() -> None:
    content = spec()
    configs = [panel["config"] for found in panels(content).values() for panel in found]
    drawn = {name for config in configs for name in config.get("metrics", [])}
    kept = {text.removeprefix("summary:") for text in texts(content) if text.startswith("summary:")}
    kept = {name.removesuffix(".last").removesuffix(".max") for name in kept}
    judges = {config["metricRegex"] for config in configs if "metricRegex" in config}
    known = documented()

    assert len(known) > 40
    assert {"objective/rlhf_reward", "eval/win_rate", "val/ratio_max"} <= drawn
    assert {"objective", "eval/kl", "eval/score"} == kept
    named = drawn | kept | {pattern.replace(".*", "length") for pattern in judges}
    unknown = [name for name in sorted(named) if not any(re.fullmatch(one, name) for one in known)]
    assert unknown == ["objective"]  # the one number of summary.json


@needs_package
def test_sections() -> None:
    found = panels(spec())

    assert list(found) == ["Curves", "Evaluation", "Health", "Sweep"]
    lines = [panel["config"] for panel in found["Curves"] if panel["viewType"] == "Run History Line Plot"]
    assert {config["xAxis"] for config in lines} == {"update"}
    assert [config["metrics"] for config in lines] == [
        ["objective/rlhf_reward"],
        ["objective/scores"],
        ["loss/policy_avg"],
        ["objective/entropy"],
        ["objective/kl"],
    ]
    (note,) = (panel["config"]["value"] for panel in found["Curves"] if panel["viewType"] == "Markdown Panel")
    assert "python -m analysis curves wandb:entity/ppo" in note
    assert [panel["viewType"] for panel in found["Sweep"]] == [
        "Parallel Coordinates Plot",
        "Parameter Importance",
        "Scatter Plot",
        "Bar Chart",
    ]


@needs_package
def test_runs_are_grouped_by_reward_model_and_filtered_by_sweep() -> None:
    (runs,) = spec(sweep="2026-11-25_search")["section"]["runSets"]
    (all_runs,) = spec()["section"]["runSets"]

    # W&B keeps a nested config as {"reward_model": {"value": {"name": ...}}}.
    assert runs["grouping"] == [{"section": "config", "name": "reward_model.value.name"}]
    filters = [(one["key"]["name"], one["op"], one["value"]) for one in runs["filters"]["filters"]]
    assert filters == [("jobType", "=", "train"), ("group", "=", "2026-11-25_search")]
    assert [one["key"]["name"] for one in all_runs["filters"]["filters"]] == ["jobType"]


@needs_package
def test_names_are_what_training_logs(compose_config: Compose) -> None:
    config = compose_config()
    for key, _ in SWEPT:
        group, name = key.split(".")
        assert hasattr(getattr(config, group), name)
    for key in (KL_NOW, SCORE_NOW):
        metric, _, kind = key.rpartition(".")
        assert kind in tracking._SUMMARIES[metric].split(",")


@needs_package
def test_the_same_spec_every_time_and_without_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was used")

    for name in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, name, forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)

    first = write_workspace("entity/ppo", sweep="s1", dry_run=True)

    assert first == write_workspace("entity/ppo", sweep="s1", dry_run=True)


@needs_package
def test_it_is_saved_where_there_is_a_server(machine: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with ReadStub({"entity/ppo": []}) as stub:
        machine.setenv("WANDB_BASE_URL", stub.url)
        machine.setenv("WANDB_API_KEY", KEY)
        text = write_workspace("entity/ppo", sweep="s1", name="My dashboard")

    (view,) = stub.views
    number = view["name"].removeprefix("nw-").removesuffix("-v")
    assert text == f"{stub.url}/entity/ppo?nw={number}"
    assert (view["entityName"], view["projectName"], view["displayName"]) == ("entity", "ppo", "My dashboard")
    sent = panels(json.loads(view["spec"]))
    assert {name: len(found) for name, found in sent.items()} == {
        name: len(found) for name, found in panels(spec(sweep="s1")).items()
    }
    assert capsys.readouterr().out == ""


@needs_package
def test_without_a_key_it_is_printed_and_stderr_says_why(
    machine: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = write_workspace("entity/ppo", sweep="s1")

    assert text == write_workspace("entity/ppo", sweep="s1", dry_run=True)
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("not saved: entity/ppo: no API key for ")
    assert error.endswith("; the dashboard as JSON follows\n")
    assert error.count("\n") == 1


def test_without_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)

    with pytest.raises(AnalysisError, match=r"needs wandb_workspaces, .* \(python -m pip install wandb-workspaces\)$"):
        write_workspace("entity/ppo", dry_run=True)


@needs_package
@pytest.mark.parametrize(
    ("project", "options", "message"),
    [
        ("ppo", {}, "ppo: names no project (allowed: entity/project)"),
        ("wandb:ppo", {}, "ppo: names no project (allowed: entity/project)"),
        ("entity/ppo/group:s1", {}, "must be entity/project; for one sweep add --sweep NAME"),
        ("entity/ppo", {"sweep": "a=b"}, "--sweep a=b: W&B's filters cannot hold this name"),
        ("entity/ppo", {"sweep": "it's"}, "--sweep it's: W&B's filters cannot hold this name"),
        ("entity/ppo", {"name": "fine 🎉"}, "--name fine 🎉: W&B takes no 🎉 in a title"),
    ],
)
def test_what_cannot_be_used_is_refused(project: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(AnalysisError, match=re.escape(message)):
        write_workspace(project, dry_run=True, **options)


@needs_package
def test_a_project_may_be_given_as_the_other_commands_take_it() -> None:
    assert write_workspace("wandb:entity/ppo", dry_run=True) == write_workspace("entity/ppo", dry_run=True)


@needs_package
def test_a_sweep_whose_name_is_no_title_gets_one() -> None:
    assert json.loads(write_workspace("entity/ppo", sweep="a+b", dry_run=True))
