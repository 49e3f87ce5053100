"""A trial for test_job_environment: it writes which variables it finds."""

import json
import os
from collections.abc import Callable
from pathlib import Path


def run(folder: Path, watch: Callable[[], None]) -> None:
    found = {name: os.environ.get(name) for name in ("A_VARIABLE", "OTHER")}
    (folder / "environment.json").write_text(json.dumps(found), encoding="utf-8")
