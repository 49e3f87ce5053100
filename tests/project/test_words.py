"""Names say what a thing is: one class name for one thing, and no participle for whatever was at hand."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

FILES = sorted(path for package in ("rlhf_sweeps", "analysis") for path in (ROOT / package).rglob("*.py"))
# A reader cannot tell what is in a variable of such a name.
EMPTY_NAMES = {
    "found",
    "one",
    "known",
    "kept",
    "told",
    "shown",
    "stuff",
    "thing",
    "things",
    "it",
    "what",
    "which",
    "how",
    "some",
    "telling",
}
# Folders of users name these: two callbacks of Hydra.
RECORDED = {"Preflight"}


def stored_names(path: Path) -> Iterator[tuple[str, int]]:
    """Variables, parameters, functions and attributes that a file gives a name, each with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name, node.lineno
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname, node.lineno) for alias in node.names if alias.asname)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_name_is_empty(path: Path) -> None:
    assert [(name, line) for name, line in stored_names(path) if name.strip("_") in EMPTY_NAMES] == []


def test_a_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name not in RECORDED:
                places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
