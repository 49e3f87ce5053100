"""The README's file tree and tables are true."""

import re

from conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_module_is_in_the_file_tree() -> None:
    package = ROOT / "rlhf_sweeps"
    modules = [p.relative_to(package).as_posix() for p in package.rglob("*.py") if p.name != "__init__.py"]
    missing = [name for name in modules if not name.startswith("assets/") and f"      {name} " not in README]
    assert missing == []


def test_every_file_that_is_linked_or_listed_exists() -> None:
    tree = README.split("## What lies where")[1].split("## Development")[0]
    listed = [f"rlhf_sweeps/{name}" for name in re.findall(r"^      (\S+)", tree, flags=re.MULTILINE)]
    linked = re.findall(r"\]\(([^)#:]+)\)", README)
    assert [name for name in listed + linked if not (ROOT / name).exists()] == []
