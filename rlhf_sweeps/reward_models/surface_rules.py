"""Rules that see an answer's surface alone: a reward model that ranks no better may have learnt no more."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from rlhf_sweeps.data import Pair

# Pictographs, symbols, dingbats, flags: what a reader calls an emoji.
EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2b50\u2b55]")
WORD = re.compile(r"[\w'’]+")
AI_MENTION = re.compile(r"\bAIs?\b|\bartificial intelligence\b|\blanguage models?\b", re.IGNORECASE)


@dataclass(frozen=True)
class Surface:
    """A number that is read off an answer, and what the answers with more and with less of it are called."""

    measure: Callable[[str], float]
    more: str
    less: str
    is_more_better: bool = True  # where the training pairs do not say


@dataclass(frozen=True)
class Rule:
    """A surface and which way it ranks."""

    surface: Surface
    is_more_better: bool

    @property
    def name(self) -> str:
        """What the better answer is."""
        return self.surface.more if self.is_more_better else self.surface.less

    def margins(self, pairs: Sequence[Pair]) -> list[float]:
        """By how much it ranks the chosen answer before the rejected one, (pairs,)."""
        sign = 1 if self.is_more_better else -1
        return [sign * (self.surface.measure(pair.chosen) - self.surface.measure(pair.rejected)) for pair in pairs]


def mean_word_length(text: str) -> float:
    """Characters a word; 0 without words."""
    words = WORD.findall(text)
    return fmean(map(len, words)) if words else 0.0


SURFACES = (
    Surface(len, "longer", "shorter"),
    Surface(lambda text: text.count("?"), "more ?", "fewer ?"),
    Surface(lambda text: text.count("!"), "more !", "fewer !"),
    Surface(lambda text: len(EMOJI.findall(text)), "more emoji", "fewer emoji"),
    Surface(mean_word_length, "longer words", "shorter words", is_more_better=False),
    Surface(lambda text: len(AI_MENTION.findall(text)), "more about AI", "less about AI", is_more_better=False),
)


def fit_rules(pairs: Sequence[Pair]) -> list[Rule]:
    """Every surface, ranking the way that is right more often on these pairs."""
    rules = []
    for surface in SURFACES:
        margins = Rule(surface, is_more_better=True).margins(pairs)
        balance = sum((margin > 0) - (margin < 0) for margin in margins)
        rules.append(Rule(surface, balance > 0 if balance else surface.is_more_better))
    return rules
