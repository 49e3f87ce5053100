"""Hydra's options on our command line, in any order among the overrides; what Hydra would end on in its own words."""

import argparse
import contextlib
import io
from collections.abc import Sequence

from hydra._internal.utils import get_args_parser

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import masked_word

# What is done in place of a run; Hydra takes one of them.
_ACTIONS = ("run", "multirun", "cfg", "info", "shell_completion")


def read_options(words: Sequence[str]) -> tuple[list[str], str | None]:
    """The words of a command line as Hydra takes them, which wants no override between two options, and its --package.

    Raises:
        ConfigError: if there is no such option, or two exclude each other.
    """
    parser = get_args_parser()
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options, rest = parser.parse_known_args(words)
    except SystemExit as end:
        if not end.code:
            raise
        lines = said.getvalue().strip().splitlines()
        raise ConfigError(lines[-1].partition("error: ")[2]) from end
    for word in rest:
        if word.startswith("-"):
            raise ConfigError(f"{masked_word(word)}: there is no such option (allowed: {', '.join(_names(parser))})")
    _refuse(options)
    overrides = [*options.overrides, *rest]
    return [*_without(words, overrides), *overrides], options.package


def _refuse(options: argparse.Namespace) -> None:
    asked = [f"--{name.replace('_', '-')}" for name in _ACTIONS if getattr(options, name)]
    if len(asked) > 1:
        raise ConfigError(f"{' '.join(asked)}: each excludes the others")
    if options.resolve and options.cfg is None and not options.help:
        raise ConfigError("--resolve: must stand beside --cfg")
    if options.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun: not taken, since it runs what a file says; run the command again")


def _names(parser: argparse.ArgumentParser) -> list[str]:
    return [action.option_strings[0] for action in parser._actions if action.option_strings]


def _without(words: Sequence[str], others: Sequence[str]) -> list[str]:
    """The words that are left when each of the others is taken out once."""
    left = list(words)
    for word in others:
        left.remove(word)
    return left
