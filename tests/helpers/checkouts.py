"""A checkout of the project for the tests of publishing: its configuration, and an empty outputs/."""

import shutil
from pathlib import Path

from conftest import ROOT


def make_checkout(folder: Path) -> Path:
    """Copy what `python -m analysis publish` asks for."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(ROOT / "conf", folder / "conf")
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "outputs").mkdir()
    return folder
