"""The judge of the embedded data: the grammar that wrote them says which answers it could have written.

It has no weights, so training cannot exploit it: it knows all sentences that the grammar has, and no others. Their
length does not count: its limits keep the written answers within 32 tokens, and a longer answer is as good. It is
called "gold" in the sense of Gao et al., "Scaling laws for reward model overoptimization" (arXiv 2210.10760): what the
reward model only approximates. `rlhf_sweeps/garbled.py` prints what it says of a run.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import permutations

from rlhf_sweeps.assets.grammar import CASUAL, FORMAL, QUESTIONS, TOPICS, Style, open_sentence

CASUAL_ANSWER, STIFF_ANSWER, GARBLED = "casual", "stiff", "garbled"


def score(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """1 for each response that is a casual answer to its prompt, else 0; their mean is the share of such answers.

    Raises:
        ValueError: if a prompt is no question of the grammar.
    """
    return [float(classify(*exchange) == CASUAL_ANSWER) for exchange in zip(prompts, responses, strict=True)]


def classify(prompt: str, response: str) -> str:
    """Whether the grammar could have given a response to a prompt: casual, stiff, or garbled if it could not.

    Garbled are also answers about another topic, answers to another kind of question, and unfinished answers.

    Raises:
        ValueError: if the prompt is no question of the grammar.
    """
    if prompt not in find_questions():
        raise ValueError(
            f"the prompt {prompt!r} is no question of the embedded data; for other data, set eval.judges=[]"
        )
    topic, kind = find_questions()[prompt]
    if _is_answer(response, topic, kind, CASUAL):
        return CASUAL_ANSWER
    return STIFF_ANSWER if _is_answer(response, topic, kind, FORMAL) else GARBLED


def _is_answer(response: str, topic: str, kind: str, style: Style) -> bool:
    """Whether a response is a sentence of the style, with at most one question or remark and one emoji after it."""
    rest = response.strip()
    for emoji in style.emoji:
        if rest.endswith(f" {emoji}"):
            rest = rest.removesuffix(f" {emoji}")
            break
    marks = "!." if style.exclaim_share else "."
    sentences = _find_sentences(topic, kind, style is CASUAL)
    beginnings = [rest.removesuffix(f" {text}") for text in (*style.asks[kind], *style.remarks)]
    return any(text[-1] in marks and text[:-1] in sentences for text in [rest, *beginnings] if text)


@cache
def find_questions() -> dict[str, tuple[str, str]]:
    """Prompt -> its topic and kind."""
    return {
        form.format(act=topic): (topic, kind) for topic in TOPICS for kind, forms in QUESTIONS.items() for form in forms
    }


@cache
def _find_sentences(topic: str, kind: str, is_casual: bool) -> frozenset[str]:
    """All sentences, without their end mark, with which an answer can begin."""
    said, style = TOPICS[topic], CASUAL if is_casual else FORMAL
    return frozenset(
        open_sentence(opener, core.format(act=topic, detail=detail, other=other, tip=tip, moment=moment))
        for core in style.cores[kind]
        for detail, other in permutations(said["details"], 2)
        for tip in (said["tips"] if "{tip}" in core else [""])
        for moment in (said["moments"] if "{moment}" in core else [""])
        for opener in style.openers[kind]
    )


def count_shares(exchanges: Iterable[tuple[str, str]]) -> dict[str, float]:
    """The shares of (prompt, response) exchanges that are casual, stiff and garbled."""
    classes = [classify(prompt, response) for prompt, response in exchanges]
    return {name: classes.count(name) / len(classes) for name in (CASUAL_ANSWER, STIFF_ANSWER, GARBLED)}
