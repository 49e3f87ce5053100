"""How runs are called in W&B: its own variables count where the config does not say otherwise."""

from pathlib import Path
from typing import Any

import pytest
from helpers.wandb_stub import Tracking, WandbStub
from hydra import compose, initialize_config_dir

from rlhf_sweeps.cli import conf_dir, register
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.reading import from_hydra
from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.tracking import wandb_run as tracking
from rlhf_sweeps.tracking.names import is_off, make_names, name_part


def sent(server: WandbStub, folder: Path, **changes: Any) -> dict[str, Any]:
    """What W&B's server is told of a run."""
    given: dict[str, Any] = {"config": Tracking(project=None), "name": "lr=1e-5", "group": "s", "job_type": "train"}
    given |= {"part": "3", **changes}
    tracker = tracking.start(given.pop("config"), run_dir=folder, run_id="abc", settings={}, **given)
    tracker.finish(exit_code=0, summary={})
    return server.runs["abc"].upserts[0]


def test_variables_name_what_the_config_leaves_open(
    server: WandbStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="rlhf_sweeps")
    variables = {"PROJECT": "p", "ENTITY": "e", "NAME": "n", "TAGS": "a,b", "NOTES": "of mine", "RUN_GROUP": "g",
                 "JOB_TYPE": "j", "RUN_ID": "theirs", "RESUME": "must"}  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    found = sent(server, tmp_path)
    keys = ("project", "entity", "displayName", "tags", "notes", "groupName", "jobType")
    assert [found[key] for key in keys] == ["p", "e", "n-3", ["a", "b"], "of mine", "g", "j"]
    assert set(server.runs) == {"abc"}
    assert "WANDB_RUN_ID, WANDB_RESUME: ignored" in caplog.text


def test_what_the_config_says_wins(server: WandbStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PROJECT": "p", "ENTITY": "e", "NAME": "n", "TAGS": "a,b"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    config = Tracking(project="mine", entity="me", tags=["t", "é" * 64, "é" * 65])
    found = sent(server, tmp_path, config=config, is_named=True)
    keys = ("project", "entity", "displayName", "tags", "groupName", "jobType")
    assert [found[key] for key in keys] == [
        "mine",
        "me",
        "lr=1e-5",
        ["t", "é" * 64, "é" * 31 + "…" + "é" * 32],
        "s",
        "train",
    ]


def test_without_variables_all_is_ours(server: WandbStub, tmp_path: Path) -> None:
    found = sent(server, tmp_path, name="é" * 300 + "seed=7", group="g" * 129)
    assert (found["project"], found["displayName"]) == ("rlhf_sweeps", "é" * 63 + "…" + "é" * 58 + "seed=7")
    assert (len(found["displayName"]), found["groupName"]) == (128, "g" * 63 + "…" + "g" * 64)


def test_wandb_name_names_a_sweep_and_numbers_its_trials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_NAME", "mine")
    monkeypatch.setenv("WANDB_JOB_TYPE", "j")
    called = [
        make_names(None, "x", "s", "sweep", part, False)
        for part in ("", "0", name_part(tmp_path / "1/seed_4", tmp_path))
    ]
    assert [one["name"] for one in called] == ["mine", "mine-0", "mine-1-seed_4"]
    assert [one["job_type"] for one in called] == ["sweep", "j", "j"]  # by it the analysis knows a sweep's own run
    assert make_names(None, "x", None, "train", None, False)["name"] == "mine"
    monkeypatch.setenv("WANDB_NAME", "é" * 130)
    assert make_names(None, "x", "s", "train", "12", False)["name"] == "é" * 63 + "…" + "é" * 61 + "-12"


@pytest.mark.parametrize(
    ("variable", "tags", "expected"),
    [
        (f"{'é' * 65}, a,,a", [], ["é" * 31 + "…" + "é" * 32, "a"]),
        (f"{'é' * 65}", ["mine"], ["mine"]),
        ("", [], []),
    ],
)
def test_tags_of_the_variable_are_cut_as_those_of_the_config_are(
    variable: str, tags: list[str], expected: list[str],
    server: WandbStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("WANDB_TAGS", variable)
    assert (sent(server, tmp_path, config=Tracking(project=None, tags=tags)).get("tags") or []) == expected


def test_a_project_that_wandb_would_not_take_is_told_with_its_variable(
    server: WandbStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for project in ("p" * 129, "a/b"):
        monkeypatch.setenv("WANDB_PROJECT", project)
        caplog.clear()
        tracking.start(Tracking(project=None), run_dir=tmp_path, run_id="abc", settings={}, name="n", group=None,
                       job_type="train").finish(exit_code=0, summary={})  # fmt: skip
        assert f"W&B is off, training goes on without it: ValueError: WANDB_PROJECT={project[:50]}" in caplog.text
        assert "must be 1 to 128 characters without / \\ # ? % :" in caplog.text
    assert server.runs == {}
    assert sent(server, tmp_path, config=Tracking(project="mine"))["project"] == "mine"


def test_what_is_left_out_is_not_checked_either(
    server: WandbStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "a/b")
    assert sent(server, tmp_path)["project"] == "rlhf_sweeps"


@pytest.mark.parametrize(
    ("mode", "variables", "expected"),
    [
        ("auto", {}, False),
        ("auto", {"WANDB_MODE": "disabled"}, True),
        ("auto", {"WANDB_DISABLED": "true"}, True),
        ("auto", {"WANDB_DISABLED": "false"}, False),
        ("online", {"WANDB_MODE": "disabled", "WANDB_DISABLED": "true"}, False),
        ("disabled", {"WANDB_MODE": "online"}, True),
    ],
)
def test_off(mode: str, variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_off(mode) == expected


def read(*overrides: str) -> Config:
    register()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return from_hydra(compose("config", list(overrides)))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            f"tracking.project={'p' * 129}",
            f"tracking.project={'p' * 129}: must be null, or 1 to 128 char",
        ),
        ("tracking.project=a/b", "tracking.project=a/b: must be null, or 1 to 128 characters without / \\ # ? % :"),
        ("tracking.project=''", "tracking.project=: must be null, or"),
        ("tracking.tags=[a,'']", "tracking.tags=['a', '']: must be texts that are not empty"),
    ],
)
def test_what_wandb_would_refuse_is_refused_before_the_first_run(given: str, line: str) -> None:
    """The limits are those of validate_project and validate_run_tags in wandb/sdk/wandb_settings.py."""
    with pytest.raises(ConfigError) as error:
        read(given)
    assert str(error.value).startswith(line)


def test_what_wandb_takes_is_taken() -> None:
    config = read(f"tracking.project={'p' * 128}", f"tracking.tags=[{'t' * 64}]").tracking
    assert (len(config.project or ""), len(config.tags[0])) == (128, 64)
