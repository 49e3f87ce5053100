"""What this process has learnt to be secret, taken out of texts that others make, such as messages of errors."""

import functools
import json
import logging
import re
import sys
import traceback
import urllib.parse
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from rlhf_sweeps.record.redaction import MASK, NOTHING

_known: set[str] = set()
_SHORTEST = 4  # characters; anything shorter stands in many texts by chance
# What could be a part of other words is hidden only where it is a word of its own: comp is no part of complete.
_PART = re.compile(r".{1,5}|[^\W\d_]{1,15}")
# Said of secrets, and in many messages.
_COMMON = ("none", "null", "true", "false", "auto", "default", "enabled", "disabled", "basic", "bearer", "token")
_LINE = 8  # characters of a line of a secret that are told apart from other texts
_TEXTS = ("message", "traceback")  # of a summary; all else in there is our own words, and what the config records


def remember(*secrets: str) -> None:
    """Have `hide` know these secrets for as long as this process lives, also as they are quoted."""
    _known.update(form for secret in secrets for form in _forms(secret) if len(form) >= _SHORTEST)


def _forms(secret: str) -> Iterator[str]:
    """A secret as Python, JSON and URLs write it; a text of several lines is often told line by line."""
    if secret in NOTHING or secret.lower() in _COMMON:
        return
    yield from (secret, secret.strip(), repr(secret)[1:-1], json.dumps(secret)[1:-1])
    yield from (
        json.dumps(secret, ensure_ascii=False)[1:-1],
        urllib.parse.quote(secret),
        urllib.parse.quote(secret, ""),
    )
    yield urllib.parse.quote_plus(secret)
    lines = secret.splitlines()
    if len(lines) > 1:
        yield " ".join(secret.split())  # as messages are put into one line
        yield from (line for line in map(str.strip, lines) if len(line) >= _LINE)


def hide(text: str) -> str:
    """A text that others made, with all secrets masked that this process knows."""
    return _pattern(frozenset(_known)).sub(MASK, text) if _known else text


@functools.lru_cache(maxsize=8)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    forms = sorted(secrets, key=len, reverse=True)
    return re.compile("|".join(map(_expression, forms)))


def _expression(form: str) -> str:
    return rf"(?<!\w){re.escape(form)}(?!\w)" if _PART.fullmatch(form) else re.escape(form)


def hide_in_tracebacks() -> None:
    """Have this process hide it in what it says of an exception that nobody catches."""
    sys.excepthook = _print_hidden


def _print_hidden(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print(hide("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)


def hide_in_log() -> None:
    """Have our own log hide what this process knows."""
    logging.getLogger("rlhf_sweeps").addFilter(_hide_in_record)


def _hide_in_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = hide(record.getMessage()), ()
    return True


def hidden(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A run's summary without the secrets in what others said."""
    return {key: hide(value) if key in _TEXTS and isinstance(value, str) else value for key, value in summary.items()}
