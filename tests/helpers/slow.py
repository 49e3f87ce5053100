"""Functions that take as long as it takes until a user hears of them, without anybody sleeping."""

import logging
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from rlhf_sweeps.process import activity

MOST_SECONDS = 10.0  # for a line that should come at once


class SlowDown:
    """Makes a function wait, at its first call, until a line of the log matches a pattern; and says which came."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lines: list[str] = []
        self._changes = threading.Condition()
        self._monkeypatch = monkeypatch
        self.unheard: set[str] = set()

    def hear(self, line: str) -> None:
        with self._changes:
            self.lines.append(line)
            self._changes.notify_all()

    def wait_for(self, pattern: str) -> None:
        with self._changes:
            is_heard = self._changes.wait_for(
                lambda: any(re.search(pattern, line) for line in self.lines), MOST_SECONDS
            )
        assert is_heard, f"no line matches {pattern}: {self.lines}"
        self.unheard.discard(pattern)

    def __call__(self, owner: Any, name: str, pattern: str) -> None:
        original = getattr(owner, name)
        self.unheard.add(pattern)

        def slow(*arguments: Any, **options: Any) -> Any:
            self.wait_for(pattern)
            return original(*arguments, **options)

        self._monkeypatch.setattr(owner, name, slow)


@pytest.fixture
def slow_down(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDown]:
    """Lines come as soon as an activity begins; at the end each function must have been called."""
    monkeypatch.setattr(activity, "FIRST_LINE", 0.01)
    monkeypatch.setattr(activity, "LONGEST_PAUSE", 0.2)
    log, slowed = logging.getLogger("rlhf_sweeps"), SlowDown(monkeypatch)
    handler = logging.Handler()
    handler.emit = lambda record: slowed.hear(record.getMessage())  # type: ignore[method-assign]
    level_before = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    yield slowed
    log.removeHandler(handler)
    log.setLevel(level_before)
    assert slowed.unheard == set()
