"""Cutting an exchange to the tokens that a classifier can read: texts are cut, special tokens and templates are not."""

from collections.abc import Callable

from transformers import PreTrainedTokenizerBase

from rlhf_sweeps.data import Messages, as_text
from rlhf_sweeps.process.failures import RewardModelError


def cut_exchange(
    prompt: Messages,
    response: str,
    encode: Callable[[Messages, str], list[int]],
    max_length: int,
    tokenizer: PreTrainedTokenizerBase,
) -> list[int]:
    """The tokens, at most `max_length`, of the end of the prompt's text and the beginning of the response's.

    Each text gets half of the available tokens, and those that the other text does not need.

    Args:
        encode: prompt and response -> tokens, with the template.

    Raises:
        RewardModelError: if the template leaves no room.
    """
    empty = keep_last_characters(prompt, 0)
    frame = len(encode(empty, ""))
    room = max_length - frame
    if room < 0:
        raise RewardModelError(f"the reward model reads {max_length} tokens, of which its template alone takes {frame}")
    prompt_room = room - min(len(encode(empty, response)) - frame, room - room // 2)
    num_prompt = _fit(
        sum(len(message["content"]) for message in prompt),
        frame + prompt_room,
        lambda num: len(encode(keep_last_characters(prompt, num), "")),
        _measure_last_tokens(as_text(prompt), prompt_room, tokenizer),
    )
    prompt_end = keep_last_characters(prompt, num_prompt)
    num_response = _fit(
        len(response),
        max_length,
        lambda num: len(encode(prompt_end, response[:num])),
        _measure_first_tokens(response, max_length - len(encode(prompt_end, "")), tokenizer),
    )
    return encode(prompt_end, response[:num_response])


def keep_last_characters(messages: Messages, num: int) -> Messages:
    """The last `num` characters of a conversation; messages that become empty are left out, except a system message.

    User and assistant messages are left out in pairs, since many templates require them to alternate.
    """
    contents: list[str] = []
    for message in reversed(messages):
        contents.append(message["content"][-num:] if num else "")
        num -= len(contents[-1])
    cut = [{**message, "content": content} for message, content in zip(messages, reversed(contents), strict=True)]
    first = 1 if cut[0]["role"] == "system" else 0
    while len(cut) > first + 2 and not cut[first]["content"] and not cut[first + 1]["content"]:
        del cut[first : first + 2]
    return cut


def _measure_first_tokens(text: str, num: int, tokenizer: PreTrainedTokenizerBase) -> int:
    """The approximate number of characters of a text's first tokens."""
    places = _find_token_starts(text, tokenizer)
    return len(text) if num >= len(places) else places[max(num, 0)]


def _measure_last_tokens(text: str, num: int, tokenizer: PreTrainedTokenizerBase) -> int:
    """The approximate number of characters of a text's last tokens."""
    places = _find_token_starts(text, tokenizer)
    return len(text) if num >= len(places) else len(text) - [*places, len(text)][len(places) - max(num, 0)]


def _find_token_starts(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The index of the first character of each token; if the tokenizer cannot tell, equally long tokens are assumed."""
    if tokenizer.is_fast:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [first for first, _ in encoded["offset_mapping"]]
    num = len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    return [len(text) * place // num for place in range(num)]


def _fit(num: int, limit: int, length: Callable[[int], int], guess: int) -> int:
    """The largest number of characters, of `num`, that make at most `limit` tokens.

    The search starts at a guess, since encoding is slow. Tokens cannot simply be cut: a cut could fall inside of a
    character, and a part of a text may have other tokens than the whole.
    """
    most, step = min(guess, num), 1
    while most and length(most) > limit:
        most, step = max(0, most - step), 2 * step
    while step and most < num:
        if most + step <= num and length(most + step) <= limit:
            most, step = most + step, 2 * step
        else:
            step //= 2
    return most
