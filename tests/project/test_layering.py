"""The rooms: rlhf_sweeps/README.md has them in order, and what each may import follows from that."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import ROOT

PAGE = (ROOT / "rlhf_sweeps" / "README.md").read_text(encoding="utf-8")
FILES = sorted(path.relative_to(ROOT) for top in ("rlhf_sweeps", "analysis") for path in (ROOT / top).rglob("*.py"))
SLOW = {"torch", "transformers", "trl", "datasets", "optuna", "wandb"}


class Room(NamedTuple):
    """A line of the table; torch: whether it may load that: `no`, `yes`, or `yes, but not` some files."""

    name: str
    torch: str


def _rooms() -> list[Room]:
    rows = re.findall(r"^\| `([\w/]+)` \|.*\| ([^|]+) \|$", PAGE, flags=re.MULTILINE)
    return [Room(name, torch.strip()) for name, torch in rows]


ROOMS = _rooms()
ORDER = {room.name: place for place, room in enumerate(ROOMS)}


def name_of(file: Path) -> str:
    """A file's dotted name."""
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(file): file for file in FILES}


def room_of(file: Path) -> str | None:
    """The room of the longest name that holds the file."""
    place = file.with_suffix("").as_posix().removeprefix("rlhf_sweeps/")
    holding = [room.name for room in ROOMS if place == room.name or place.startswith(f"{room.name}/")]
    return max(holding, key=len, default=None)


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Dotted names that a file imports."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def ours(path: Path) -> set[str]:
    """Which of our modules a file imports, late imports counted."""
    names = imports(path) & MODULES.keys()
    # `from package import module` is an import of the module.
    return {name for name in names if not any(other.startswith(f"{name}.") for other in names)} - {name_of(path)}


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_room_imports_only_rooms_above_it(file: Path) -> None:
    if file.parts[-1] == "__init__.py" and len(file.parts) == 2:
        return  # the packages themselves
    room = room_of(file)
    assert room is not None, "is in no room of rlhf_sweeps/README.md"
    rooms = {room_of(MODULES[name]) for name in ours(file) if name not in ("rlhf_sweeps", "analysis")} - {room}
    assert {name for name in rooms if name is None or ORDER[name] > ORDER[room]} == set()


def test_every_room_is_there() -> None:
    holders = {room_of(file) for file in FILES}
    assert set(ORDER) == holders - {None}
    assert len(ORDER) == len(ROOMS)


def circles() -> Iterator[set[str]]:
    """Sets of files each of which reaches each other by imports."""
    edges = {name: ours(file) for name, file in MODULES.items()}
    reached = {name: _reach(name, edges) for name in edges}
    for name in edges:
        circle = {other for other in reached[name] if name in reached[other]}
        if len(circle) > 1 and name == min(circle):
            yield circle


def _reach(name: str, edges: dict[str, set[str]]) -> set[str]:
    seen, waiting = set(), [name]
    while waiting:
        for other in edges[waiting.pop()] - seen:
            seen.add(other)
            waiting.append(other)
    return seen


def test_files_import_each_other_in_no_circle() -> None:
    assert list(circles()) == []


def test_neither_half_imports_the_analysis() -> None:
    product = [file for file in FILES if file.parts[0] == "rlhf_sweeps"]
    assert [file for file in product if any(name.split(".")[0] == "analysis" for name in imports(file))] == []


def _must_be_light(file: Path) -> bool:
    (torch,) = [room.torch for room in ROOMS if room.name == room_of(file)] or ["no"]
    return torch == "no" or (file.stem in torch.partition("but not ")[2].split(", "))


@pytest.mark.parametrize("file", [file for file in FILES if _must_be_light(file)], ids=str)
def test_light_files_load_nothing_slow(file: Path) -> None:
    loaded = {name.split(".")[0] for name in imports(file, top_level_only=True)}
    # A sweep needs Optuna in any case; --help does not come by there.
    assert not loaded & (SLOW - {"optuna"} if file.parts[1] == "sweep" else SLOW)


@pytest.mark.parametrize("file", [file for file in FILES if file.parts[0] == "analysis"], ids=str)
def test_the_analysis_needs_no_torch_at_all(file: Path) -> None:
    assert not {name.split(".")[0] for name in imports(file)} & {"torch", "transformers", "trl", "datasets"}


def test_equations_import_torch_alone() -> None:
    assert {name.split(".")[0] for name in imports(Path("rlhf_sweeps/ppo/equations.py"))} == {"torch"}


def test_the_analysis_starts_without_what_it_may_not_need() -> None:
    code = "import sys, analysis.command; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(loaded.stdout.split()) & {"torch", "optuna", "matplotlib", "plotly", "pandas", "wandb", "scipy"}


def test_every_file_has_its_line() -> None:
    """On the page of its package."""
    pages = PAGE + (ROOT / "analysis" / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^    (\S+\.py) ", pages, flags=re.MULTILINE))
    files = {file.as_posix().removeprefix("rlhf_sweeps/") for file in FILES if file.name != "__init__.py"}
    assert (files - listed, listed - files) == (set(), set())
