"""What the standard library has on which platform, as mypy's stubs say it."""

import ast
import functools
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

_spec = importlib.util.find_spec("mypy")
assert _spec is not None
assert _spec.origin is not None
STUBS = Path(_spec.origin).parent / "typeshed" / "stdlib"


@functools.cache
def names(module: str, platform: str) -> frozenset[str]:
    """What a module defines on a platform; nothing where it is not there at all."""
    path = STUBS / module.replace(".", "/")
    file = path / "__init__.pyi" if path.is_dir() else path.with_suffix(".pyi")
    if not file.exists():
        return frozenset()
    return frozenset(_defined(ast.parse(file.read_text(encoding="utf-8")).body, platform))


def _defined(body: list[ast.stmt], platform: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.If):
            fake = {"sys": SimpleNamespace(platform=platform, version_info=sys.version_info), "TYPE_CHECKING": True}
            holds = eval(compile(ast.Expression(node.test), "stub", "eval"), fake)
            yield from _defined(node.body if holds else node.orelse, platform)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def only_on(module: str, here: str, there: str) -> frozenset[str]:
    """What a module has on one platform and not on the other."""
    return names(module, here) - names(module, there)


@functools.cache
def modules_only_on(here: str, there: str) -> frozenset[str]:
    """Modules that are empty on one of the platforms alone."""
    found = {path.stem for path in STUBS.glob("*.pyi")}
    return frozenset(name for name in found if names(name, here) and not names(name, there))
