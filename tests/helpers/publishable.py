"""A sweep to be published, in a checkout, with everything beside it that is not for others."""

import json
from pathlib import Path

import pytest
import yaml

from helpers.checkouts import make_checkout
from helpers.records import rows, write_run, write_sweep
from rlhf_sweeps.record import Run

POINTS = [{"ppo.kl_coef": kl_coef} for kl_coef in (0.01, 0.02, 0.04)]
LEFT_OUT = [
    "model/model.safetensors",
    "checkpoint/0000012/policy.safetensors",
    "base/prompts_1.jsonl",
    "wandb/offline-run-1/run-1.wandb",
    "rlhf_sweeps.log",
    "stop",
]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep in the working folder, which is a checkout, with everything beside it that is not published."""
    monkeypatch.chdir(make_checkout(tmp_path / "project"))
    folder = Path("outputs") / "grid"
    write_sweep(folder, POINTS, updates=12, heights=[1.0, 3.0, 2.0])
    write_run(folder / "test" / "1_seed_7", rows(12, seed=7), texts=[("Hi", "no", "yes")])
    Run(folder / "0").append_samples([{"update": 12, "prompt": "p", "response": "r", "score": 1.0}])
    (folder / "sweeper.json").write_text('{"process": 1, "host": "machine-7"}', encoding="utf-8")
    (folder / "report.html").write_text("a report", encoding="utf-8")
    for name in LEFT_OUT:
        file = folder / "1" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("not for others", encoding="utf-8")
    return folder


def set_key(folder: Path, key: str, value: str) -> None:
    """Change the config of a run, as the user's word would have."""
    group, _, name = key.partition(".")
    start = json.loads(Run(folder).start_file.read_text(encoding="utf-8"))
    del start["sha256"]
    start["config"].setdefault(group, {})[name] = value
    Run(folder).start_file.write_text(json.dumps(start), encoding="utf-8")
    Run(folder).overrides_file.write_text(yaml.safe_dump([f"{key}={value}"]), encoding="utf-8")
