"""Options that Hydra does not read. A refusal is one line: the option, what was given, what is allowed.

Argparse itself prints the whole usage before its reason, and names the function that read a value.
"""

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from rlhf_sweeps.process.exit_status import WRONG_INPUT
from rlhf_sweeps.wording import suggest

_UNKNOWN = "unrecognized arguments: "
_WRONG_CHOICE = re.compile(r"argument ([^:]+): invalid choice: (.*) \(choose from (.*)\)")
_WRONG_VALUE = re.compile(r"argument ([^:]+): (.*: must .*)")
_NO_VALUE = re.compile(r"argument ([^:]+): expected .*")
_NOT_GIVEN = re.compile(r"the following arguments are required: (.*)")


class OptionParser(argparse.ArgumentParser):
    """A parser that refuses a word in one line and ends with the status of wrong input; so do its sub-commands."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse's, but an unknown option is refused by the sub-command that was asked, which has the others."""
        options, others = super().parse_known_args(args, namespace)
        words = others[: others.index("--")] if "--" in others else others
        if unknown := [word for word in words if word.startswith("--")]:
            self.error(f"{_UNKNOWN}{unknown[0]}")
        return options, others

    def error(self, message: str) -> NoReturn:
        """Refuse: end the process."""
        self.exit(WRONG_INPUT, f"error: {explain_refusal(message, list_options(self))}\n")


def list_options(parser: argparse.ArgumentParser) -> list[str]:
    """The options of a parser, each by one of its names."""
    # Hydra's long names come first, argparse's own `--help` last.
    names = [action.option_strings for action in parser._actions if action.option_strings]
    return [next((name for name in group if name.startswith("--")), group[0]) for group in names]


def explain_refusal(message: str, options: Sequence[str]) -> str:
    """A message of argparse in our words; one that is not known here stays.

    Args:
        options: the allowed ones.
    """
    if message.startswith(_UNKNOWN):
        return _explain_unknown(message.removeprefix(_UNKNOWN).split(" "), options)
    if match := _WRONG_CHOICE.fullmatch(message):
        option, given, allowed = match.groups()
        return f"{option}={_unquote(given)}: must be one of {_unquote(allowed)}"
    if match := _WRONG_VALUE.fullmatch(message):
        return f"{match[1]}={match[2]}"
    if match := _NO_VALUE.fullmatch(message):
        return f"{match[1]}: must be followed by a value"
    if match := _NOT_GIVEN.fullmatch(message):
        return f"{match[1]}: must be given (see --help)"
    return message


def _explain_unknown(words: Sequence[str], options: Sequence[str]) -> str:
    # What stands behind an equals sign may be a secret.
    word = next((word for word in words if word.startswith("-")), words[0]).partition("=")[0]
    if not word.startswith("-"):
        return f"{word}: one word too many (see --help)"
    return f"{word}: there is no such option{suggest(word, options, '--')} (allowed: {', '.join(options)})"


def parse_whole(text: str) -> int:
    """A whole number."""
    if not re.fullmatch(r"-?[0-9]+", text):
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number")
    return int(text)


def parse_count(text: str) -> int:
    """A whole number, 1 or more."""
    if not re.fullmatch(r"[0-9]+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number, 1 or more")
    return int(text)


def parse_positive(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: must be a number above 0")
    return value


def _unquote(text: str) -> str:
    return text.replace("'", "")
