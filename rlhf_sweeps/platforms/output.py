"""Print to a terminal or a pipe whose encoding lacks some characters."""

import io
import sys


def tolerate() -> None:
    """Let stdout show a question mark for a character that it cannot show, instead of failing; stderr never fails."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
