"""A printed command is started by the words that started the program: a console script or `python -m`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from rlhf_sweeps.process.printed_commands import adapt_commands


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *on_path: str) -> Path:
    """Make up an environment as pipx makes it: an own folder, of which some names are linked on the path."""
    environment, path = folder / "an environment", folder / "bin"
    for place in (environment, path):
        place.mkdir()
    for name in ("rlhf-sweeps", "rlhf-analysis", "wandb", "python"):
        (environment / name).touch(mode=0o755)
    for name in on_path:
        (path / name).symlink_to(environment / name)
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setattr(sys, "executable", str(environment / "python"))
    monkeypatch.setattr(sys, "argv", [str(path / "rlhf-sweeps")])
    return environment


@pytest.mark.parametrize(
    ("composed", "printed"),
    [
        ("Continue with: python -m rlhf_sweeps -m seed=1,2", "Continue with: rlhf-sweeps -m seed=1,2"),
        ("python -m rlhf_sweeps.sample outputs/x", "rlhf-sweeps sample outputs/x"),
        ("python -m rlhf_sweeps.reward_models train", "rlhf-sweeps reward-models train"),
        ("see `python -m analysis compare --by KEY`.", "see `rlhf-analysis compare --by KEY`."),
        ("use python -m\n  rlhf_sweeps.", "use rlhf-sweeps."),
        ("(python -m pip install x)", "('ENVIRONMENT/python' -m pip install x)"),
        ("find a -exec wandb sync {} +", "find a -exec 'ENVIRONMENT/python' -m wandb sync {} +"),
        (
            "outputs/python -m rlhf_sweeps; my-python -m analysis",
            "outputs/python -m rlhf_sweeps; my-python -m analysis",
        ),
        ("wandb synchronizes, .wandb login", "wandb synchronizes, .wandb login"),
    ],
)
def test_commands_of_pipx_are_those_on_its_path(
    composed: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = install(tmp_path, monkeypatch, "rlhf-sweeps", "rlhf-analysis")
    assert adapt_commands(composed) == printed.replace("ENVIRONMENT", str(environment))


def test_an_active_environment_has_short_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = install(tmp_path, monkeypatch)
    monkeypatch.setenv("PATH", str(environment))
    monkeypatch.setattr(sys, "argv", [str(environment / "rlhf-analysis")])
    composed = "python -m rlhf_sweeps; python -m pip install x; wandb login"
    assert adapt_commands(composed) == "rlhf-sweeps; python -m pip install x; wandb login"


def test_a_script_that_no_shell_finds_is_named_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = install(tmp_path, monkeypatch)
    monkeypatch.setattr(sys, "argv", [str(environment / "rlhf-sweeps")])
    assert adapt_commands("python -m analysis sweep x") == f"'{environment}/rlhf-analysis' sweep x"


@pytest.mark.parametrize("started", ["/site/rlhf_sweeps/__main__.py", "-c", ""])
def test_without_a_console_script_commands_stay(started: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [started])
    composed = "python -m rlhf_sweeps; python -m pip install x; wandb login"
    assert adapt_commands(composed) == composed


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("rlhf-sweeps", ["search=lr_kl_clip"]),
        ("rlhf-sweeps", ["--help"]),
        ("rlhf-sweeps", ["sample", "--help"]),
        ("rlhf-sweeps", ["reward-models", "--help"]),
        ("rlhf-analysis", ["--help"]),
    ],
)
def test_what_a_console_script_says_names_it(script: str, words: list[str], tmp_path: Path) -> None:
    module = {"rlhf-sweeps": "rlhf_sweeps", "rlhf-analysis": "analysis"}[script]
    program = tmp_path / script
    program.write_text(f"from {module}.__main__ import main\nmain()\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [sys.executable, str(program), *words]
    done = subprocess.run(started, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert "python -m" not in said
    assert str(program) in said
