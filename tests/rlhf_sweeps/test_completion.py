"""What bash completes: commands, options, folders of runs, keys and choices."""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from hydra._internal.utils import get_args_parser

from analysis.command import _make_parser
from rlhf_sweeps import sample
from rlhf_sweeps.__main__ import COMMANDS
from rlhf_sweeps.process.option_parser import OptionParser, list_options

SCRIPT = ROOT / "rlhf_sweeps" / "command_line" / "completion.bash"
NEEDS_BASH = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")


def complete(typed: str, folder: Path) -> list[str]:
    """What the Tab key offers behind these words, without the space that ends a word."""
    for program, module in (("rlhf-sweeps", "rlhf_sweeps"), ("rlhf-analysis", "analysis")):
        file = folder / "bin" / program
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!{sys.executable}\nfrom {module}.__main__ import main\nmain()\n", encoding="utf-8")
        file.chmod(0o755)
    words = typed.split(" ")
    function = {"rlhf-sweeps": "_rlhf_sweeps", "rlhf-analysis": "_rlhf_analysis"}[words[0]]
    listed = " ".join(f"'{word}'" for word in words)
    script = (
        f'eval "$(rlhf-sweeps completion)"; COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; '
        f"{function}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
    started = ["bash", "-c", script]
    done = subprocess.run(started, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [line.removesuffix(" ") for line in done.stdout.splitlines() if line]


@NEEDS_BASH
@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("rlhf-sweeps ppo.kl_c", ["ppo.kl_coef="]),
        ("rlhf-sweeps seed=1 model=ti", ["model=tiny"]),
        ("rlhf-sweeps sam", ["sample"]),
        ("rlhf-sweeps --mult", ["--multirun"]),
        ("rlhf-sweeps sample outputs/", ["outputs/a run/", "outputs/grid/"]),
        ("rlhf-sweeps sample outputs/g", ["outputs/grid/"]),
        ("rlhf-sweeps sample --compare outputs/grid b", ["bin/", "base"]),
        ("rlhf-sweeps sample outputs/grid --pro", ["--prompts"]),
        ("rlhf-sweeps -m hydra.sweep.dir=outputs/g", ["hydra.sweep.dir=outputs/grid/"]),
        ("rlhf-sweeps dataset.path=outputs/t", ["dataset.path=outputs/table.csv"]),
        ("rlhf-sweeps reward-models tr", ["train"]),
        ("rlhf-sweeps reward-models s", ["screen"]),
        ("rlhf-sweeps reward-models screen num_pro", ["num_prompts="]),
        ("rlhf-sweeps reward-models train reward_model.lora_r", ["reward_model.lora_rank="]),
        ("rlhf-analysis cur", ["curves"]),
        ("rlhf-analysis curves outputs/", ["outputs/a run/", "outputs/grid/", "outputs/table.csv"]),
        ("rlhf-analysis compare outputs/grid --b", ["--by"]),
    ],
)
def test_a_shell_completes(typed: str, words: list[str], tmp_path: Path) -> None:
    for name in ("grid", "a run"):
        (tmp_path / "outputs" / name).mkdir(parents=True)
    (tmp_path / "outputs" / "table.csv").touch()
    assert complete(typed, tmp_path) == words


def list_offers(case: str) -> list[str]:
    """The words that the script offers in a case of its two functions."""
    text = SCRIPT.read_text(encoding="utf-8").replace("\\\n", " ")
    return re.search(rf"{re.escape(case)}[^)]*\)\s+_rlhf_words (.*?)(?: ;;|\n)", text)[1].split()  # type: ignore[index]


def find_commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (action,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return action.choices


def test_the_script_has_the_options_of_the_parsers(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = _make_parser()
    commands = find_commands(parser)
    assert list_offers("    1,*") == [*commands, *list_options(parser)]
    for name, command in commands.items():
        assert list_offers(f"*,{name},-*") == list_options(command)
    parsers: list[argparse.ArgumentParser] = []
    monkeypatch.setattr(OptionParser, "parse_intermixed_args", lambda self, words: parsers.append(self) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sample._parse([])
    assert list_offers("*,sample,-*") == list_options(parsers[0])
    assert list_offers("    *,*,-*") == list_options(get_args_parser())
    assert f"== 1 ]] && _rlhf_words {' '.join(COMMANDS)}\n" in SCRIPT.read_text(encoding="utf-8")
