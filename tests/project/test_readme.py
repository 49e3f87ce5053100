"""The README's links lead somewhere."""

import re

from conftest import ROOT


def test_every_file_that_is_linked_exists() -> None:
    pages = {path.parent: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *ROOT.glob("*/README.md"))}
    linked = [folder / name for folder, text in pages.items() for name in re.findall(r"\]\(([^)#:]+)\)", text)]
    assert [path for path in linked if not path.exists()] == []
