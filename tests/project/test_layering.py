"""The rooms: rlhf_sweeps/README.md has them in order, and what each may import follows from that."""

import ast
import functools
import re
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


@functools.cache
def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Dotted names that a file imports; `from package import module` is an import of the module alone."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if names <= MODULES.keys() else names | {node.module}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {str(given.value) for given in node.args[:1] if isinstance(given, ast.Constant)}
    return found


@functools.cache
def ours(path: Path, top_level_only: bool = False) -> set[str]:
    """Which of our modules a file imports, late imports counted."""
    return (imports(path, top_level_only) & MODULES.keys()) - {name_of(path)}


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_room_imports_only_rooms_above_it(file: Path) -> None:
    if file.parts[-1] == "__init__.py" and len(file.parts) == 2:
        assert not ours(file)  # the packages themselves
        return
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


def test_nothing_that_writes_records_imports_the_analysis() -> None:
    product = [file for file in FILES if file.parts[0] == "rlhf_sweeps"]
    assert [file for file in product if any(name.split(".")[0] == "analysis" for name in imports(file))] == []


def test_training_does_not_know_the_sweep() -> None:
    """The other way round the table has it: the sweep stands above."""
    trainers = [file for file in FILES if room_of(file) in ("ppo", "models", "reward_models", "training")]
    assert [file for file in trainers if any(name.startswith("rlhf_sweeps.sweep") for name in ours(file))] == []


def _must_be_light(file: Path) -> bool:
    (torch,) = [room.torch for room in ROOMS if room.name == room_of(file)] or ["no"]
    return torch == "no" or (file.stem in torch.partition("but not ")[2].split(", "))


@functools.cache
def _edges_of_loading() -> dict[str, set[str]]:
    """Module -> those of ours that are loaded with it: what it imports, and the __init__ of every package above."""
    above = {name: {name.rsplit(".", place)[0] for place in range(1, name.count(".") + 1)} for name in MODULES}
    return {name: ours(file, top_level_only=True) | above[name] & MODULES.keys() for name, file in MODULES.items()}


def _loaded(file: Path) -> set[str]:
    """Packages that are loaded with a file, by its own imports and those of ours that it imports."""
    reached = _reach(name_of(file), _edges_of_loading()) | {name_of(file)}
    return {name.split(".")[0] for one in reached for name in imports(MODULES[one], top_level_only=True)}


@pytest.mark.parametrize("file", [file for file in FILES if _must_be_light(file)], ids=str)
def test_light_files_load_nothing_slow(file: Path) -> None:
    # A sweep needs Optuna in any case; --help does not come by there.
    assert not _loaded(file) & (SLOW - {"optuna"} if file.parts[1] == "sweep" else SLOW)


@pytest.mark.parametrize("file", [file for file in FILES if file.parts[0] == "analysis"], ids=str)
def test_the_analysis_needs_no_torch_at_all(file: Path) -> None:
    assert not {name.split(".")[0] for name in imports(file)} & {"torch", "transformers", "trl", "datasets"}


def test_equations_import_torch_alone() -> None:
    assert {name.split(".")[0] for name in imports(Path("rlhf_sweeps/ppo/equations.py"))} == {"torch"}


def test_every_file_has_its_line() -> None:
    """On one page: of its room, else of its package."""
    pages = [*ROOT.glob("rlhf_sweeps/**/README.md"), ROOT / "analysis" / "README.md"]
    lists = [re.findall(r"^    (\S+\.py) ", page.read_text(encoding="utf-8"), flags=re.MULTILINE) for page in pages]
    listed = [name for names in lists for name in names]
    files = {file.as_posix().removeprefix("rlhf_sweeps/") for file in FILES if file.name != "__init__.py"}
    assert files - {*listed} == set(), "no page has a line for these"
    assert {*listed} - files == set(), "these have a line, but are not there"
    assert [name for name in set(listed) if listed.count(name) > 1] == []
