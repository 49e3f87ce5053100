"""What is printed where a terminal's or a pipe's encoding lacks the characters for it."""

import io
import sys


def tolerate() -> None:
    """Have stdout show a question mark in place of a character that it cannot show, and not fail; stderr never does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
