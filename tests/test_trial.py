"""A trial's own process: what it must know to read the config that the sweeper has composed."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict

from rlhf_sweeps.cli import conf_dir, register


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["reward_model=callable", "reward_model.function=my_module.score"], "score"),
        (["reward_model=local", "reward_model.path=my/folder"], "folder"),
    ],
)
def test_names_after_paths_are_found_in_a_new_process(tmp_path: Path, overrides: list[str], name: str) -> None:
    register()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        composed = compose("config", overrides=overrides)
    with open_dict(composed):
        composed.pop("hydra", None)
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save(composed, tmp_path / ".hydra" / "config.yaml")  # interpolations as they are written
    code = (
        "import sys; from pathlib import Path; from rlhf_sweeps.trial import _read_config\n"
        "print(_read_config(Path(sys.argv[1])).reward_model.name)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (name, "")
