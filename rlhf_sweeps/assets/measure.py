"""Figures of the embedded assets: the accuracy of surface markers, of the reward model, and the policy's answers."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from rlhf_sweeps.assets import grammar
from rlhf_sweeps.assets.grammar import GrammarPair

EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")
MARKERS: dict[str, Callable[[str], int]] = {
    "longer": len,
    "shorter": lambda answer: -len(answer),
    "more ?": lambda answer: answer.count("?"),
    "more !": lambda answer: answer.count("!"),
    "more emoji": lambda answer: len(EMOJI.findall(answer)),
    "fewer AI": lambda answer: -len(re.findall(r"\bAI\b|language model|assistant", answer)),
}


def measure_accuracy(better: Sequence[float], worse: Sequence[float]) -> float:
    """The share of pairs that are ranked right; a tie counts half."""
    return fmean((b > w) + 0.5 * (b == w) for b, w in zip(better, worse, strict=True))


def says_a_phrase(topic: str, answer: str) -> bool:
    """Whether the answer holds a detail, tip or moment of the topic word for word."""
    said = grammar.TOPICS[topic]
    return any(phrase.lower() in answer.lower() for phrase in [*said["details"], *said["tips"], *said["moments"]])


def is_formal(answer: str) -> bool:
    """Whether the answer uses a word that only the formal frames have."""
    return not FORMAL_WORDS.isdisjoint(find_words(answer))


def find_words(text: str) -> set[str]:
    """The words of a text, in lower case."""
    return set(re.findall(r"[\w']+", text.lower()))


FORMAL_WORDS = (
    find_words(json.dumps([grammar.FORMAL.cores, grammar.FORMAL_OPENERS]))
    - find_words(json.dumps([grammar.CASUAL.cores, grammar.CASUAL.openers]))
    - find_words(json.dumps(grammar.TOPICS))
)


def read_pairs(file: Path) -> list[GrammarPair]:
    """The pairs of one split."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@torch.no_grad()
def score_answers(folder: Path, exchanges: Sequence[tuple[str, str]]) -> list[float]:
    """The reward model's scores of (prompt, answer) exchanges."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=False)
    chats = [
        [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}] for prompt, answer in exchanges
    ]
    batch = tokenizer.apply_chat_template(chats, padding=True, return_tensors="pt", return_dict=True)
    return [float(score) for score in model(**batch).logits[:, 0]]


@torch.no_grad()
def sample_answers(folder: Path, prompts: Sequence[str], seed: int) -> list[str | None]:
    """The policy's answers to the prompts at temperature 1; None for one that does not end within 32 tokens."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False)
    chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
    batch = tokenizer.apply_chat_template(
        chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokens = model.generate(**batch, do_sample=True, top_k=0, max_new_tokens=32)[:, batch["input_ids"].shape[1] :]
    return [
        tokenizer.decode(row, skip_special_tokens=True) if tokenizer.eos_token_id in row else None for row in tokens
    ]


def measure(out: Path) -> dict[str, Any]:
    """All figures of those assets in `out` that are built."""
    splits = {split: read_pairs(out / "human_like_mini" / f"{split}.jsonl") for split in ("train", "test")}
    figures: dict[str, Any] = {"markers": measure_markers(splits)}
    if (out / "tiny_reward_model").exists():
        figures["reward_model"] = measure_reward_model(out / "tiny_reward_model", splits)
        if (out / "tiny_policy").exists():
            figures["policy"] = measure_policy(out, splits["test"])
    return figures


def measure_markers(splits: dict[str, list[GrammarPair]]) -> dict[str, dict[str, float]]:
    """The share of each split's pairs that each surface marker ranks right."""
    return {
        split: {
            name: measure_accuracy([mark(p["chosen"]) for p in pairs], [mark(p["rejected"]) for p in pairs])
            for name, mark in MARKERS.items()
        }
        for split, pairs in splits.items()
    }


def measure_reward_model(folder: Path, splits: dict[str, list[GrammarPair]]) -> dict[str, float]:
    """The reward model's accuracy on each split, and on held-out casual answers against their spoilt versions."""
    figures: dict[str, float] = {}
    for split, pairs in splits.items():
        chosen = score_answers(folder, [(p["prompt"], p["chosen"]) for p in pairs])
        figures[f"{split} accuracy"] = measure_accuracy(
            chosen, score_answers(folder, [(p["prompt"], p["rejected"]) for p in pairs])
        )
    # `chosen` is now of the test split
    cut_off = [(p["prompt"], " ".join(p["chosen"].split()[:6])) for p in pairs]
    repeated = [(p["prompt"], " ".join(p["chosen"].split()[:5] * 4)) for p in pairs]
    off_topic = [(p["prompt"], q["chosen"]) for p, q in zip(pairs, pairs[-15:] + pairs[:-15], strict=True)]
    for name, spoilt in (("whole over cut off", cut_off), ("over repeated", repeated), ("over off-topic", off_topic)):
        figures[name] = measure_accuracy(chosen, score_answers(folder, spoilt))
    return figures


def measure_policy(out: Path, pairs: list[GrammarPair], num_samples: int = 4) -> dict[str, Any]:
    """Figures of the policy's answers to held-out prompts, and of their scores."""
    asked = [pair for pair in pairs for _ in range(num_samples)]
    answers = sample_answers(out / "tiny_policy", [pair["prompt"] for pair in asked], seed=0)
    ended = [(pair, answer) for pair, answer in zip(asked, answers, strict=True) if answer is not None]
    scores = score_answers(out / "tiny_reward_model", [(pair["prompt"], answer) for pair, answer in ended])
    return {
        "ended share": len(ended) / len(asked),
        "on-topic share": fmean(says_a_phrase(pair["topic"], answer) for pair, answer in ended),
        "formal share": fmean(is_formal(answer) for _, answer in ended),
        "distinct share": len({(p["prompt"], a) for p, a in ended}) / len(ended),
        "score": summarize(scores),
        "score of formal": summarize([s for s, (_, answer) in zip(scores, ended, strict=True) if is_formal(answer)]),
        "score of casual": summarize(
            [s for s, (_, answer) in zip(scores, ended, strict=True) if not is_formal(answer)]
        ),
        "samples": [f"{score:+.2f} {p['prompt']} {a}" for (p, a), score in list(zip(ended, scores, strict=True))[::97]],
    }


def summarize(scores: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation, minimum and maximum."""
    return {"mean": fmean(scores), "std": stdev(scores), "min": min(scores), "max": max(scores)}
