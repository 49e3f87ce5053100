"""The words of the analysis's command line: which are allowed, and the error for others."""

import argparse
from collections.abc import Sequence

from analysis.output.formats import FORMATS
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.wording import suggest


def check_command(words: Sequence[str], commands: Sequence[str]) -> None:
    """Refuse a first word that names no command; options without a value may stand before it.

    Raises:
        AnalysisError: with the nearest command.
    """
    given = next((word for word in words if not word.startswith("-")), None)
    if given is not None and given not in commands:
        raise AnalysisError(
            f"{given}: there is no such command{suggest(given, commands)} (allowed: {', '.join(commands)})"
        )


def parse_formats(text: str) -> tuple[str, ...]:
    """Formats of figures, with commas between them."""
    names = tuple(text.split(","))
    if wrong := [name for name in names if name not in FORMATS]:
        raise argparse.ArgumentTypeError(
            f"{', '.join(wrong)}: must be among {', '.join(FORMATS)}{suggest(wrong[0], FORMATS)}"
        )
    return names
