"""An exchange in no more tokens than a classifier reads: the texts are cut, special tokens and templates stay whole."""

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
    """At most so many tokens: of the prompt's text the end, of the response's the beginning.

    Each has half of the room, and the other's too as far as that does not need it.

    Args:
        encode: prompt and response -> tokens, template included.

    Raises:
        RewardModelError: if the template leaves no room.
    """
    empty = last_characters(prompt, 0)
    frame = len(encode(empty, ""))
    room = max_length - frame
    if room < 0:
        raise RewardModelError(f"the reward model reads {max_length} tokens, of which its template alone takes {frame}")
    prompt_room = room - min(len(encode(empty, response)) - frame, room - room // 2)
    num_prompt = _fit(
        sum(len(message["content"]) for message in prompt),
        frame + prompt_room,
        lambda num: len(encode(last_characters(prompt, num), "")),
        _last_tokens(as_text(prompt), prompt_room, tokenizer),
    )
    prompt_end = last_characters(prompt, num_prompt)
    num_response = _fit(
        len(response),
        max_length,
        lambda num: len(encode(prompt_end, response[:num])),
        _first_tokens(response, max_length - len(encode(prompt_end, "")), tokenizer),
    )
    return encode(prompt_end, response[:num_response])


def last_characters(messages: Messages, num: int) -> Messages:
    """A conversation of which only the last characters are left; turns without any, but for a system's, are left out.

    The user's and the assistant's go together, since many templates want them to alternate.
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


def _first_tokens(text: str, num: int, tokenizer: PreTrainedTokenizerBase) -> int:
    """About how many characters a text's first tokens have."""
    places = _places(text, tokenizer)
    return len(text) if num >= len(places) else places[max(num, 0)]


def _last_tokens(text: str, num: int, tokenizer: PreTrainedTokenizerBase) -> int:
    """About how many characters a text's last tokens have."""
    places = _places(text, tokenizer)
    return len(text) if num >= len(places) else len(text) - [*places, len(text)][len(places) - max(num, 0)]


def _places(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The character at which each token begins; as if all were of one length, where the tokenizer does not know."""
    if tokenizer.is_fast:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [first for first, _ in encoded["offset_mapping"]]
    num = len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    return [len(text) * place // num for place in range(num)]


def _fit(num: int, limit: int, length: Callable[[int], int], guess: int) -> int:
    """How many of so many characters make at most `limit` tokens.

    Looked for around the guess: to encode is slow. A cut between tokens could fall inside a character, and a part's
    tokens are not always among those of the whole.
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
