"""The first word of a command, the version, the console scripts and what a shell completes."""

import pkgutil
import tomllib

import optuna
import pytest
import torch
from conftest import ROOT, CommandLine

import rlhf_sweeps


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("smaple outputs/x", "smaple: there is no such command; did you mean sample?"),
        ("reward_models train", "reward_models: there is no such command; did you mean reward-models?"),
        ("foo", "foo: must be KEY=VALUE"),
        ("sample outputs/x", "run=outputs/x: holds no run (allowed: a folder with a run.json)"),
        ("reward-models tarin", "tarin: must be train or screen; did you mean train? (see --help)"),
        ("reward-models train ppo.lr=1", "ppo: there is no such key"),
    ],
)
def test_a_first_word_names_a_command(words: str, line: str, command_line: CommandLine) -> None:
    """As in `rlhf-sweeps sample`; each is the module of that name."""
    done = command_line(*words.split())
    assert (done.returncode, done.stdout) == (2, "")
    (told,) = done.stderr.splitlines()
    assert told.startswith(f"error: {line}")


@pytest.mark.parametrize("module", ["rlhf_sweeps", "rlhf_sweeps.reward_models", "analysis"])
def test_the_version_is_ours_with_those_of_what_decides_a_run(module: str, command_line: CommandLine) -> None:
    done = command_line("--version", module=module)
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    names = ["rlhf_sweeps", "python", "torch", "transformers", "trl", "datasets", "hydra-core", "optuna", "wandb"]
    assert list(lines) == names
    assert lines["rlhf_sweeps"] == rlhf_sweeps.__version__
    assert lines["torch"] == torch.__version__
    assert lines["optuna"] == optuna.__version__


def test_console_scripts_call_what_python_m_calls() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"rlhf-sweeps": "rlhf_sweeps.__main__:main", "rlhf-analysis": "analysis.__main__:main"}
    assert [callable(pkgutil.resolve_name(name)) for name in project["scripts"].values()] == [True, True]
