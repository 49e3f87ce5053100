"""The judge of the embedded data: the grammar that wrote them says which answers it could have written.

It has no weights, so training cannot exploit it: it knows all sentences that the grammar has, and no others. Their
length does not count: its limits keep the written answers within 32 tokens, and a longer answer is as good. It is
called "gold" in the sense of Gao et al., "Scaling laws for reward model overoptimization" (arXiv 2210.10760): what the
reward model only approximates.

    python -m rlhf_sweeps.assets.judge outputs/<run>

prints the shares of a run's held-out answers that are casual, stiff and garbled.
"""

import sys
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

from rlhf_sweeps.assets.grammar import CASUAL, FORMAL, QUESTIONS, TOPICS, Style, open_sentence
from rlhf_sweeps.record import Run

CASUAL_ANSWER, STIFF_ANSWER, GARBLED = "casual", "stiff", "garbled"
_COLUMNS = ("update", "prompt", "response", "base_response")  # of a row of a run's samples


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
    if prompt not in _find_questions():
        raise ValueError(
            f"the prompt {prompt!r} is no question of the embedded data; for other data, set eval.judges=[]"
        )
    topic, kind = _find_questions()[prompt]
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
def _find_questions() -> dict[str, tuple[str, str]]:
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


def print_shares(folder: Path) -> None:
    """Print the shares among the base policy's answers, and among the policy's answers at each evaluation.

    Raises:
        ConfigError: if the folder holds no samples of a run on the embedded data.
    """
    samples = _read_samples(folder)
    first = samples[0]["update"]
    answered = {"base": [(row["prompt"], row["base_response"]) for row in samples if row["update"] == first]}
    for row in samples:
        answered.setdefault(f"update {row['update']}", []).append((row["prompt"], row["response"]))
    print(f"{'':10}" + "".join(f"{name:>9}" for name in (CASUAL_ANSWER, STIFF_ANSWER, GARBLED)))
    for name, exchanges in answered.items():
        print(f"{name:10}" + "".join(f"{100 * share:>7.1f} %" for share in count_shares(exchanges).values()))


def _read_samples(folder: Path) -> list[dict[str, Any]]:
    from rlhf_sweeps.config.fields import ConfigError

    run = Run(folder)
    samples, file = run.samples(), run.samples_file.name
    if not samples:
        raise ConfigError(
            f"run={folder}: holds no {file} with answers (allowed: the folder of a run with an evaluation)"
        )
    for row in samples:
        if lost := [column for column in _COLUMNS if column not in row]:
            raise ConfigError(f"run={folder}: a row of its {file} lacks {lost[0]} (allowed: rows as a run writes them)")
        if row["prompt"] not in _find_questions():
            raise ConfigError(
                f"run={folder}: the prompt {row['prompt']!r} is of other data "
                "(allowed: a run on the embedded data, dataset=human_like_mini)"
            )
    return samples


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command."""
    # Imported here, since a run that has this reward model needs none of it.
    from rlhf_sweeps.config.fields import ConfigError
    from rlhf_sweeps.platforms.output import tolerate
    from rlhf_sweeps.process.closed_output import tolerate_closed_output
    from rlhf_sweeps.process.exit_status import INTERRUPTED, WRONG_INPUT
    from rlhf_sweeps.process.option_parser import OptionParser

    tolerate()
    parser = OptionParser(prog="python -m rlhf_sweeps.assets.judge", description=__doc__)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a run on the embedded data")
    try:
        with tolerate_closed_output():
            print_shares(parser.parse_args(arguments).folder)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(WRONG_INPUT)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
