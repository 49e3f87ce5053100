"""Health of the answers: a stock phrase that they come to share, and answers that become alike, against the base's."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from analysis.health.hacking import OTHER_REWARD
from analysis.health.signals import Finding
from analysis.health.thresholds import (
    DISTINCT_LEFT,
    FEWEST_ANSWERS,
    PHRASE_RISE,
    PHRASE_SHARE,
    PHRASE_WORDS,
)
from analysis.records.runs import RunRecord, convert_number
from analysis.wording.statements import clip_text
from rlhf_sweeps.figures import format_share

STOCK_PHRASE = "stock phrase"
ALIKE = "answers become alike"

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_SENTENCE_END = re.compile(r"[.!?…。！？\n]+")
_LONGEST = 80  # characters of a phrase in a sentence; chosen


def check_phrases(run: RunRecord) -> Finding | None:
    """A phrase spreads over the answers, or the answers repeat each other, and the base policy's do neither.

    Reads the run's samples.
    """
    by_update = _group_answers(run.read_samples())
    if not by_update:
        return None
    answers, base = by_update[max(by_update)]
    if len(answers) < FEWEST_ANSWERS:
        return None
    phrase, share, base_share = find_spread_phrase(answers, base)
    distinct, base_distinct = measure_distinct(answers), measure_distinct(base)
    evidence = {
        "share of the answers with the phrase": share,
        "share of the base policy's answers with it": base_share,
        "distinct phrases": distinct,
        "distinct phrases of the base policy": base_distinct,
    }
    kinds = f"{format_share(distinct)} of the phrases of {PHRASE_WORDS} words are distinct, "
    kinds += f"{format_share(base_distinct)} of the base policy's"
    advice = f"read samples; see what other reward models say (eval.judges); {OTHER_REWARD}; raise ppo.kl_coef"
    if share >= PHRASE_SHARE and share - base_share >= PHRASE_RISE:
        middle = (share + base_share) / 2
        shares = {update: _measure_share(phrase, own) for update, (own, _) in by_update.items()}
        begins = min(update for update, each in shares.items() if each >= middle)
        text = f"{format_share(share)} of the answers have the phrase “{clip_text(phrase, _LONGEST)}”, "
        text += f"{format_share(base_share)} of the base policy's; {kinds}"
        return Finding(STOCK_PHRASE, begins, text, evidence, advice)
    if distinct < DISTINCT_LEFT * base_distinct:
        limits = {update: DISTINCT_LEFT * measure_distinct(theirs) for update, (_, theirs) in by_update.items()}
        begins = min(update for update, (own, _) in by_update.items() if measure_distinct(own) < limits[update])
        return Finding(ALIKE, begins, f"{kinds}: the answers repeat each other", evidence, advice)
    return None


def find_spread_phrase(answers: Sequence[str], base: Sequence[str]) -> tuple[str, float, float]:
    """The phrase that has spread most, the share of the answers that have it, and that of the base policy's.

    The phrase is empty if no answer has a word.
    """
    counts = Counter(chain.from_iterable(map(_list_phrases, answers)))
    base_counts = Counter(chain.from_iterable(map(_list_phrases, base)))
    rises = {each: counts[each] / len(answers) - base_counts[each] / max(1, len(base)) for each in counts}
    if not rises:
        return "", 0.0, 0.0
    phrase = max(sorted(rises), key=rises.__getitem__)
    return phrase, counts[phrase] / len(answers), base_counts[phrase] / max(1, len(base))


def measure_distinct(answers: Sequence[str]) -> float:
    """The number of different phrases over that of all, in 0 to 1; 1 without any phrase."""
    phrases = [phrase for answer in answers for phrase in _cut_phrases(answer)]
    return len(set(phrases)) / len(phrases) if phrases else 1.0


def _group_answers(samples: Sequence[Mapping[str, Any]]) -> dict[int, tuple[list[str], list[str]]]:
    """Update -> the policy's answers and the base policy's."""
    by_update: dict[int, tuple[list[str], list[str]]] = {}
    for sample in samples:
        update, answer, base = convert_number(sample.get("update")), sample.get("response"), sample.get("base_response")
        if update is not None and isinstance(answer, str) and isinstance(base, str):
            answers, base_answers = by_update.setdefault(int(update), ([], []))
            answers.append(answer)
            base_answers.append(base)
    return by_update


def _measure_share(phrase: str, answers: Sequence[str]) -> float:
    return sum(phrase in _list_phrases(answer) for answer in answers) / len(answers)


def _list_phrases(answer: str) -> set[str]:
    return set(_cut_phrases(answer))


def _cut_phrases(answer: str) -> list[str]:
    """Every sequence of so many words within a sentence; the whole of a shorter sentence."""
    phrases: list[str] = []
    for sentence in _SENTENCE_END.split(answer.lower()):
        words = _WORD.findall(sentence)
        if words:
            starts = range(max(1, len(words) - PHRASE_WORDS + 1))
            phrases += [" ".join(words[start : start + PHRASE_WORDS]) for start in starts]
    return phrases
