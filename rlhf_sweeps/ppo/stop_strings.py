"""The token with which a response's text first holds a stop string, without decoding all of the text at every token.

A token's text depends on its neighbours: characters are split over tokens, a first token loses its space, spaces are
cleaned up. So no token is decoded alone, but a window of the latest ones that begins well before what a stop string can
reach, and where it holds one, the whole response decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlhf_sweeps.ppo.constants import REACH

# What a window's first tokens may have in place of their text in the whole, and what cleaning pairs up from there on.
UNSETTLED = " '#"
# What a part of a character, and a byte that belongs to none, is decoded to.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass
class StopStringSearch:
    """The search through one response as it grows.

    Attributes:
        strings: what is looked for.
        decode: token ids -> text.
        start: the window's first token.
        mark: the next window's first token, once the text from there on is long enough.
        length: characters of the window's text before the mark.
    """

    strings: Sequence[str]
    decode: Callable[[list[int]], str]
    start: int = 0
    mark: int = 0
    length: int = 0

    def ends(self, response: list[int]) -> bool:
        """Whether the response's text holds a stop string; to be asked after each of its tokens, until it does."""
        text = self.decode(response[self.start :])
        if self._is_in(text) and (self.start == 0 or self._is_in(self.decode(response))):
            return True
        # The next tokens may still turn the replacement character into another one: no window may begin there.
        if not text.endswith(REPLACEMENT):
            self._advance(response, text)
        return False

    def _advance(self, response: list[int], window: str) -> None:
        needed = max(map(len, self.strings)) + REACH
        # A replacement character may be found and lost again far back in a run of bytes, so it takes all of the text.
        if len(window) - self.length < needed or any(REPLACEMENT in string for string in self.strings):
            return
        text = window if self.mark == self.start else self.decode(response[self.mark :])
        if len(text.lstrip(UNSETTLED)) >= needed:
            self.start, self.mark, self.length = self.mark, len(response), len(text)

    def _is_in(self, text: str) -> bool:
        return any(string in text for string in self.strings)
