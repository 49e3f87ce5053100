"""Prompts as the policy's tokens, those of the wrong length left out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlhf_sweeps.data.messages import Messages
from rlhf_sweeps.fields import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Encoded:
    """Prompts as the policy reads them, those that are too long or too short left out."""

    messages: list[Messages]
    ids: list[list[int]]
    num_too_long: int
    num_too_short: int = 0

    def first(self, num: int) -> "Encoded":
        """The first few of them, or all there are."""
        return self.rows(range(min(num, len(self.ids))))

    def rows(self, index: Sequence[int]) -> "Encoded":
        """Some of them; the counts of those left out stay those of all."""
        return Encoded(
            [self.messages[i] for i in index], [self.ids[i] for i in index], self.num_too_long, self.num_too_short
        )


def encode(
    prompts: Iterable[Messages], tokenizer: "PreTrainedTokenizerBase", max_length: int, min_length: int = 1
) -> Encoded:
    """Template and tokenize prompts; one without a template is given to the policy as its plain text.

    Args:
        prompts: repeats, which a mixture is full of, are tokenized once and counted each time.
        tokenizer: the policy's.
        max_length: the most tokens that a prompt may have, its template included.
        min_length: the fewest.

    Raises:
        ConfigError: if none has an allowed length, or the tokenizer has no template for a conversation.
    """
    prompts = list(prompts)
    known: dict[int, list[int]] = {}
    for messages in prompts:
        if id(messages) not in known:
            known[id(messages)] = _encode(messages, tokenizer)
    ids = [known[id(messages)] for messages in prompts]
    kept = [i for i, tokens in enumerate(ids) if min_length <= len(tokens) <= max_length]
    num_too_long = sum(len(tokens) > max_length for tokens in ids)
    num_too_short = len(ids) - len(kept) - num_too_long
    if not kept:
        raise ConfigError(_nothing_left(sorted(map(len, ids)), max_length, min_length, num_too_long))
    return Encoded([prompts[i] for i in kept], [ids[i] for i in kept], num_too_long, num_too_short)


def _nothing_left(lengths: list[int], max_length: int, min_length: int, num_too_long: int) -> str:
    if not lengths:
        return "dataset.path: there are no prompts to encode"
    if num_too_long == len(lengths):
        return f"dataset.max_prompt_length={max_length}: every prompt is longer; the shortest has {lengths[0]} tokens"
    if num_too_long == 0:
        return f"dataset.min_prompt_length={min_length}: every prompt is shorter; the longest has {lengths[-1]} tokens"
    return (
        f"dataset.max_prompt_length={max_length}: no prompt has {min_length} to {max_length} tokens "
        f"({len(lengths) - num_too_long} are shorter, {num_too_long} longer)"
    )


def _encode(messages: Messages, tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    if tokenizer.chat_template:
        ids = _apply_template(messages, tokenizer)
    elif len(messages) == 1:
        ids = tokenizer(messages[0]["content"])["input_ids"]
    else:
        raise ConfigError("dataset.prompt_column: holds conversations, and the model's tokenizer has no chat template")
    return list(ids)


def _apply_template(messages: Messages, tokenizer: "PreTrainedTokenizerBase") -> Any:
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    except TemplateError as error:  # templates raise it for roles or orders that the model was not trained on
        roles = ", ".join(message["role"] for message in messages)
        raise ConfigError(
            f"dataset.prompt_column: the model's chat template refuses turns of {roles} ({error})"
        ) from error
