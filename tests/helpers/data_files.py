"""Small data sets for tests: their config as dataset=local has it, their files, their messages."""

import json
from pathlib import Path
from typing import Any

import yaml
from conftest import ROOT

from rlhf_sweeps.config.schema import DatasetConfig

LOCAL = yaml.safe_load((ROOT / "conf" / "dataset" / "local.yaml").read_text(encoding="utf-8"))


def dataset(path: Path | str | None, **changes: Any) -> DatasetConfig:
    """The config of dataset=local with some keys changed."""
    return DatasetConfig(**{**LOCAL, "path": None if path is None else str(path), **changes})


def write_lines(path: Path, rows: list[Any]) -> Path:
    """Rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def pair(prompt: Any, chosen: Any = "yes", rejected: Any = "no") -> dict[str, Any]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}
