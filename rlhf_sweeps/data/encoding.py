"""Prompts as tokens of the policy; prompts that are too long or too short are left out."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.data.constants import TOKENIZER_BATCH
from rlhf_sweeps.data.messages import Messages
from rlhf_sweeps.wording import quote_message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class NoPromptError(ConfigError):
    """No prompt has an allowed length."""


@dataclass(frozen=True)
class Encoded:
    """Prompts as tokens of the policy, without those that are too long or too short.

    Attributes:
        num_unread: prompts that were not tokenized, since there were enough before them.
        num_with_control: prompts in here whose text contains special tokens, which the policy reads as such.
    """

    messages: list[Messages]
    ids: list[list[int]]
    num_too_long: int
    num_too_short: int = 0
    num_unread: int = 0
    num_with_control: int = 0

    def rows(self, index: Sequence[int]) -> "Encoded":
        """Some of the prompts; the counts of those left out stay the same."""
        return replace(self, messages=[self.messages[i] for i in index], ids=[self.ids[i] for i in index])


def encode(
    prompts: Iterable[Messages],
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    min_length: int = 1,
    most: int | None = None,
    noun: str = "prompt",
) -> Encoded:
    """Apply the chat template to prompts and tokenize them; without a template, a prompt is its plain text.

    Args:
        prompts: repeated ones, as in a mixture, are tokenized once and counted each time.
        tokenizer: the policy's.
        max_length: the largest allowed number of tokens, with the template.
        min_length: the smallest allowed number.
        most: the number of prompts to return, the first ones of an allowed length; None: all.
        noun: the name of a prompt in errors.

    Raises:
        NoPromptError: if none has an allowed length.
        ConfigError: if the tokenizer has no template for a conversation.
    """
    prompts = list(prompts)
    tokens: dict[int, list[int]] = {}
    chosen: list[int] = []
    lengths: list[int] = []
    while len(lengths) < len(prompts) and (most is None or len(chosen) < most):
        first = len(lengths)
        size = TOKENIZER_BATCH if most is None else min(TOKENIZER_BATCH, most - len(chosen))
        batch = prompts[first : first + size]
        fresh = {id(messages): messages for messages in batch if id(messages) not in tokens}
        tokens |= zip(fresh, _tokenize(list(fresh.values()), tokenizer), strict=True)
        lengths += [len(tokens[id(messages)]) for messages in batch]
        chosen += [i for i in range(first, len(lengths)) if min_length <= lengths[i] <= max_length]
    num_too_long = sum(length > max_length for length in lengths)
    if not chosen:
        raise NoPromptError(_explain_empty(sorted(lengths), max_length, min_length, num_too_long, noun))
    return Encoded(
        [prompts[i] for i in chosen],
        [tokens[id(prompts[i])] for i in chosen],
        num_too_long,
        num_too_short=len(lengths) - len(chosen) - num_too_long,
        num_unread=len(prompts) - len(lengths),
        num_with_control=count_with_control([prompts[i] for i in chosen], tokenizer),
    )


def count_with_control(conversations: Sequence[Messages], tokenizer: "PreTrainedTokenizerBase") -> int:
    """The number of conversations whose text contains a special token; a repeated conversation counts once."""
    special = {token.content for token in getattr(tokenizer, "added_tokens_decoder", {}).values() if token.special}
    distinct = {id(messages): messages for messages in conversations}.values()
    if not special:
        return 0
    control = re.compile("|".join(map(re.escape, special)))  # one pass for all: some tokenizers have a thousand
    return sum(any(control.search(message["content"]) for message in messages) for messages in distinct)


def _explain_empty(lengths: list[int], max_length: int, min_length: int, num_too_long: int, noun: str) -> str:
    if not lengths:
        return f"dataset.path: there are no {noun}s to encode"
    if num_too_long == len(lengths):
        return f"dataset.max_prompt_length={max_length}: every {noun} is longer; the shortest has {lengths[0]} tokens"
    if num_too_long == 0:
        return f"dataset.min_prompt_length={min_length}: every {noun} is shorter; the longest has {lengths[-1]} tokens"
    return (
        f"dataset.max_prompt_length={max_length}: no {noun} has {min_length} to {max_length} tokens "
        f"({len(lengths) - num_too_long} are shorter, {num_too_long} longer)"
    )


def _tokenize(prompts: Sequence[Messages], tokenizer: "PreTrainedTokenizerBase") -> list[list[int]]:
    """The tokens of each prompt; all are tokenized in one call."""
    if not prompts:
        return []
    if not tokenizer.chat_template and any(len(messages) > 1 for messages in prompts):
        raise ConfigError("dataset.prompt_column: holds conversations, and the model's tokenizer has no chat template")
    if tokenizer.chat_template and (
        fault := find_template_fault(prompts, lambda messages: _as_text(messages, tokenizer))
    ):
        raise ConfigError(f"dataset.prompt_column: the model's chat template {fault}")
    try:
        texts = [_as_text(messages, tokenizer) for messages in prompts]
    except list_template_errors() as error:
        fault = f"refuses one of the {len(prompts)} prompts ({quote_message(error)})"
        raise ConfigError(f"dataset.prompt_column: the model's chat template {fault}") from error
    # A template writes the special tokens itself. The tokenizer need not warn of long prompts, which are counted.
    has_template = bool(tokenizer.chat_template)
    encoded = tokenizer(texts, add_special_tokens=not has_template, return_attention_mask=False, verbose=False)
    ids: list[list[int]] = encoded["input_ids"]
    return ids if has_template else [drop_end(part, tokenizer) for part in ids]


def find_template_fault(conversations: Iterable[Messages], render: Callable[[Messages], str]) -> str | None:
    """What is wrong with a chat template for the roles in these conversations, as the end of a sentence; None if fine.

    Some templates refuse a system message, and others leave it out without an error.
    """
    for roles in dict.fromkeys(tuple(message["role"] for message in messages) for messages in conversations):
        marked = [{"role": role, "content": f"x{number}q"} for number, role in enumerate(roles)]
        try:
            text = render(marked)
        except list_template_errors() as error:
            return f"refuses turns of {', '.join(roles)} ({quote_message(error)})"
        if lost := [message["role"] for message in marked if message["content"] not in text]:
            return f"leaves out the {lost[0]}'s turn in turns of {', '.join(roles)}"
    return None


def list_template_errors() -> tuple[type[Exception], ...]:
    """The errors that chat templates raise: jinja's, for roles or orders that they do not support, and Python's."""
    from jinja2 import TemplateError

    return (TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError)


def drop_end(ids: Sequence[int], tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """The tokens of a text that will be continued, without the end token that some tokenizers append to every text."""
    return list(ids[:-1] if ids and ids[-1] == getattr(tokenizer, "eos_token_id", None) else ids)


def _as_text(messages: Messages, tokenizer: "PreTrainedTokenizerBase") -> str:
    if not tokenizer.chat_template:
        return messages[0]["content"]
    return str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))
