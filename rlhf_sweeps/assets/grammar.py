"""A seeded grammar of questions about pastimes, answered casually (chosen) or stiffly (rejected).

Both styles fill the same details and tips of a topic (`topics.json`) into their sentence frames, so the two answers of
a pair differ in style and not in subject. No surface marker alone separates the styles: questions, exclamation marks
and lengths overlap, many casual answers contain no emoji, and most formal ones do not mention that they are an AI's.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

# All chosen.
NUM_TEST_TOPICS = 12  # topics whose pairs are the test set
PAIRS_PER_TOPIC = 10  # pairs
MIN_CHARS = 36  # characters of an answer


class Topic(TypedDict):
    """What can be said about one pastime: noun phrases, imperatives, and things that happened ("I ...")."""

    details: list[str]
    tips: list[str]
    moments: list[str]


class GrammarPair(TypedDict):
    """One preference pair: `chosen` is the casual answer, `rejected` the formal one."""

    topic: str
    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Style:
    """How one kind of speaker answers; each share is the probability that an answer has such a part.

    `max_chars` keeps answers to about 28 tokens of the embedded tokenizer, so that a 32-token response limit suffices.
    """

    openers: Mapping[str, Sequence[str]]
    cores: Mapping[str, Sequence[str]]
    asks: Mapping[str, Sequence[str]]
    remarks: Sequence[str]
    emoji: Sequence[str]
    max_chars: int
    ask_share: float
    remark_share: float
    exclaim_share: float
    emoji_share: float


TOPICS: dict[str, Topic] = json.loads(Path(__file__).with_name("topics.json").read_text(encoding="utf-8"))

QUESTIONS = {
    "like": (
        "Do you enjoy {act}?",
        "How do you feel about {act}?",
        "Are you a fan of {act}?",
        "Is {act} your kind of thing?",
    ),
    "best": (
        "What do you like most about {act}?",
        "What's the best part of {act}?",
        "Why do so many people love {act}?",
        "What makes {act} so much fun?",
    ),
    "tip": (
        "Any tips for {act}?",
        "How do I get better at {act}?",
        "I'm new to {act}. Where should I start?",
        "What should I know before {act} for the first time?",
    ),
    "story": (
        "Have you tried {act} lately?",
        "Any good stories about {act}?",
        "What happened the last time you tried {act}?",
        "Got a memory of {act} to share?",
    ),
}
FORMS = [(kind, form) for kind in sorted(QUESTIONS) for form in QUESTIONS[kind]]

# Moments are told in casual stories only, and are the longest to learn by heart; tips come next.
KINDS_TO_LEARN = ("best", "like", "tip", "tip", "story", "story", "story")

CASUAL = Style(
    openers={
        "like": ("", "", "", "Yeah,", "Oh yes,", "Honestly,", "For sure,", "Oh man,"),
        "best": ("", "", "", "Oh,", "Honestly,", "Hmm,", "Easy,", "Ooh,"),
        "tip": ("", "", "", "Sure,", "Oh,", "Okay,", "Well,", "Honestly,"),
        "story": ("", "", "", "Ha,", "Oh yeah,", "Funny you ask,", "Well,", "Yep,"),
    },
    cores={
        "like": (
            "I love it, mostly for {detail}",
            "I'm a big fan, and {detail} is the reason",
            "I can't get enough of it, especially {detail}",
            "I'm hooked on it, because {detail} gets me every time",
            "I wasn't sure at first, but {detail} won me over",
            "it's my favorite way to unwind, and {detail} makes my day",
            "there's nothing like {detail} to cheer me up",
            "I could do it every day of the week just for {detail}",
            "some days it saves my mood, and {detail} does the trick",
        ),
        "best": (
            "it's got to be {detail}",
            "it's {detail}, hands down",
            "I'd say {detail}, and {other} comes close",
            "I keep going back for {detail}, rain or shine",
            "nothing beats {detail} after a long and noisy week",
            "I live for {detail}, and {other} comes second",
            "{detail} is the bit I daydream about",
            "my friends laugh at me, but I'm all about {detail}",
            "for me it's {detail}, every single time",
        ),
        "tip": (
            "just {tip}, have a snack nearby, and you'll be fine",
            "my one trick is to {tip}, and it saves me every time",
            "I'd {tip}, and the rest comes with time",
            "I learned the hard way to {tip}, so laugh along with me",
            "start small, {tip}, and have fun with it",
            "a friend told me to {tip}, and it works like a charm",
            "you will want to {tip}, trust me on this one",
            "don't overthink it, just {tip} and enjoy the day",
        ),
        "story": (
            "I {moment} last week, and it made my day",
            "I {moment} just the other day, and my friends loved it",
            "I {moment} on Sunday, and I'm still smiling about it",
            "I once {moment}, and my sister still brings it up",
            "I {moment} last summer, and I'd do it all again",
            "my best one is the time I {moment}",
            "I {moment} on my birthday and laughed about it all night",
        ),
    },
    asks={
        "like": ("How about you?", "Are you into it too?", "Want to try it together?"),
        "best": ("What's yours?", "What do you like about it?", "Do you feel the same?"),
        "tip": ("When do you start?", "Want to hear more?", "How's it going so far?"),
        "story": ("Has that ever happened to you?", "What about you?", "Can you believe it?"),
    },
    remarks=(
        "So good.",
        "It never gets old.",
        "You'd love it.",
        "Give it a try sometime.",
        "It's such a treat.",
        "Good times.",
        "It's the little things.",
    ),
    emoji=("😊", "😄", "😂", "🙌", "✨", "🎉", "💛"),
    max_chars=93,
    ask_share=0.4,
    remark_share=0.3,
    exclaim_share=0.35,
    emoji_share=0.35,
)

FORMAL_OPENERS = (
    "",
    "",
    "In general,",
    "Broadly speaking,",
    "It is noted that",
    "As an AI, I note that",
    "As an AI assistant, I add that",
    "As an AI model, I report that",
    "As an AI, I hold no view, but",
)
FORMAL_ASKS = (
    "Are further details required?",
    "May I add details?",
    "Is guidance required?",
)
FORMAL = Style(
    openers=dict.fromkeys(QUESTIONS, FORMAL_OPENERS),
    cores={
        "like": (
            "{act} is widely valued, in particular for {detail}",
            "many individuals value {act} due to {detail}",
            "{act} is considered worthwhile, owing to {detail}",
            "one may derive satisfaction from {act}, notably from {detail}",
            "{detail} is often said to render {act} rewarding",
            "{act} is a suitable pursuit, given {detail}",
        ),
        "best": (
            "the principal appeal of {act} is {detail}",
            "{detail} is often cited as the foremost merit",
            "the most notable benefit of {act} is {detail}",
            "the primary advantages include {detail} and {other}",
            "participants often refer to {detail}",
            "{detail} is regarded as the key element",
        ),
        "tip": (
            "it is advisable to {tip}",
            "beginners are encouraged to {tip}",
            "one should {tip} to obtain satisfactory results",
            "the recommended approach is to {tip}",
            "it is essential to {tip} at an early stage",
            "experts recommend that one {tip}",
        ),
        "story": (
            "{act} is unknown to me, yet {detail} is well known",
            "I possess no memories of {act}; others recall {detail}",
            "accounts of {act} typically concern {detail}",
            "reports on {act} frequently mention {detail}",
            "such events are unknown to me, yet {detail} is well documented",
        ),
    },
    asks=dict.fromkeys(QUESTIONS, FORMAL_ASKS),
    remarks=(
        "Experiences may vary.",
        "This view is widely shared.",
        "Further details are available.",
        "Thank you for your inquiry!",
        "I trust that this is helpful!",
        "Your interest is appreciated!",
    ),
    emoji=(),
    max_chars=100,
    ask_share=0.3,
    remark_share=0.4,
    exclaim_share=0.0,
    emoji_share=0.0,
)


def write_answer(rng: random.Random, topic: str, kind: str, style: Style) -> str:
    """One answer about `topic` to a question of `kind`, drawn again until its length fits."""
    while True:
        answer = _draw_answer(rng, topic, kind, style)
        if MIN_CHARS <= len(answer) <= style.max_chars:
            return answer


def _draw_answer(rng: random.Random, topic: str, kind: str, style: Style) -> str:
    said = TOPICS[topic]
    detail, other = rng.sample(said["details"], 2)
    fillers = {"act": topic, "detail": detail, "other": other, "tip": rng.choice(said["tips"])}
    core = rng.choice(style.cores[kind]).format(**fillers, moment=rng.choice(said["moments"]))
    sentence = open_sentence(rng.choice(style.openers[kind]), core)
    parts = [sentence + ("!" if rng.random() < style.exclaim_share else ".")]
    end = rng.random()
    if end < style.ask_share:
        parts.append(rng.choice(style.asks[kind]))
    elif end < style.ask_share + style.remark_share:
        parts.append(rng.choice(style.remarks))
    if rng.random() < style.emoji_share:
        parts.append(rng.choice(style.emoji))
    return " ".join(parts)


def open_sentence(opener: str, core: str) -> str:
    """The sentence of an opener, which may be empty, and a core, without its end mark."""
    sentence = f"{opener} {core}".strip()
    return sentence[0].upper() + sentence[1:]


def write_pairs(seed: int = 0) -> tuple[list[GrammarPair], list[GrammarPair]]:
    """The train and the test pairs, which share neither a topic nor a prompt; same seed, same pairs, on any machine."""
    rng = random.Random(seed)
    topics = sorted(TOPICS)
    rng.shuffle(topics)
    return _draw_pairs(rng, topics[NUM_TEST_TOPICS:]), _draw_pairs(rng, topics[:NUM_TEST_TOPICS])


def write_confirming_pairs(seed: int = 0) -> list[GrammarPair]:
    """The pairs of the test topics with the questions that the test pairs of the same seed leave out."""
    _, test = write_pairs(seed)
    prompts, topics = {pair["prompt"] for pair in test}, dict.fromkeys(pair["topic"] for pair in test)
    rng = random.Random(f"confirming {seed}")
    pairs = [_write_pair(rng, topic, *form) for topic in topics for form in FORMS]
    return [pair for pair in pairs if pair["prompt"] not in prompts]


def _draw_pairs(rng: random.Random, topics: Sequence[str]) -> list[GrammarPair]:
    return [_write_pair(rng, topic, *form) for topic in topics for form in rng.sample(FORMS, PAIRS_PER_TOPIC)]


def _write_pair(rng: random.Random, topic: str, kind: str, form: str) -> GrammarPair:
    chosen, rejected = (write_answer(rng, topic, kind, style) for style in (CASUAL, FORMAL))
    return GrammarPair(topic=topic, prompt=form.format(act=topic), chosen=chosen, rejected=rejected)


def write_exchanges(num: int, seed: int) -> Iterator[tuple[str, str]]:
    """`num` (prompt, answer) exchanges on all topics, casual and formal in turn."""
    rng = random.Random(seed)
    for i in range(num):
        topic, kind = rng.choice(sorted(TOPICS)), rng.choice(KINDS_TO_LEARN)
        prompt = rng.choice(QUESTIONS[kind]).format(act=topic)
        yield prompt, write_answer(rng, topic, kind, (CASUAL, FORMAL)[i % 2])


def to_json_lines(pairs: list[GrammarPair]) -> bytes:
    """The pairs as UTF-8 JSON lines with Unix line ends, on Windows too."""
    return "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs).encode()
