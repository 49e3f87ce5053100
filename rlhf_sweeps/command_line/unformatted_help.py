"""Hydra 1.3 on Python 3.14, whose argparse refuses an option that is described by an object instead of a text.

Hydra describes one so, in order to make the text only when it is printed. Hydra 1.4 needs none of this.
"""

import argparse
import sys
from typing import Any

from hydra._internal import utils

FORMATTED_SINCE = (3, 14)  # the Python whose argparse formats a description when the option is added


def accept_unformatted_help() -> None:
    """Let Hydra describe its options by objects, on the versions of Python that refuse it."""
    if sys.version_info >= FORMATTED_SINCE:
        # Only the module that adds Hydra's options gets this parser.
        vars(utils)["argparse"] = _Argparse()


class _Argparse:
    """The module argparse with another parser."""

    class ArgumentParser(argparse.ArgumentParser):
        """A parser that checks descriptions only if they are texts."""

        def _check_help(self, action: argparse.Action) -> None:
            if isinstance(action.help, str):
                check: Any = getattr(super(), "_check_help")  # noqa: B009 (mypy reads Python 3.11, which lacks it)
                check(action)

    def __getattr__(self, name: str) -> Any:
        return getattr(argparse, name)
