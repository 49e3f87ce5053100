"""hydra.job.env_set, env_copy and chdir: a sweep's trials have what Hydra gives a job, or the key is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from helpers.sweeping import TESTS, sweep

from rlhf_sweeps.config.fields import ConfigError

SECRET = "s3cr3t-of-mine"


def run(*arguments: str, where: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}", "OF_SHELL": "from the shell"}
    environment.pop("A_VARIABLE", None)
    command = [sys.executable, "-m", "rlhf_sweeps", *arguments, "tracking=disabled"]
    return subprocess.run(command, env=environment, cwd=where, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("how", [("workers=0",), ("workers=2",), ("workers=1", "start_method=spawn")])
def test_trials_have_the_variables_that_hydra_is_told_to_set(tmp_path: Path, how: tuple[str, ...]) -> None:
    """`helpers.env_trial.run` writes what it finds; Hydra's own answer for a job, by hand: both variables, texts."""
    ended = run(
        "-m", "eval.every=3,4", "hydra.sweep.dir=s", "sweep.report=false", "hydra.sweeper.trial=helpers.env_trial.run",
        f"+hydra.job.env_set={{A_VARIABLE: {SECRET}, OTHER: '${{oc.env:OF_SHELL}}!'}}",
        *(f"hydra.sweeper.{key}" for key in how), where=tmp_path,
    )  # fmt: skip
    for number in (0, 1):
        found = json.loads((tmp_path / "s" / str(number) / "environment.json").read_text(encoding="utf-8"))
        assert found == {"A_VARIABLE": SECRET, "OTHER": "from the shell!"}
    assert SECRET not in ended.stdout + ended.stderr


def test_the_sweeper_has_them_as_long_as_its_sweep_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_VARIABLE", raising=False)
    # The config may refer to them.
    sweep(
        tmp_path / "s",
        "ppo.kl_coef=0.01,0.02",
        "+hydra.job.env_set.A_VARIABLE=7",
        "ppo.num_ppo_epochs=${oc.env:A_VARIABLE}",
    )
    assert json.loads((tmp_path / "s" / "sweep.json").read_text(encoding="utf-8"))["config"]["ppo.num_ppo_epochs"] == 7
    assert "A_VARIABLE" not in os.environ


@pytest.mark.parametrize("value", ["of_${hydra:job.num}", "${seed}", f"{SECRET}${{model.path}}"])
def test_what_would_differ_between_trials_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"^hydra\.job\.env_set\.X: trials of a sweep share it; must be") as error:
        sweep(tmp_path / "s", "seed=1,2", f"+hydra.job.env_set.X='{value}'")
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("kind", [(), ("-m", "seed=1,2")])
@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            "hydra.job.chdir=true",
            "hydra.job.chdir=true: must be false; relative paths start where the command is given",
        ),
        ("hydra.job.env_copy=[NOT_THERE]", "hydra.job.env_copy: there is no variable NOT_THERE in the environment"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path: Path, kind: tuple[str, ...], given: str, line: str) -> None:
    ended = run(*kind, given, where=tmp_path)
    said = [one for one in ended.stderr.splitlines() if "at a time" not in one]
    assert (ended.returncode, said, list(tmp_path.iterdir())) == (2, [f"error: {line}"], [])


def test_a_run_is_checked_with_its_variables(tmp_path: Path) -> None:
    ended = run("+hydra.job.env_set.A_VARIABLE=-5", "seed=${oc.env:A_VARIABLE}", where=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: seed=-5: must be")
