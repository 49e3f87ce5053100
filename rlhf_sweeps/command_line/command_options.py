"""Hydra's options on the command line, in any order among the overrides; errors in them as our own messages."""

import argparse
import contextlib
import io
from collections.abc import Sequence

from hydra._internal.utils import get_args_parser

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.process.option_parser import explain_refusal, list_options

# The options that say what Hydra does; it takes one of them.
_ACTIONS = ("run", "multirun", "cfg", "info", "shell_completion")


def read_options(words: Sequence[str]) -> tuple[list[str], str | None]:
    """Sort the words of a command line, options before overrides as Hydra wants them; also return --package's value.

    Raises:
        ConfigError: if there is no such option, or two exclude each other.
    """
    parser = get_args_parser()
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options, overrides = parser.parse_known_args(words)
    except SystemExit as end:
        if not end.code:
            raise
        lines = said.getvalue().strip().splitlines()
        raise ConfigError(explain_refusal(lines[-1].partition("error: ")[2], list_options(parser))) from end
    if unknown := [word for word in overrides if word.startswith("-")]:
        raise ConfigError(explain_refusal(f"unrecognized arguments: {unknown[0]}", list_options(parser)))
    _refuse_contradictions(options)
    overrides = [*options.overrides, *overrides]
    return [*_remove_words(words, overrides), *overrides], options.package


def _refuse_contradictions(options: argparse.Namespace) -> None:
    actions = [f"--{name.replace('_', '-')}" for name in _ACTIONS if getattr(options, name)]
    if len(actions) > 1:
        raise ConfigError(f"{' '.join(actions)}: only one of these can be given")
    if options.resolve and options.cfg is None and not options.help:
        raise ConfigError("--resolve: must be given together with --cfg")
    if options.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun: not supported, since it runs a pickled job; run the command again")


def _remove_words(words: Sequence[str], others: Sequence[str]) -> list[str]:
    """The words without the others, each removed once."""
    remaining = list(words)
    for word in others:
        remaining.remove(word)
    return remaining
