"""The README's tables are true, and its links lead somewhere."""

import dataclasses
import re

from conftest import ROOT

from rlhf_sweeps.config.schema import PPOConfig
from rlhf_sweeps.ppo import metrics

README = (ROOT / "README.md").read_text(encoding="utf-8")


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


def test_every_file_that_is_linked_exists() -> None:
    pages = {path.parent: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *ROOT.glob("*/README.md"))}
    linked = [folder / name for folder, text in pages.items() for name in re.findall(r"\]\(([^)#:]+)\)", text)]
    assert [path for path in linked if not path.exists()] == []
