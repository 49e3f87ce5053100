"""DESIGN's import table, read from the source: two halves that never meet, one record, equations on their own."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "rlhf_sweeps"
ALL = {path.stem for path in PACKAGE.glob("*.py")} | {"ppo", "sweep", "assets"}

# Module or folder -> which of ours it may import.
MAY_IMPORT = {
    "config": set(),
    "runs": set(),
    "assets": {"assets"},
    "sources": {"assets", "config"},
    "data": {"config", "sources"},
    "preflight": {"config", "data", "runs", "sources"},
    "ppo": {"config", "ppo"},
    "models": {"config", "sources", "ppo"},
    "tracking": {"config"},
    "checkpoints": set(),
    "objective": {"config"},
    "progress": set(),
    "interruption": set(),
    "cli": {"config", "preflight", "ppo", "runs", "train", "sweep"},
    "trial": {"config", "preflight", "runs", "train"},
    "plugin": {"sweep"},
    "sweep": {"config", "interruption", "runs", "sweep", "preflight", "objective", "tracking"},
}
# Torch costs seconds, so what answers --help and checks a sweep does without it.
NO_TORCH = {
    "ppo/__init__",
    "cli",
    "config",
    "runs",
    "preflight",
    "data",
    "sources",
    "assets/__init__",
    "tracking",
    "objective",
    "progress",
    "interruption",
    "trial",
}
NO_TORCH |= {f"sweep/{path.stem}" for path in (PACKAGE / "sweep").glob("*.py")}
SLOW = {"torch", "transformers", "trl", "datasets", "optuna", "wandb"}


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Dotted names that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def ours(path: Path) -> set[str]:
    """Which of our modules and folders a file imports."""
    parts = [name.split(".") for name in imports(path) if name.startswith("rlhf_sweeps.")]
    return {part[1] for part in parts if part[1] in ALL}


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_imports_keep_to_the_table(name: str) -> None:
    files = sorted((PACKAGE / name).glob("*.py")) if (PACKAGE / name).is_dir() else [PACKAGE / f"{name}.py"]
    for file in files:
        if file.exists():
            assert ours(file) - MAY_IMPORT[name] == set(), file.name


def test_equations_import_torch_alone() -> None:
    assert {name.split(".")[0] for name in imports(PACKAGE / "ppo" / "equations.py")} == {"torch"}


@pytest.mark.parametrize("name", sorted(NO_TORCH))
def test_light_modules_load_nothing_slow(name: str) -> None:
    loaded = {module.split(".")[0] for module in imports(PACKAGE / f"{name}.py", top_level_only=True)}
    # A sweep needs Optuna in any case; --help does not come by there.
    assert not loaded & (SLOW - {"optuna"} if name.startswith("sweep/") else SLOW)


def test_analysis_reads_the_record_alone() -> None:
    for file in (ROOT / "analysis").rglob("*.py"):
        assert ours(file) <= {"runs"}, file.name
