"""Docstrings and comments are true: the parameters, fields and functions that they name exist."""

import ast
import io
import keyword
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

FILES = sorted(path for package in ("rlhf_sweeps", "analysis") for path in (ROOT / package).rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
IDS = [str(path.relative_to(ROOT)) for path in FILES]
# Names in comments that belong to others.
FOREIGN = {
    "characters_written": "of Python's BlockingIOError",
    "orig": "of SQLAlchemy's DBAPIError",
    "sha256sum": "a program",
    "ulimit": "a command of shells",
}
_SECTION = re.compile(r"^(?:Args|Attributes):\n((?:    .*\n?|\n)+)", re.MULTILINE)
_ENTRY = re.compile(r"^    ([\w*]+(?:, [\w*]+)*): ", re.MULTILINE)


def list_documented(docstring: str) -> list[str]:
    """The names that the sections Args and Attributes of a docstring explain."""
    return [
        name.strip("*")
        for section in _SECTION.findall(docstring)
        for names in _ENTRY.findall(section)
        for name in names.split(", ")
    ]


def list_parameters(function: ast.FunctionDef) -> set[str]:
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return {parameter.arg for parameter in named if parameter is not None}


def list_attributes(owner: ast.ClassDef) -> set[str]:
    """Fields, methods, what a method stores on its object, and the parameters of the constructor; of bases, too."""
    names = {ast.unparse(field.target) for field in owner.body if isinstance(field, ast.AnnAssign)}
    for node in ast.walk(owner):
        if isinstance(node, ast.FunctionDef):
            names |= {node.name} | (list_parameters(node) if node.name == "__init__" else set())
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    bases = {ast.unparse(base) for base in owner.bases} - {owner.name}
    return names.union(*(list_attributes(node) for base in bases for node in CLASSES.get(base, [])))


CLASSES: dict[str, list[ast.ClassDef]] = defaultdict(list)
for _tree in TREES.values():
    for _node in ast.walk(_tree):
        if isinstance(_node, ast.ClassDef):
            CLASSES[_node.name].append(_node)


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_every_documented_name_is_a_parameter_or_a_field(path: Path) -> None:
    unknown = []
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names = list_parameters(node) if isinstance(node, ast.FunctionDef) else list_attributes(node)
            documented = list_documented(ast.get_docstring(node) or "")
            unknown += [f"{node.name}: {name}" for name in documented if name not in names]
    assert unknown == []


def list_names(tree: ast.Module) -> Iterator[str]:
    """All names and attributes of a file, and the words of its texts, docstrings aside: keys, columns, file names."""
    docstrings = {id(text) for text in find_docstrings(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg | ast.keyword):
            yield node.arg or ""
        elif isinstance(node, ast.alias):
            yield from node.name.split(".")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield from re.findall(r"\w+", node.value)


def find_docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            (statement, *_) = node.body
            assert isinstance(statement, ast.Expr)
            assert isinstance(statement.value, ast.Constant)
            yield statement.value


def list_explanations(path: Path) -> Iterator[str]:
    """The docstrings and comments of a file."""
    yield from (str(docstring.value) for docstring in find_docstrings(TREES[path]))
    source = io.StringIO(path.read_text(encoding="utf-8"))
    yield from (token.string for token in tokenize.generate_tokens(source.readline) if token.type == tokenize.COMMENT)


NAMES = {name for tree in TREES.values() for name in list_names(tree)}
NAMES |= {part for path in FILES for part in (*path.parts, path.stem)}
NAMES |= {
    word for file in (ROOT / "conf").rglob("*.yaml") for word in re.findall(r"\w+", file.read_text(encoding="utf-8"))
}
DEFINITIONS = {path.stem for path in FILES} | {
    node.name for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
}


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_every_name_in_backticks_exists(path: Path) -> None:
    names = [
        name for text in list_explanations(path) for name in re.findall(r"`([a-zA-Z_]\w*(?:\.[a-zA-Z_]\w*)*)`", text)
    ]
    existing = NAMES | FOREIGN.keys() | set(keyword.kwlist)
    assert [name for name in names if not set(name.split(".")) <= existing] == []


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_every_name_that_a_reader_is_sent_to_is_a_definition(path: Path) -> None:
    """After "see": a function, a class or a module; in a dotted name the last part is one of the part before."""
    names = [name for text in list_explanations(path) for name in re.findall(r"\b[Ss]ee\s+`([\w.]+)`", text)]
    assert [name for name in names if not is_defined(name)] == []


def is_defined(name: str) -> bool:
    *owners, last = name.split(".")
    trees: list[ast.AST] = [tree for path, tree in TREES.items() if owners and path.stem == owners[-1]]
    trees += CLASSES.get(owners[-1], []) if owners else []
    if not owners:
        return last in DEFINITIONS
    return any(
        isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == last
        for tree in trees
        for node in ast.walk(tree)
    )
