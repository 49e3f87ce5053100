"""The date that a chat template prints is fixed at the start of a run or a sweep, by writing it into the template.

Llama 3's templates and others contain today's date. A run that continues on the next day, the other trials of its
sweep, and users of the exported model must read the same prompts as the policy in training.
"""

import logging
import re
from datetime import datetime

from transformers import PreTrainedTokenizerBase

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import BaseRecord

NAME = "strftime_now"  # transformers' function that templates call
_CALL = re.compile(NAME + r"""\s*\(\s*(?P<quote>['"])(?P<format>[^'"\\]*)(?P=quote)\s*\)""")
_USE = re.compile(NAME + r"(?!\s+is\s+(not\s+)?defined\b)")  # any use except the test whether the function exists
log = logging.getLogger("rlhf_sweeps")


class TemplateDate:
    """The date of a sweep, or of a run that belongs to none: the day of its first start with a template with a date.

    Args:
        has_begun: whether training has begun already; then a missing date is lost.
    """

    def __init__(self, record: BaseRecord, has_begun: bool = False) -> None:
        self._record, self._has_begun = record, has_begun

    def hold(self, tokenizer: PreTrainedTokenizerBase, given: str) -> None:
        """Write the date into a tokenizer's template, if that prints one; `given` is the setting that names it.

        Raises:
            ConfigError: if the template prints the date in a way that cannot be replaced.
        """
        if prints_date(tokenizer):
            date = datetime.fromisoformat(self._record.read_or_find(self._read, self._find))
            hold_date(tokenizer, date, given)
            log.info("%s: its chat template prints the date, which is fixed at %s", given, date.date())

    def _read(self) -> str | None:
        rows = self._record.read("date")
        return str(rows[0]["date"]) if rows else None

    def _find(self) -> str:
        date = datetime.now().isoformat(timespec="seconds")
        if self._has_begun:
            log.warning(
                "base/date.jsonl: lost, so a chat template that prints the date prints %s from now on",
                date.partition("T")[0],
            )
        self._record.write("date", [{"date": date}])
        return date


def prints_date(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the output of a tokenizer's chat template depends on the time."""
    return NAME in str(tokenizer.chat_template)


def hold_date(tokenizer: PreTrainedTokenizerBase, date: datetime, given: str) -> None:
    """Write a date into a tokenizer's template; arguments and errors are those of `TemplateDate.hold`."""
    template = tokenizer.chat_template
    named = template if isinstance(template, dict) else {"default": template or ""}
    held = {name: _CALL.sub(lambda call: repr(date.strftime(call["format"])), text) for name, text in named.items()}
    if any(_USE.search(text) for text in held.values()):
        raise ConfigError(f"{given}: its chat template must print the date as {NAME}('...'), prints it in another way")
    tokenizer.chat_template = held if isinstance(template, dict) else held["default"]
