"""Values of options from their words; an `argparse.ArgumentTypeError` says what is allowed."""

import argparse

from analysis.output.formats import FORMATS


def parse_formats(text: str) -> tuple[str, ...]:
    """Names of formats of figures."""
    names = tuple(text.split(","))
    if wrong := [name for name in names if name not in FORMATS]:
        raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: must be among {', '.join(FORMATS)}")
    return names


def parse_updates(text: str) -> int:
    """A number of updates."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number of updates, 1 or more")
    return int(text)


def parse_seconds(text: str) -> float:
    """A number of seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: must be a number of seconds above 0")
    return seconds
