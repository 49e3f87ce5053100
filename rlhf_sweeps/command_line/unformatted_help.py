"""Hydra 1.3 on Python 3.14, whose argparse refuses an option that Hydra describes by an object instead of a text.

The object makes the text when it is printed. This file goes when Hydra 1.4, which needs none of it, is stable.
"""

import argparse
import sys
from typing import Any

import hydra
from hydra._internal import utils

CHECKED_SINCE = (3, 14)  # Python: argparse formats the description of an option when the option is added
MENDED_SINCE = (1, 4)  # Hydra


def accept_unformatted_help() -> None:
    """Let Hydra describe its options by objects, on the versions of Python and Hydra where that fails."""
    if sys.version_info >= CHECKED_SINCE and _read_version(hydra.__version__) < MENDED_SINCE:
        # Only the module that adds Hydra's options gets this parser.
        vars(utils)["argparse"] = _Argparse()


class _Argparse:
    """The module argparse with another parser."""

    class ArgumentParser(argparse.ArgumentParser):
        """A parser that checks only descriptions that are texts."""

        def _check_help(self, action: argparse.Action) -> None:
            if isinstance(action.help, str):
                check: Any = getattr(super(), "_check_help")  # noqa: B009 (mypy knows the oldest Python, without it)
                check(action)

    def __getattr__(self, name: str) -> Any:
        return getattr(argparse, name)


def _read_version(text: str) -> tuple[int, ...]:
    """The first two numbers of a version."""
    return tuple(map(int, text.split(".")[:2]))
