"""The embedded assets: the pairs are what the grammar writes, the models are small, load plainly and do their task."""

import hashlib
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from rlhf_sweeps.assets import folder, grammar

pytestmark = pytest.mark.filterwarnings("error")

Pairs = list[dict[str, str]]

SHA256 = {
    "train": "18ab0bcf78ac2727e3761de0ba6310c1139d517c9a36b3ec6755a27ae614d5bc",
    "test": "f17f1921c96d2b97288a7960ae3066abf1d6595ace4391f0d3960926a46e1583",
    "confirm": "910f660e9d6598c6a86ba8f3fec01b908e1a47bbda23d4091b46adfc905a71f6",
}
EMOJI = "😊😄😂🙌✨🎉💛"
FORMAL = re.compile(
    r"\bAI\b|widely|individuals|considered|derive|render |suitable|principal|cited|notable|primary|participants"
    r"|key element|advisable|encouraged|one should|recommend|essential|unknown to me|possess|accounts of|reports on",
    re.IGNORECASE,
)
RESPONSE_LENGTH = 32


def read_split(split: str) -> Pairs:
    text = (folder("human_like_mini") / f"{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module", params=["tiny_policy", "tiny_reward_model"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return AutoTokenizer.from_pretrained(folder(request.param))


def as_chat(prompt: str, *answer: str) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": prompt},
        *({"role": "assistant", "content": text} for text in answer),
    ]


def score(pairs: list[tuple[str, str]]) -> torch.Tensor:
    path = folder("tiny_reward_model")
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(path).eval()
    batch = tokenizer.apply_chat_template(
        [as_chat(*pair) for pair in pairs], padding=True, return_tensors="pt", return_dict=True
    )
    with torch.no_grad():
        scores: torch.Tensor = model(**batch).logits[:, 0]
    return scores


def test_an_unknown_asset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no_such.*hh_helpful, human_like_mini, tiny_policy, tiny_reward_model"):
        folder("no_such")


def test_pairs_are_what_the_grammar_writes() -> None:
    parts = (*grammar.write_pairs(), grammar.write_confirming_pairs())
    for split, pairs in zip(("train", "test", "confirm"), parts, strict=True):
        stored = (folder("human_like_mini") / f"{split}.jsonl").read_bytes()
        assert stored == grammar.to_json_lines(pairs)
        assert hashlib.sha256(stored).hexdigest() == SHA256[split]


def test_splits_are_full_and_share_no_topic_and_no_prompt() -> None:
    train, test, confirm = map(read_split, ("train", "test", "confirm"))
    # Of 16 questions on each of 12 topics, the 6 that the test pairs leave out.
    assert (len(train), len(test), len(confirm)) == (480, 120, 72)
    for field in ("topic", "prompt"):
        assert not {pair[field] for pair in train} & {pair[field] for pair in test + confirm}
    assert {pair["topic"] for pair in confirm} == {pair["topic"] for pair in test}
    prompts = [pair["prompt"] for pair in train + test + confirm]
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize("split", ["train", "test", "confirm"])
@pytest.mark.parametrize(
    "mark",
    [
        pytest.param(len, id="length"),
        pytest.param(lambda text: text.count("?"), id="question marks"),
        pytest.param(lambda text: text.count("!"), id="exclamation marks"),
        pytest.param(lambda text: sum(text.count(sign) for sign in EMOJI), id="emoji"),
        pytest.param(lambda text: len(re.findall(r"\bAI\b|language model|assistant", text)), id="AI"),
    ],
)
def test_no_surface_marker_gives_the_preference_away(split: str, mark: Callable[[str], int]) -> None:
    differences = [mark(pair["chosen"]) - mark(pair["rejected"]) for pair in read_split(split)]
    share = sum(0.5 if d == 0 else float(d > 0) for d in differences) / len(differences)
    assert 0.25 <= share <= 0.75


def test_the_real_pairs_are_whole_and_no_question_is_in_both_parts() -> None:
    """The digests are those of the files that were cut from the source, as the page beside them says."""
    digests = {
        "train": "edfa4baf2862b809842eeb97fbe555e8cfcc92c84cc41c47ebee323664e09577",
        "test": "6a04642cd2a56d009533943fb00c05ae7a9edd45fb0a9a9cb2bfc82400f06448",
        "multi_turn": "4699510bf363dc0301cdef428eb130f6a83f0985d13f1b3d0033ba04246b0fa9",
    }
    stored = {name: (folder("hh_helpful") / f"{name}.jsonl").read_bytes() for name in digests}
    assert {name: hashlib.sha256(text).hexdigest() for name, text in stored.items()} == digests
    pairs = {name: [json.loads(line) for line in text.splitlines()] for name, text in stored.items()}
    assert {name: len(rows) for name, rows in pairs.items()} == {"train": 497, "test": 77, "multi_turn": 1160}
    rows = [row["source_row"] for several in pairs.values() for row in several]
    assert len(set(rows)) == len(rows)
    questions = {name: {row["prompt"].strip().lower() for row in pairs[name]} for name in ("train", "test")}
    first_turns = {row["prompt"][0]["content"].strip().lower() for row in pairs["multi_turn"]}
    assert not questions["test"] & (questions["train"] | first_turns)
    confirming = (folder("hh_helpful") / "confirm.jsonl").read_bytes()
    assert hashlib.sha256(confirming).hexdigest() == "ddcb6cee67679f4c53bcce95e87b237e12c8293a00c28934c29073bb01589615"
    confirm = {" ".join(json.loads(line)["prompt"].lower().split()) for line in confirming.splitlines()}
    assert len(confirm) == 165
    assert not confirm & {
        " ".join(question.split()) for question in {*questions["train"], *questions["test"], *first_turns}
    }
    page = (folder("hh_helpful") / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}.jsonl` | {len(several):,} |" in page for name, several in pairs.items())


def test_assets_are_small_and_hold_no_pickle() -> None:
    files = [path for path in folder("tiny_policy").parent.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) <= 8_000_000
    assert sum(path.stat().st_size for path in folder("human_like_mini").iterdir()) <= 250_000
    assert {path.suffix for path in files} <= {".py", ".md", ".json", ".jsonl", ".jinja", ".safetensors", ""}
    assert [path.name for path in files if not path.suffix] == ["LICENSE"]


@pytest.mark.parametrize(
    ("name", "loader"),
    [("tiny_policy", AutoModelForCausalLM), ("tiny_reward_model", AutoModelForSequenceClassification)],
)
def test_models_load_without_a_word(name: str, loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    monkeypatch.setattr(handler, "emit", lambda record: said.append(record.getMessage()))
    logging.getLogger("transformers").addHandler(handler)
    try:
        model, tokenizer = loader.from_pretrained(folder(name)), AutoTokenizer.from_pretrained(folder(name))
    finally:
        logging.getLogger("transformers").removeHandler(handler)
    assert not said
    assert model.dtype == torch.float32
    assert model.config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id == model.config.eos_token_id


def test_the_policy_generates_without_tricks() -> None:
    stored = json.loads((folder("tiny_policy") / "generation_config.json").read_text(encoding="utf-8"))
    assert set(stored) == {"eos_token_id", "pad_token_id", "transformers_version"}


def test_both_models_share_one_tokenizer() -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        policy, reward = (folder(asset) / name for asset in ("tiny_policy", "tiny_reward_model"))
        assert policy.read_bytes() == reward.read_bytes()


def test_a_chat_is_its_prompt_and_the_answer_and_the_end(tokenizer: Any) -> None:
    for pair in read_split("train") + read_split("test"):
        start = tokenizer.apply_chat_template(as_chat(pair["prompt"]), add_generation_prompt=True, return_dict=False)
        for answer in (pair["chosen"], pair["rejected"]):
            tokens = tokenizer(answer)["input_ids"]
            whole = tokenizer.apply_chat_template(as_chat(pair["prompt"], answer), return_dict=False)
            assert whole == start + tokens + [tokenizer.eos_token_id]
            assert 8 <= len(tokens) + 1 <= RESPONSE_LENGTH


@pytest.mark.parametrize(
    "text", ["", " two  spaces , here ! \n", "naïve Ω 漢字 עברית 👩‍🚀🏳️‍🌈 ﬁ ①", "\x00\t\u2028tab", "don't 's"]
)
def test_any_text_round_trips(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_chat_template_knows_all_roles(tokenizer: Any) -> None:
    chat = [{"role": "system", "content": "Be kind."}, *as_chat("Hi", "Hello")]
    text = tokenizer.apply_chat_template(chat, tokenize=False)
    assert text == "<|system|>Be kind.<|end|><|user|>Hi<|end|><|assistant|>Hello<|end|>"
    assert tokenizer.padding_side == "left"


def test_the_reward_model_prefers_casual_answers_on_topics_it_never_saw() -> None:
    pairs = read_split("test")
    chosen = score([(pair["prompt"], pair["chosen"]) for pair in pairs])
    rejected = score([(pair["prompt"], pair["rejected"]) for pair in pairs])
    assert (chosen > rejected).float().mean() >= 0.95
    assert 1 <= torch.cat([chosen, rejected]).std() <= 4
    assert chosen.std() >= 0.5  # graded among casual answers too: PPO can go on from casual to warm


def test_the_reward_model_prefers_whole_answers() -> None:
    pairs = read_split("test")
    chosen = score([(pair["prompt"], pair["chosen"]) for pair in pairs])
    for spoil in (lambda words: words[:5], lambda words: words[:4] * 4):
        spoilt = score([(pair["prompt"], " ".join(spoil(pair["chosen"].split()))) for pair in pairs])
        assert (chosen > spoilt).float().mean() >= 0.9


def test_the_policy_answers_held_out_prompts_in_both_styles() -> None:
    pairs = read_split("test")
    for side, is_formal in (("chosen", False), ("rejected", True)):
        assert sum(bool(FORMAL.search(pair[side])) == is_formal for pair in pairs) >= 0.99 * len(pairs)

    asked = (pairs * 2)[:192]
    answers = sample_policy([pair["prompt"] for pair in asked])
    ended = [(pair, answer) for pair, answer in zip(asked, answers, strict=True) if answer.endswith("<|end|>")]
    assert len(ended) >= 0.97 * len(asked)
    texts = [answer.removesuffix("<|end|>") for _, answer in ended]
    whole = [re.fullmatch(rf"[A-Z].*[.!?]( [{EMOJI}])?", text) is not None for text in texts]
    assert sum(whole) >= 0.97 * len(texts)
    on_topic = [says_a_phrase_of(pair["topic"], text) for (pair, _), text in zip(ended, texts, strict=True)]
    assert sum(on_topic) >= 0.85 * len(texts)
    formal = sum(bool(FORMAL.search(text)) for text in texts) / len(texts)
    assert 0.4 <= formal <= 0.6
    assert len(set(texts)) >= 0.9 * len(texts)


def sample_policy(prompts: list[str]) -> list[str]:
    path = folder("tiny_policy")
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path).eval()
    batch = tokenizer.apply_chat_template(
        [as_chat(prompt) for prompt in prompts],
        add_generation_prompt=True,
        padding=True,
        return_tensors="pt",
        return_dict=True,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        tokens = model.generate(**batch, do_sample=True, top_k=0, max_new_tokens=RESPONSE_LENGTH)
    return [text.replace("<|pad|>", "") for text in tokenizer.batch_decode(tokens[:, batch["input_ids"].shape[1] :])]


def says_a_phrase_of(topic: str, text: str) -> bool:
    phrases = json.loads((Path(grammar.__file__).parent / "topics.json").read_text(encoding="utf-8"))[topic]
    return any(phrase.lower() in text.lower() for kind in phrases.values() for phrase in kind)
