"""A worker's side of taking turns: a line on stdin lets it do one update, a line of JSON on stdout says what it cost.

Both environments import this file, so it needs nothing but Python.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any


class Turns:
    """Waits and answers; whatever else is printed goes to stderr."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def wait(self) -> None:
        """Sleep until the driver gives the turn; ends the process when the driver is gone."""
        if not sys.stdin.readline():
            sys.exit("the driver has ended")

    def answer(self, **numbers: float) -> None:
        """What the update cost, and this process's peak of resident memory so far."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # The unit is bytes on macOS.
        numbers["peak_memory_mb"] = peak / (2**20 if sys.platform == "darwin" else 2**10)
        print(json.dumps(numbers), file=self._answers, flush=True)


def read_job() -> dict[str, Any]:
    """The job whose path is the first argument."""
    job: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    return job
