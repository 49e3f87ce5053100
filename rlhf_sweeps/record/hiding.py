"""Masks the secrets that this process knows in texts of other packages, such as messages of errors."""

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

_secrets: set[str] = set()
_SHORTEST = 4  # characters; a shorter secret would occur in many texts by chance; chosen
# A secret that may be a part of other words is masked only as a whole word: "comp" is not masked in "complete".
_PART = re.compile(r".{1,5}|[^\W\d_]{1,15}")
# Common values of secret keys that occur in many messages, too.
_COMMON = ("none", "null", "true", "false", "auto", "default", "enabled", "disabled", "basic", "bearer", "token")
_LINE = 8  # characters; a shorter line of a secret of several lines is not masked on its own; chosen
_TEXTS = ("message", "traceback")  # the entries of a summary that other packages wrote


def remember(*secrets: str) -> None:
    """Let `hide` mask these secrets, and their quoted forms, for the lifetime of this process."""
    _secrets.update(form for secret in secrets for form in _write_forms(secret) if len(form) >= _SHORTEST)


def _write_forms(secret: str) -> Iterator[str]:
    """A secret as Python, JSON and URLs write it; a text of several lines is often printed line by line."""
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
        yield " ".join(secret.split())  # messages are put into one line
        yield from (line for line in map(str.strip, lines) if len(line) >= _LINE)


def hide(text: str) -> str:
    """The text, with all secrets that this process knows masked."""
    return _make_pattern(frozenset(_secrets)).sub(MASK, text) if _secrets else text


@functools.lru_cache(maxsize=8)
def _make_pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    forms = sorted(secrets, key=len, reverse=True)
    return re.compile("|".join(map(_make_expression, forms)))


def _make_expression(form: str) -> str:
    return rf"(?<!\w){re.escape(form)}(?!\w)" if _PART.fullmatch(form) else re.escape(form)


def hide_in_tracebacks() -> None:
    """Mask secrets in the traceback that Python prints of an uncaught exception."""
    sys.excepthook = _print_hidden


def _print_hidden(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print(hide("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)


def hide_in_log() -> None:
    """Mask secrets in our own log."""
    logging.getLogger("rlhf_sweeps").addFilter(_hide_in_record)


def _hide_in_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = hide(record.getMessage()), ()
    return True


def hide_in_summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A run's summary with the secrets masked in its messages and tracebacks."""
    return {key: hide(value) if key in _TEXTS and isinstance(value, str) else value for key, value in summary.items()}
