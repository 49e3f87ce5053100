"""Finds sentences that exclude each other, in all that is said of one record.

A sentence makes claims: of one subject (a run, a pair of groups, the sweep), on one topic, by one word. Two claims on
one subject and topic exclude each other if their words differ, but for those in COMPATIBLE.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

ONE_MODEL = "a reward model alone"  # what a sentence is about that is of the settings of one among several
BETTER, NOISE, UNKNOWN = "better", "within noise", "cannot tell"
LOST = "evaluations over the budget"
# A KL may be negative at first, and evaluations are not what is trained on.
COMPATIBLE = {
    frozenset(pair)
    for pair in (
        ("blow-up", "negative"),
        (LOST, "blow-up"),
        (LOST, "negative"),
        (LOST, "over the budget"),
        ("does not rise", "falls throughout"),
    )
}

_KL = re.compile(r"^KL divergence\b.*?; (under control|close to|over the budget|blow-up|negative)")
_COUNTED = re.compile(r"(under control|close to the budget|over the budget|blow-up|negative) in \d+[^(,;]*\(([^)]*)\)")
_VERDICTS = {
    r"better than (.+?) by more than noise": BETTER,
    r"within noise of (.+?)(?:, and |\. |$)": NOISE,
    r"too few runs to compare it with (.+)": UNKNOWN,
}
_KINDS = {
    "KL blow-up": ("KL", "blow-up"),
    "negative KL": ("KL", "negative"),
    "over the KL budget": ("KL", LOST),
    "never within the KL budget": ("KL", LOST),
    "entropy collapse": ("entropy", "collapse"),
}
_RISES = re.compile(r"^(?:step reward|score) (rises|falls) throughout")


@dataclass(frozen=True)
class Said:
    """A sentence, or a row of a table.

    Attributes:
        place: the output that it stands in.
        text: without its indentation.
        about: what it is of, where the sentence does not say it: a run's name.
        labels: of the groups that it may speak of, best first.
        key: that these groups differ in; empty for the settings of a sweep.
    """

    place: str
    text: str
    about: str = ""
    labels: Sequence[str] = ()
    key: str = ""


@dataclass(frozen=True)
class Claim:
    """What a sentence claims."""

    subject: str
    topic: str
    word: str
    said: Said = field(compare=False)


def contradictions(said: Iterable[Said], names: Mapping[str, str] | None = None) -> list[tuple[Claim, Claim]]:
    """Every two claims that exclude each other.

    Args:
        names: of settings -> the one that stands for all: `trial 3` may be `ppo.lr=0.001`.
    """
    by_subject: dict[tuple[str, str], dict[str, Claim]] = {}
    for one in said:
        for claim in claims_of(one, names or {}):
            by_subject.setdefault((claim.subject, claim.topic), {}).setdefault(claim.word, claim)
    return [
        pair
        for claims in by_subject.values()
        for pair in combinations(claims.values(), 2)
        if frozenset(claim.word for claim in pair) not in COMPATIBLE and not _is_of_more(pair)
    ]


def _is_of_more(pair: Sequence[Claim]) -> bool:
    """Whether one says that runs alone cannot tell, and the other what a fit or repetitions tell, and names these."""
    are_named = any("smooth fit" in claim.said.text or " on other seeds" in claim.said.text for claim in pair)
    return any(claim.word == UNKNOWN for claim in pair) and are_named


def claims_of(said: Said, names: Mapping[str, str]) -> Iterator[Claim]:
    """The claims of a sentence; none of one that says nothing of these topics."""
    yield from _of_a_run(said)
    yield from _of_pairs(said, names)
    yield from _of_the_best(said, names)


def _of_a_run(said: Said) -> Iterator[Claim]:
    if said.text in _KINDS:
        yield Claim(said.about, *_KINDS[said.text], said)
        return
    if "the score does not rise" in said.text:
        yield Claim(said.about, "score", "does not rise", said)
    if not said.text.startswith(("KL divergence", "entropy ", "step reward ", "score ")):
        return
    for word, runs in _COUNTED.findall(said.text):
        for run in runs.split(", "):
            yield Claim(run, "KL", word, said)
    if said.about and (found := _KL.search(said.text)):
        yield Claim(said.about, "KL", found[1], said)
    if said.about and said.text.startswith("entropy "):
        yield Claim(said.about, "entropy", "collapse" if "; collapse" in said.text else "calm", said)
    if said.about and (found := _RISES.search(said.text)):
        yield Claim(said.about, "score", f"{found[1]} throughout", said)


def _of_pairs(said: Said, names: Mapping[str, str]) -> Iterator[Claim]:
    """Of groups of one key, and of settings where each of these is one value of the key."""

    def pair(first: str, second: str, word: str) -> Claim:
        known = [f"{said.key}={name}" if said.key else names.get(name, name) for name in (first, second)]
        return Claim(" and ".join(sorted(known)), "better", f"{word} ({known[0]})" if word == BETTER else word, said)

    text = re.sub(r"^(Yes|No|Unknown|Not against all): ", "", said.text)
    others = said.labels[1:]
    if found := re.match(r"(.+) is better than every other( group)? by more than", text):
        yield from (pair(found[1], other, BETTER) for other in others)
    elif said.text.startswith("Yes, judged by") and said.labels:
        yield from (pair(said.labels[0], other, BETTER) for other in others)
    elif found := re.match(r"(.+) has the best value\. (.+)", text):
        for pattern, word in _VERDICTS.items():
            if others_found := re.search(pattern, found[2]):
                yield from (pair(found[1], other, word) for other in _listed(others_found[1], said.labels))
    elif found := re.match(r"(.+?) (?:is|are) within noise of (?:trial|run)", text):
        yield from (pair(said.labels[0], other, NOISE) for other in _listed(found[1], said.labels))
    elif found := re.match(r"[Tt]oo few seeds to judge (.+)", text):
        yield from (pair(said.labels[0], other, UNKNOWN) for other in _listed(found[1], said.labels))
    elif found := re.match(r"It beats (.+) by more than noise", text):
        yield from (pair(said.labels[0], other, BETTER) for other in _listed(found[1], said.labels))
    elif found := re.match(r"row (\S+) \| (\S+) \| (within noise|beaten|cannot tell)", text):
        yield pair(found[1], found[2], {"beaten": BETTER}.get(found[3], found[3]))
    elif found := re.match(r"\d+\.\s+(\S+) .*within noise of (\S+)$", text):
        yield pair(found[2], found[1], NOISE)
    if found := re.search(r"; (trials? [\d, and]+) could also be the best", text):
        yield pair(said.labels[0], found[1], NOISE)


def _of_the_best(said: Said, names: Mapping[str, str]) -> Iterator[Claim]:
    if said.about == ONE_MODEL:
        return
    patterns = (
        r"(Trials? [\d, and]+) (?:leads?|(?:is|are) the best)\b",
        r"Reward model (\S+)(?: leads| is the best)?(?: \([^)]*\))?: win rate",
        r"(?:best|leading) \S+ \S+(?: \([^)]*\))?: (trial \d+),",
        r"(?:best|leading) \S+ \S+ on \d+ test seeds?(?: \(the number to report\))?, .*: (trial \d+),",
        r"(?:best|leading \(not decided\)): (trial \d+),",
        r"1\.\s+(\S+) +\d+ \[",
    )
    for pattern in patterns:
        if found := re.match(pattern, said.text):
            name = found[1][0].lower() + found[1][1:] if found[1].startswith("Trial") else found[1]
            name = name if name.startswith("trial") else f"reward_model={name}"
            yield Claim("the sweep", "best", names.get(name, name), said)
    of_groups = r"(?:place 1: )?(\S+?)(?: has the best value\b.*| is better than every other group by more than noise)?"
    found = re.fullmatch(of_groups, said.text)
    if found and said.key and found[1] != said.text and f"{said.key}={found[1]}" in names.values():
        yield Claim("the sweep", "best", f"{said.key}={found[1]}", said)


def _listed(text: str, labels: Sequence[str]) -> list[str]:
    """`a, b and c`, or `trials 0, 1 and 2`, apart; but trials that are one of the labels are one setting."""
    if text in labels:
        return [text]
    shared = re.match(r"(trial|run)s ", text)
    names = re.split(r", | and ", text.removeprefix(shared[0]) if shared else text)
    return [f"{shared[1]} {name}" if shared else name for name in names]
