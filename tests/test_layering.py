"""DESIGN's import table, read from the source: two halves that never meet, one record, equations on their own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "rlhf_sweeps"
ALL = {path.stem for path in PACKAGE.glob("*.py")} | {
    *("assets", "data", "platforms", "ppo", "reward_models", "runs", "sweep", "verdicts")
}

# Module or folder -> which of ours it may import.
MAY_IMPORT = {
    "fields": {"runs"},
    "references": {"runs"},
    "literals": {"fields", "runs"},
    "environment": {"reward_models", "runs", "wording"},
    "exit_status": {"environment", "fields"},
    "carried": set(),
    "deadline": set(),
    "metric_names": {"config", "fields"},
    "wording": {"runs"},
    "choices": {"fields", "runs"},
    "reward_model_config": {"fields"},
    "config": {"fields", "references", "reward_model_config"},
    "contradictions": {"config", "reward_model_config"},
    "validation": {
        "choices",
        "config",
        "contradictions",
        "fields",
        "literals",
        "references",
        "reward_model_config",
        "runs",
    },
    "hydra_part": {"references"},
    "destinations": {"environment", "fields", "hydra_part", "runs"},
    "explanation": {"fields", "runs"},
    "job_environment": {"fields"},
    "composed_files": {"runs"},
    "resolvers": set(),
    "platforms": {"platforms"},
    "runs": {"platforms", "runs"},
    "assets": {"assets"},
    "placing": {"platforms"},
    "cache": {"placing"},
    "sources": {"assets", "cache", "fields"},
    "data": {"config", "data", "fields", "sources", "wording"},
    "preflight": {
        "config",
        "data",
        "fields",
        "metric_names",
        "platforms",
        "references",
        "reward_model_config",
        "reward_models",
        "runs",
        "sources",
    },
    "ppo": {"config", "fields", "platforms", "ppo"},
    "models": {"cache", "config", "fields", "ppo", "reward_model_config", "sources", "wording"},
    "reward_models": {
        "cache",
        "cli",
        "composed_files",
        "config",
        "contradictions",
        "data",
        "fields",
        "intervals",
        "model_card",
        "models",
        "placing",
        "platforms",
        "ppo",
        "preflight",
        "literals",
        "references",
        "reward_model_config",
        "reward_models",
        "runs",
        "sources",
        "template_date",
        "validation",
        "wording",
    },
    "prompt_record": {"config", "data", "models", "runs"},
    "base_policy": {"data", "ppo", "reward_models", "runs"},
    "comparison": {"intervals", "runs"},
    "comparison_table": set(),
    "intervals": set(),
    "model_card": {"config", "references", "reward_model_config"},
    "template_date": {"fields", "runs"},
    "tracking": {"config", "deadline", "runs", "wandb_names", "wording"},
    "wandb_names": set(),
    "checkpoints": {"environment", "placing", "runs"},
    "objective": {"config"},
    "progress": set(),
    "interruption": {"platforms"},
    "cli": {
        "carried",
        "composed_files",
        "config",
        "destinations",
        "environment",
        "exit_status",
        "explanation",
        "fields",
        "hydra_part",
        "interruption",
        "job_environment",
        "platforms",
        "preflight",
        "ppo",
        "literals",
        "resolvers",
        "reward_models",
        "runs",
        "sweep",
        "train",
        "validation",
        "wording",
    },
    "trial": {"validation", "config", "environment", "fields", "preflight", "resolvers", "runs", "train"},
    "plugin": {"job_environment", "sweep"},
    "sweep": {
        "carried",
        "choices",
        "comparison",
        "comparison_table",
        "composed_files",
        "config",
        "destinations",
        "environment",
        "exit_status",
        "fields",
        "hydra_part",
        "interruption",
        "metric_names",
        "objective",
        "platforms",
        "preflight",
        "literals",
        "references",
        "reward_model_config",
        "runs",
        "sweep",
        "tracking",
        "validation",
        "verdicts",
        "wandb_names",
        "wording",
    },
    "verdicts": set(),
}
# Torch costs seconds, so what answers --help and checks a sweep does without it.
NO_TORCH = {
    "ppo/__init__",
    "carried",
    "choices",
    "cli",
    "composed_files",
    "comparison",
    "comparison_table",
    "config",
    "deadline",
    "destinations",
    "environment",
    "exit_status",
    "fields",
    "hydra_part",
    "intervals",
    "job_environment",
    "metric_names",
    "literals",
    "references",
    "reward_model_config",
    "validation",
    "wording",
    "reward_models/__init__",
    "reward_models/checks",
    "reward_models/command",
    "reward_models/time_limit",
    "reward_models/training_config",
    "preflight",
    "resolvers",
    "placing",
    "cache",
    "sources",
    "assets/__init__",
    "tracking",
    "wandb_names",
    "objective",
    "progress",
    "interruption",
    "trial",
}
NO_TORCH |= {f"data/{path.stem}" for path in (PACKAGE / "data").glob("*.py")}
NO_TORCH |= {f"platforms/{path.stem}" for path in (PACKAGE / "platforms").glob("*.py")}
NO_TORCH |= {f"runs/{path.stem}" for path in (PACKAGE / "runs").glob("*.py")}
NO_TORCH |= {f"verdicts/{path.stem}" for path in (PACKAGE / "verdicts").glob("*.py")}
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
    files = sorted((PACKAGE / name).rglob("*.py")) if (PACKAGE / name).is_dir() else [PACKAGE / f"{name}.py"]
    found = {file.name: ours(file) for file in files}
    assert {file: names - MAY_IMPORT[name] for file, names in found.items() if names - MAY_IMPORT[name]} == {}
    assert MAY_IMPORT[name] - set().union(*found.values()) == set(), "listed, and imported nowhere"


def test_equations_import_torch_alone() -> None:
    assert {name.split(".")[0] for name in imports(PACKAGE / "ppo" / "equations.py")} == {"torch"}


@pytest.mark.parametrize("name", sorted(NO_TORCH))
def test_light_modules_load_nothing_slow(name: str) -> None:
    loaded = {module.split(".")[0] for module in imports(PACKAGE / f"{name}.py", top_level_only=True)}
    # A sweep needs Optuna in any case; --help does not come by there.
    assert not loaded & (SLOW - {"optuna"} if name.startswith("sweep/") else SLOW)


ANALYSIS = sorted((ROOT / "analysis").rglob("*.py"))


@pytest.mark.parametrize("file", ANALYSIS, ids=lambda file: file.stem)
def test_analysis_reads_the_record_alone(file: Path) -> None:
    # What a run is worth, and which setting is the best, has one definition for both halves.
    assert ours(file) <= {"platforms", "runs", "verdicts"} | (
        {"config", "objective"} if file.stem == "worth" else set()
    )
    assert not {name.split(".")[0] for name in imports(file)} & {"torch", "transformers", "trl", "datasets"}


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: file.stem)
def test_neither_half_imports_the_analysis(file: Path) -> None:
    assert "analysis" not in {name.split(".")[0] for name in imports(file)}


def test_the_analysis_starts_without_what_it_may_not_need() -> None:
    code = "import sys, analysis.command; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(loaded.stdout.split()) & {"torch", "optuna", "matplotlib", "plotly", "pandas", "wandb", "scipy"}
