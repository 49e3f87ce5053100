"""Folders of the user's: what is in them, and the commands that must leave that alone."""

import os
import subprocess
from pathlib import Path

Tree = dict[str, tuple[int, bytes]]


def tree(folder: Path) -> Tree:
    """Everything below a folder: mode, and content or where a link leads."""
    return {str(path.relative_to(folder)): (path.lstat().st_mode, _content(path)) for path in sorted(folder.rglob("*"))}


def _content(path: Path) -> bytes:
    if path.is_symlink():
        return os.fsencode(path.readlink())
    return path.read_bytes() if path.is_file() else b""


def fill(folder: Path, *names: str) -> Tree:
    """Put files of the user's there."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"the user's {name}", encoding="utf-8")
    return tree(folder)


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """The one line of a refusal."""
    assert result.returncode == 2, result.stdout + result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


RUN, SWEEP = ("hydra.run.dir={}",), ("-m", "ppo.kl_coef=0.01,0.02", "hydra.sweep.dir={}")
BASIC = ("-m", "hydra/sweeper=basic", "ppo.kl_coef=0.01,0.02", "hydra.sweep.dir={}")
TRAINING = ("train", "hydra.run.dir={}")


def module_of(command: tuple[str, ...]) -> str:
    return "rlhf_sweeps.reward_models" if command[0] == "train" else "rlhf_sweeps"
