"""A checkout of the project for the tests of publishing: its configuration, and an empty outputs/."""

import shutil
from pathlib import Path

from conftest import ROOT

from analysis.publication.experiment import RECORD_LINE


def make_checkout(folder: Path) -> Path:
    """Copy what `python -m analysis publish` asks for, without the experiments of published records."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(ROOT / "conf", folder / "conf")
    for file in (folder / "conf" / "experiment").glob("*.yaml"):
        if RECORD_LINE in file.read_text(encoding="utf-8"):
            file.unlink()
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "outputs").mkdir()
    return folder
