"""The search for the first token at which a response contains a stop string, without decoding all text at every token.

The text of a token depends on its neighbours: characters are split over tokens, the first token loses its space, and
spaces are cleaned up. So a window of the latest tokens is decoded, which begins well before the longest possible match;
if the window contains a stop string, the whole response is decoded and decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlhf_sweeps.ppo.constants import REACH

# Characters at the beginning of a window that may be missing, or different, in the text of the whole response.
UNSETTLED = " '#"
# Incomplete characters, and invalid bytes, are decoded to this.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass
class StopStringSearch:
    """The search through one response as it grows.

    Attributes:
        strings: the stop strings.
        decode: token ids -> text.
        start: the index of the window's first token.
        mark: the index of the next window's first token; it is used once the text after it is long enough.
        length: the number of characters of the window's text before the mark.
    """

    strings: Sequence[str]
    decode: Callable[[list[int]], str]
    start: int = 0
    mark: int = 0
    length: int = 0

    def ends(self, response: list[int]) -> bool:
        """Whether the response's text contains a stop string; to be called after each of its tokens until it does."""
        text = self.decode(response[self.start :])
        if self._is_in(text) and (self.start == 0 or self._is_in(self.decode(response))):
            return True
        # The next tokens may still complete a character that is replaced now, so no window may begin there.
        if not text.endswith(REPLACEMENT):
            self._advance(response, text)
        return False

    def _advance(self, response: list[int], window: str) -> None:
        needed = max(map(len, self.strings)) + REACH
        # Later bytes can change a replacement character far back, so a search for that needs the whole text.
        if len(window) - self.length < needed or any(REPLACEMENT in string for string in self.strings):
            return
        text = window if self.mark == self.start else self.decode(response[self.mark :])
        if len(text.lstrip(UNSETTLED)) >= needed:
            self.start, self.mark, self.length = self.mark, len(response), len(text)

    def _is_in(self, text: str) -> bool:
        return any(string in text for string in self.strings)
