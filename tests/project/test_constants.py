"""Constants set by hand: each says what it counts, and no name stands for two numbers."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

FILES = sorted(path for package in ("rlhf_sweeps", "analysis") for path in (ROOT / package).rglob("*.py"))


def list_constants(path: Path) -> Iterator[tuple[str, object, int]]:
    """Name, value and line of every number, and of every list of numbers, that a file gives a name in capitals."""
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name | ast.Tuple):
            (target,) = statement.targets
            if isinstance(target, ast.Name):
                pairs = [(target, statement.value)]
            else:
                values = statement.value.elts if isinstance(statement.value, ast.Tuple) else []
                pairs = [
                    (name, value)
                    for name, value in zip(target.elts, values, strict=False)
                    if isinstance(name, ast.Name)
                ]
            for name, node in pairs:
                if name.id.isupper() and is_numeric(node):
                    yield name.id, eval(ast.unparse(node), {}), statement.lineno


def is_numeric(node: ast.expr) -> bool:
    """Whether an expression consists of numbers alone."""
    parts = (ast.Constant, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Tuple, ast.Load)
    nodes = list(ast.walk(node))
    constants = [part.value for part in nodes if isinstance(part, ast.Constant)]
    is_of_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in constants)
    return bool(constants) and is_of_numbers and all(isinstance(part, parts) for part in nodes)


def is_explained(lines: list[str], number: int) -> bool:
    """Whether a comment stands in the line, or above it and the constants before it."""
    if "#" in lines[number - 1]:
        return True
    above = number - 2
    while above >= 0 and lines[above][:1].isalpha() | lines[above].startswith("_") and " = " in lines[above]:
        above -= 1
    return lines[above].startswith("#")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_constant_is_explained(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [name for name, _, number in list_constants(path) if not is_explained(lines, number)] == []


def test_a_name_stands_for_one_number() -> None:
    """Names that other files may import; posix and windows have the same by design."""
    places: dict[str, dict[object, str]] = defaultdict(dict)
    for path in FILES:
        for name, value, _ in list_constants(path):
            if not name.startswith("_"):
                places[name][value] = str(path.relative_to(ROOT))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
    assert len(places) > 150
