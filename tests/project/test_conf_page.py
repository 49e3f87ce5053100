"""conf/README.md and the table of tuned settings list every choice of every group; test_config.py composes them all."""

import re
import shutil
from pathlib import Path

import yaml
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType

from rlhf_sweeps.cli import register

CONF = ROOT / "conf"
ROW = re.compile(r"^\| (?:`(?P<group>[a-z_/]+)`)? ?\| (?P<choices>[^|]+) \|", re.MULTILINE)


def listed() -> list[tuple[str, str, bool]]:
    """Group, choice and whether it is in bold, for every choice in the page's table and in that of tuned settings."""
    rows, group = [], ""
    for row in ROW.finditer((CONF / "README.md").read_text(encoding="utf-8")):
        group = row["group"] or group
        rows += [(group, name, bool(bold)) for bold, name in re.findall(r"(\*\*)?`([a-z0-9_]+)`", row["choices"])]
    tuned = re.findall(r"^\| `([a-z0-9_]+)` \|", (CONF / "experiment" / "README.md").read_text("utf-8"), re.MULTILINE)
    return rows + [("experiment", name, False) for name in tuned]


def test_the_page_lists_every_choice_and_no_other() -> None:
    files = {(path.parent.relative_to(CONF).as_posix(), path.stem) for path in CONF.glob("*/**/*.yaml")}
    names = [(group, name) for group, name, _ in listed()]
    assert files - {*names} == set(), "missing in conf/README.md"
    assert {*names} - files == set(), "listed in conf/README.md without a file"
    assert len(names) == len(set(names))


def test_the_choices_in_bold_are_the_defaults() -> None:
    defaults = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    entries = [entry for default in defaults if isinstance(default, dict) for entry in default.items()]
    chosen = sorted((group.removeprefix("override "), name) for group, name in entries if name is not None)
    assert sorted((group, name) for group, name, is_bold in listed() if is_bold) == chosen


def test_hydra_sees_the_choices_and_not_the_page(tmp_path: Path) -> None:
    """A wheel carries conf/ with its page; a page may lie in a group's folder, too. --help lists what Hydra sees."""
    conf = Path(shutil.copytree(CONF, tmp_path / "conf"))
    for group in {group for group, _, _ in listed()}:
        shutil.copy(conf / "README.md", conf / group)
    register()
    with initialize_config_dir(str(conf), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        for group in {group for group, _, _ in listed()} - {"hydra/sweeper"}:  # Hydra has sweepers of its own
            seen = loader.get_group_options(group, ObjectType.CONFIG)
            assert seen == sorted(name for listed_group, name, _ in listed() if listed_group == group)
        assert compose("config").model.name == "tiny"
