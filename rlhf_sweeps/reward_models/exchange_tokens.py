"""The tokens that a classifier reads of an exchange: in its training, in its report and when PPO scores, the same.

Transformers reads a decoder's score at the last token, so a token more or less at the end is another score. Chat
templates put something after a response: an end token, and often a newline. A response that ended gets all of it,
however it ended; one that was cut gets nothing.
"""

import bisect
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from rlhf_sweeps.data import Messages, as_text
from rlhf_sweeps.fields import ConfigError
from rlhf_sweeps.reward_models import RewardModelError

MARKER = "x7q"  # stands for a response, to find out what a template puts around it


class Tokens(NamedTuple):
    """What is read of one exchange.

    Attributes:
        types: tell a pair's first text from its second, where that counts; else empty.
        is_cut: whether it is less than the whole exchange.
    """

    ids: list[int]
    types: list[int]
    is_cut: bool = False


class ExchangeReader:
    """Turns prompts and responses into a classifier's tokens.

    Args:
        tokenizer: the classifier's.
        template: prompt and response as the text that it reads; None: by its tokenizer's chat template, else as a pair
            where the tokenizer separates two texts, else the response right after the prompt, as a language model
            without a template writes it.
        max_length: tokens at most; None: any number.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str | None, max_length: int | None) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.max_length = max_length

    def read(self, prompt: Messages, response: str, ended: bool = True) -> Tokens:
        """The tokens of an exchange that is given as text.

        Args:
            prompt: chat messages that end on a user turn.
            ended: False for a response that was cut at the length limit.

        Raises:
            RewardModelError: if the chat template refuses the prompt, or leaves no room for it.
        """
        if self.is_pair:
            return self._read_pair(as_text(prompt), response)
        ids = self._encode(prompt, response, ended)
        if self.max_length is None or len(ids) <= self.max_length:
            return Tokens(ids, [])
        return Tokens(self._cut(prompt, response, ended, self.max_length), [], is_cut=True)

    def complete(self, sequence: Sequence[int], ended: bool, end_ids: Sequence[int]) -> list[int]:
        """The tokens of an exchange that is given as the policy's: those that `read` makes of the same text.

        Args:
            sequence: of prompt and response.
            end_ids: tokens that end the policy's responses; another than the template's is replaced by it.
        """
        ids = list(sequence)
        if not ended:
            return ids
        if ids[-1] in end_ids:
            ids.pop()
        return ids + self._closing_ids

    def check_room(self, given: str) -> None:
        """Refuse a max_length that leaves no token for either text; given: the setting.

        Raises:
            ConfigError: if it does.
        """
        if self.is_pair:
            frame = self.tokenizer.num_special_tokens_to_add(pair=True)
        else:
            frame = len(self._encode(_last(_question(), 0), "", ended=True))
        if self.max_length is not None and self.max_length < frame + 2:
            raise ConfigError(f"{given}: must be at least {frame + 2}, since the template takes {frame} tokens")

    @property
    def is_pair(self) -> bool:
        """Whether two texts are read, between special tokens."""
        return self.template is None and not self.tokenizer.chat_template and self.tokenizer.sep_token is not None

    @cached_property
    def writes_as_policies_do(self) -> bool:
        """Whether the text of an exchange is a prompt as policies are given it, with the response right after it.

        Some chat templates put more between the two than they give a policy to go on from (an empty thought), or take a
        response apart; some have no prompt for a policy.
        """
        if self.template is not None or self.is_pair:
            return False
        return self._opening is not None

    def _read_pair(self, question: str, response: str) -> Tokens:
        # The tokenizer cuts the end of the longer text, so that the special tokens around both stay.
        limit = {"truncation": "longest_first", "max_length": self.max_length} if self.max_length else {}
        pair = self.tokenizer(question, response, **limit)
        is_cut = self.max_length is not None and len(pair["input_ids"]) == self.max_length
        if is_cut:
            is_cut = len(self.tokenizer(question, response)["input_ids"]) > len(pair["input_ids"])
        return Tokens(pair["input_ids"], pair.get("token_type_ids", []), is_cut)

    def _encode(self, prompt: Messages, response: str, ended: bool) -> list[int]:
        """The tokens of a whole exchange."""
        if self.template is not None:
            text = self.template.format(prompt=as_text(prompt), response=response)
            return self._ids(text if ended else text.removesuffix(self._end_of_template), add_special_tokens=True)
        if self._opening is None:
            text = self._render([*prompt, {"role": "assistant", "content": response}])
            return self._ids(text if ended else text.removesuffix(self._closing))
        if self.tokenizer.chat_template:
            head = self._render(prompt, add_generation_prompt=True)
        else:
            head = as_text(prompt) if len(prompt) == 1 else f"{as_text(prompt)}\n"
        # A tokenizer may leave out the white space that a response begins with.
        opening = self._opening if response and not response.startswith(self._opening) else ""
        ids = self._encode_after(head, opening + response, add_special_tokens=not self.tokenizer.chat_template)
        return ids + self._closing_ids if ended else ids

    def _encode_after(self, head: str, rest: str, add_special_tokens: bool) -> list[int]:
        """The tokens of head and rest that begin with those of the head, as what a policy is given and writes does."""
        head_ids, ids = (self._ids(text, add_special_tokens) for text in (head, head + rest))
        if add_special_tokens:  # some tokenizers end every text
            head_ids, ids = (part[:-1] if part[-1:] == self._closing_ids else part for part in (head_ids, ids))
        if ids[: len(head_ids)] == head_ids:
            return ids
        return head_ids + self._ids(rest)  # else one token would take in the end of the head

    def _ids(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"])

    @cached_property
    def _end_of_template(self) -> str:
        """What `template` has after the response, if it is but special tokens and white space: the end of a turn."""
        assert self.template is not None
        end = words = self.template.rpartition("{response}")[2]
        for token in self.tokenizer.all_special_tokens:
            words = words.replace(token, "")
        return "" if words.strip() else end

    @cached_property
    def _around(self) -> tuple[str, str]:
        """What the chat template puts before and after a response."""
        before, _, after = self._render([*_question(), {"role": "assistant", "content": MARKER}]).rpartition(MARKER)
        return before, after

    @property
    def _closing(self) -> str:
        return self._around[1]

    @cached_property
    def _opening(self) -> str | None:
        """The white space between a policy's prompt and its response; None where anything else is between them."""
        if not self.tokenizer.chat_template:
            return ""
        head, before = self._render(_question(), add_generation_prompt=True), self._around[0]
        rest = before.removeprefix(head)
        return rest if before.startswith(head) and not rest.strip() else None

    @cached_property
    def _closing_ids(self) -> list[int]:
        if not self.tokenizer.chat_template:
            end = self.tokenizer.eos_token_id
            return [] if end is None else [end]
        cut, whole = (self._ids(f"{self._around[0]}{MARKER}{closing}") for closing in ("", self._closing))
        return whole[len(cut) :] if whole[: len(cut)] == cut else self._ids(self._closing)

    def _render(self, messages: Messages, add_generation_prompt: bool = False) -> str:
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=add_generation_prompt
                )
            )
        except TemplateError as error:  # templates raise it for roles or orders that the model was not trained on
            roles = ", ".join(message["role"] for message in messages)
            raise RewardModelError(f"the reward model's chat template refuses turns of {roles} ({error})") from error

    def _cut(self, prompt: Messages, response: str, ended: bool, max_length: int) -> list[int]:
        """At most so many tokens: of the prompt's text the end, of the response's the beginning.

        Each has half of the room, and the other's too as far as that does not need it. Special tokens and the
        template's words stay whole.
        """

        def encode(num_prompt: int, num_response: int) -> list[int]:
            return self._encode(_last(prompt, num_prompt), response[:num_response], ended)

        num_prompt = sum(len(message["content"]) for message in prompt)
        frame = len(encode(0, 0))
        room = max_length - frame
        if room < 0:
            raise RewardModelError(
                f"the reward model reads {max_length} tokens, of which its template alone takes {frame}"
            )
        needs_prompt, needs_response = len(encode(num_prompt, 0)) - frame, len(encode(0, len(response))) - frame
        response_room = min(needs_response, max(room - room // 2, room - needs_prompt))
        num_prompt = _most(num_prompt, max_length - response_room, lambda num: len(encode(num, 0)))
        num_response = _most(len(response), max_length, lambda num: len(encode(num_prompt, num)))
        return encode(num_prompt, num_response)


def _question() -> Messages:
    return [{"role": "user", "content": "How are you?"}]


def _most(num: int, limit: int, length: Callable[[int], int]) -> int:
    """How many of so many characters make at most `limit` tokens; a cut between tokens could fall inside one."""
    return num if length(num) <= limit else max(0, bisect.bisect_right(range(num + 1), limit, key=length) - 1)


def _last(messages: Messages, num: int) -> Messages:
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
