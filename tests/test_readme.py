"""The README's file tree and tables are true."""

import dataclasses
import re

from conftest import ROOT

from rlhf_sweeps.config import PPOConfig
from rlhf_sweeps.ppo import metrics

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_module_is_in_the_file_tree() -> None:
    package = ROOT / "rlhf_sweeps"
    modules = [p.relative_to(package).as_posix() for p in package.rglob("*.py") if p.name != "__init__.py"]
    missing = [name for name in modules if not name.startswith("assets/") and f"      {name} " not in README]
    assert missing == []


def test_every_part_of_the_analysis_is_in_the_file_tree() -> None:
    parts = {f"{path.name}/" for path in (ROOT / "analysis").iterdir() if (path / "__init__.py").exists()}
    parts |= {path.name for path in (ROOT / "analysis").glob("*.py") if not path.name.startswith("__")}
    tree = README.split("    analysis/")[1].split("    tests/")[0]
    assert sorted(part for part in parts if f" {part}" not in tree) == []


def test_every_metric_stands_there_with_its_docstring() -> None:
    formulas = {**metrics.ROLLOUT, **metrics.TOKEN, **metrics.STATE, **metrics.UPDATE}
    rows = [f"| `{name}` | {formula.__doc__} |" for name, formula in formulas.items()]
    assert [row for row in rows if row not in README] == []


def test_every_option_stands_there() -> None:
    """Those that conf/ppo/default.yaml switches off, or that take a word, at least."""
    names = [entry.name for entry in dataclasses.fields(PPOConfig)]
    basic = {"lr", "kl_coef", "gamma", "gae_lambda", "num_ppo_epochs", "num_minibatches", "adam_eps", "lora_alpha"}
    missing = [name for name in names if f"`{name}" not in README and f" {name}" not in README]
    assert set(missing) <= basic


def test_every_file_that_is_linked_or_listed_exists() -> None:
    tree = README.split("## What lies where")[1].split("## Development")[0]
    parts = re.split(r"^    (rlhf_sweeps|analysis|tests)/", tree, flags=re.MULTILINE)[1:]
    listed = [
        f"{folder}/{name}"
        for folder, text in zip(parts[::2], parts[1::2], strict=True)
        for name in re.findall(r"^      (\S+)", text, flags=re.MULTILINE)
    ]
    linked = re.findall(r"\]\(([^)#:]+)\)", README)
    assert [name for name in listed + linked if not (ROOT / name).exists()] == []
