"""The tokens of an exchange for a classifier: the same in its training, in its report and in PPO.

Transformers reads a decoder's score at the last token, so one token more or less at the end changes the score. Chat
templates put text after a response: an end token, and often a newline. A response that ended gets all of this, however
it ended; a response that was cut gets none of it.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.data import Messages, as_text, drop_end, find_template_fault, list_template_errors
from rlhf_sweeps.process.failures import RewardModelError
from rlhf_sweeps.reward_models.exchange_cut import cut_exchange, keep_last_characters

MARKER = "x7q"  # replaces a response, to find the text that a template puts around it


class ExchangeTokens(NamedTuple):
    """The tokens of one exchange.

    Attributes:
        types: the token types of the first and the second text, for models that have such; else empty.
        is_cut: whether the exchange was cut.
    """

    ids: list[int]
    types: list[int]
    is_cut: bool = False


class ExchangeReader:
    """Turns prompts and responses into a classifier's tokens.

    Args:
        tokenizer: the classifier's.
        template: the template of the text; None: the tokenizer's chat template. If there is none, prompt and response
            are a pair of texts if the tokenizer has a separator; else the response follows the prompt directly, as in
            the output of a language model without a template.
        max_length: the largest number of tokens; None: any number.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str | None, max_length: int | None) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.max_length = max_length

    def read(
        self, prompt: Messages, response: str, ended: bool = True, closing: Sequence[int] | None = None
    ) -> ExchangeTokens:
        """The tokens of an exchange given as text.

        White space at both ends of the response is kept, even if the chat template would trim it, since policies write
        such white space.

        Args:
            prompt: chat messages that end on a user turn.
            ended: False for a response that was cut at the length limit.
            closing: tokens after the response, which replace those of the template.

        Raises:
            RewardModelError: if the chat template refuses the prompt, or leaves no room for it.
        """
        if self.is_pair:
            return self._read_pair(as_text(prompt), response)

        def encode(prompt: Messages, response: str) -> list[int]:
            ids = self._encode(prompt, response, ended and closing is None)
            return ids if closing is None else [*ids, *closing]

        ids = encode(prompt, response)
        if self.max_length is None or len(ids) <= self.max_length:
            return ExchangeTokens(ids, [])
        return ExchangeTokens(cut_exchange(prompt, response, encode, self.max_length, self.tokenizer), [], is_cut=True)

    def complete(self, sequence: Sequence[int], ended: bool, end_ids: Sequence[int]) -> list[int]:
        """The tokens of an exchange given as the policy's tokens: the same that `read` makes of its text.

        Args:
            sequence: the policy's tokens of prompt and response.
            end_ids: the tokens that end the policy's responses; the template's end token replaces any other one.
        """
        return [*self.strip(sequence, end_ids), *self._closing_ids] if ended else list(sequence)

    def strip(self, ids: Sequence[int], end_ids: Sequence[int]) -> list[int]:
        """The tokens of a response that ended, without its end token and the template's text after a response.

        A policy may write the template's text after a response itself, and then another end token.
        """
        stripped, closing = list(ids), self._closing_ids
        if stripped[-1] in end_ids:
            stripped.pop()
        if closing and closing[0] in self._special_tokens:
            for num in range(min(len(closing), len(stripped)), 0, -1):
                if stripped[-num:] == closing[:num]:
                    return stripped[:-num]
        return stripped

    def check_room(self, given: str) -> None:
        """Refuse a max_length that leaves no token for one of the texts; `given` is the setting.

        Raises:
            ConfigError: if it does.
        """
        if self.is_pair:
            frame = self.tokenizer.num_special_tokens_to_add(pair=True)
        else:
            frame = len(self._encode(keep_last_characters(_make_question(), 0), "", ended=True))
        if self.max_length is not None and self.max_length < frame + 2:
            raise ConfigError(f"{given}: must read at least {frame + 2} tokens, since the template takes {frame}")

    def fault(self, prompts: Iterable[Messages]) -> str | None:
        """What is wrong with the chat template for these prompts with a response; None if nothing is."""
        if self.template is not None or not self.tokenizer.chat_template:
            return None
        exchanges = ([*prompt, {"role": "assistant", "content": ""}] for prompt in [_make_question(), *prompts])

        def render(messages: Messages) -> str:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False))

        return find_template_fault(exchanges, render)

    @property
    def is_pair(self) -> bool:
        """Whether prompt and response are read as a pair of texts with special tokens."""
        return self.template is None and not self.tokenizer.chat_template and self.tokenizer.sep_token is not None

    @property
    def writes_policy_prompt(self) -> bool:
        """Whether the text of an exchange is the policy's prompt with the response right after it.

        Some chat templates put more text between the two than they give a policy (such as an empty thought), or change
        the response; others have no prompt for a policy.
        """
        return self.template is None and not self.is_pair and self._opening is not None

    def _read_pair(self, question: str, response: str) -> ExchangeTokens:
        pair = self.tokenizer(question, response, verbose=False)  # cuts are reported by the caller
        is_cut = self.max_length is not None and len(pair["input_ids"]) > self.max_length
        if is_cut:
            # The tokenizer cuts the end of the longer text and keeps the special tokens around both.
            pair = self.tokenizer(question, response, truncation="longest_first", max_length=self.max_length)
        return ExchangeTokens(pair["input_ids"], pair.get("token_type_ids", []), is_cut)

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
        continuation = self._opening + response if response else ""
        ids = self._encode_after(head, continuation, add_special_tokens=not self.tokenizer.chat_template)
        return ids + self._closing_ids if ended else ids

    def _encode_after(self, head: str, continuation: str, add_special_tokens: bool) -> list[int]:
        """The tokens of a head and its continuation, which begin with the tokens of the head, as a policy's do."""
        head_ids, ids = (
            drop_end(self._ids(text, add_special_tokens), self.tokenizer) for text in (head, head + continuation)
        )
        # In the joint text, a token may span the end of the head, or a special token may swallow the space after it.
        if ids[: len(head_ids)] == head_ids and not (continuation[:1].isspace() and self._swallows_space(head)):
            return ids
        # Alone, the continuation might get an additional space before it.
        for anchor in ("\n", "x"):
            anchor_ids, ids = self._ids(anchor), self._ids(anchor + continuation)
            if ids[: len(anchor_ids)] == anchor_ids:
                return head_ids + ids[len(anchor_ids) :]
        return head_ids + self._ids(continuation)

    def _swallows_space(self, head: str) -> bool:
        """Whether the head's last token swallows white space after it."""
        return self._ids(f"{head} x") == self._ids(f"{head}x") or self._ids(f"{head}\nx") == self._ids(f"{head}x")

    def _ids(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=add_special_tokens, verbose=False)["input_ids"])

    @cached_property
    def _end_of_template(self) -> str:
        """The text of `template` after the response, if it is a turn's end: special tokens and white space only."""
        assert self.template is not None
        end = words = self.template.rpartition("{response}")[2]
        for token in self._special_tokens.values():
            words = words.replace(token, "")
        return "" if words.strip() else end

    @cached_property
    def _special_tokens(self) -> dict[int, str]:
        """Id -> text of all special tokens, also of those without a name in the tokenizer."""
        return {num: token.content for num, token in self.tokenizer.added_tokens_decoder.items() if token.special}

    @cached_property
    def _around(self) -> tuple[str, str]:
        """The chat template's text before and after a response; two empty texts if it refuses the question."""
        try:
            text = self._render([*_make_question(), {"role": "assistant", "content": MARKER}])
        except RewardModelError:
            return "", ""
        before, _, after = text.rpartition(MARKER)
        return before, after

    @property
    def _closing(self) -> str:
        return self._around[1]

    @property
    def opening(self) -> str:
        """The white space that the chat template puts between a policy's prompt and its response."""
        return self._opening or ""

    @cached_property
    def _opening(self) -> str | None:
        """The white space between a policy's prompt and its response; None if any other text is between them."""
        if not self.tokenizer.chat_template:
            return ""
        head, before = self._render(_make_question(), add_generation_prompt=True), self._around[0]
        space = before.removeprefix(head)
        return space if before.startswith(head) and not space.strip() else None

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
        except list_template_errors() as error:
            roles = ", ".join(message["role"] for message in messages)
            raise RewardModelError(f"the reward model's chat template refuses turns of {roles} ({error})") from error


def _make_question() -> Messages:
    return [{"role": "user", "content": "How are you?"}]
