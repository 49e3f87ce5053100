"""Rules that use only surface features of an answer: a reward model that ranks no better may have learnt no more."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from rlhf_sweeps.data import PreferencePair

# Emoji: pictographs, symbols, dingbats, flags.
EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2b50\u2b55]")
WORD = re.compile(r"[\w'’]+")
AI_MENTION = re.compile(r"\bAIs?\b|\bartificial intelligence\b|\blanguage models?\b", re.IGNORECASE)


@dataclass(frozen=True)
class SurfaceFeature:
    """A surface feature of an answer, and the names of answers with more and with less of it."""

    measure: Callable[[str], float]
    more: str
    less: str
    is_more_better: bool = True  # if the training pairs do not decide it


@dataclass(frozen=True)
class SurfaceRule:
    """A surface feature, and whether answers with more of it rank higher."""

    surface: SurfaceFeature
    is_more_better: bool

    @property
    def name(self) -> str:
        """The name of the answers that rank higher."""
        return self.surface.more if self.is_more_better else self.surface.less

    def margins(self, pairs: Sequence[PreferencePair]) -> list[float]:
        """The margins, (pairs,): positive if the rule ranks the chosen answer higher than the rejected one."""
        sign = 1 if self.is_more_better else -1
        return [sign * (self.surface.measure(pair.chosen) - self.surface.measure(pair.rejected)) for pair in pairs]


def mean_word_length(text: str) -> float:
    """The mean number of characters of a word; 0 without words."""
    words = WORD.findall(text)
    return fmean(map(len, words)) if words else 0.0


SURFACE_FEATURES = (
    SurfaceFeature(len, "longer", "shorter"),
    SurfaceFeature(lambda text: text.count("?"), "more ?", "fewer ?"),
    SurfaceFeature(lambda text: text.count("!"), "more !", "fewer !"),
    SurfaceFeature(lambda text: len(EMOJI.findall(text)), "more emoji", "fewer emoji"),
    SurfaceFeature(mean_word_length, "longer words", "shorter words", is_more_better=False),
    SurfaceFeature(lambda text: len(AI_MENTION.findall(text)), "more about AI", "less about AI", is_more_better=False),
)


def fit_rules(pairs: Sequence[PreferencePair]) -> list[SurfaceRule]:
    """One rule for each surface feature, in the direction that ranks more of these pairs right."""
    rules = []
    for surface in SURFACE_FEATURES:
        margins = SurfaceRule(surface, is_more_better=True).margins(pairs)
        balance = sum((margin > 0) - (margin < 0) for margin in margins)
        rules.append(SurfaceRule(surface, balance > 0 if balance else surface.is_more_better))
    return rules
