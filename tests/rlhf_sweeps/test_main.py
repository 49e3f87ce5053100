"""The first word of a command, the version, the console scripts and what a shell completes."""

import os
import pkgutil
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

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
        ("reward-models tarin", "tarin: must be train; did you mean train? (see --help)"),
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


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")
@pytest.mark.parametrize(
    ("typed", "words"), [("ppo.kl_c", "ppo.kl_coef="), ("model=ti", "model=tiny"), ("search=", "search=lr_kl_clip")]
)
def test_a_shell_completes_keys_and_choices(typed: str, words: str, tmp_path: Path) -> None:
    program = tmp_path / "rlhf-sweeps"
    program.write_text(f"#!{sys.executable}\nfrom rlhf_sweeps.__main__ import main\nmain()\n", encoding="utf-8")
    program.chmod(0o755)
    script = (
        'eval "$(rlhf-sweeps -sc install=bash)"; COMP_WORDS=($COMP_LINE); COMP_CWORD=1; COMP_POINT=${#COMP_LINE}; '
        'hydra_bash_completion; echo "${COMPREPLY[@]}"'
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "COMP_LINE": f"rlhf-sweeps {typed}"}
    variables["PATH"] = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", script], env=variables, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [words], done.stderr
