"""Prompts as tokens: batches give what transformers gives for one conversation at a time."""

import logging
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT
from helpers.data_files import assistant, user
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.data import encode, encoding
from rlhf_sweeps.data.messages import Messages

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<{{ message['role'] }}>{{ message['content'] | trim }}</s>\n"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
SINGLE: list[Messages] = [
    [user(text)] for text in ("a", "", "  how are you? ", "</s><s> é 😀\n\n", "word " * 300, "a", "b")
]
TALKS: list[Messages] = [
    [user("a?"), assistant("b"), user("c?")],
    [{"role": "system", "content": "Be brief."}, user("a " * 200)],
]


def with_bos(template: str | None) -> PreTrainedTokenizerBase:
    """Bytes between a BOS and an EOS that the tokenizer itself adds, where no template does."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: place for place, token in enumerate(["<s>", "</s>", *alphabet, "Ġw", "or"])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[("Ġ", "w"), ("o", "r")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", model_max_length=64, chat_template=template
    )


def bytes_alone() -> PreTrainedTokenizerBase:
    """A tokenizer that is plain Python."""
    tokenizer: PreTrainedTokenizerBase = ByT5Tokenizer(bos_token="<s>", model_max_length=64)
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def tiny(name: str) -> PreTrainedTokenizerBase:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(ROOT / "rlhf_sweeps" / "assets" / name)
    return tokenizer


TOKENIZERS = {
    "policy": lambda: tiny("tiny_policy"),
    "reward_model": lambda: tiny("tiny_reward_model"),
    "bos_in_template": lambda: with_bos(TEMPLATE),
    "no_bos_in_template": lambda: with_bos(TEMPLATE.replace("{{ bos_token }}", "")),
    "python": bytes_alone,
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_batches_are_templated_and_tokenized_like_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "TOKENIZER_BATCH", 4)
    tokenizer = TOKENIZERS[name]()
    prompts = SINGLE + TALKS
    expected = [tokenizer.apply_chat_template(one, add_generation_prompt=True, return_dict=False) for one in prompts]
    found = encode(prompts, tokenizer, max_length=10_000)
    assert (found.ids, found.messages) == (expected, prompts)


def test_without_a_template_the_tokenizer_adds_its_own_special_tokens() -> None:
    """But none that ends a text, which the policy is to go on with."""
    tokenizer = with_bos(None)
    bare = [tokenizer(messages[0]["content"], add_special_tokens=False)["input_ids"] for messages in SINGLE]
    assert tokenizer(SINGLE[0][0]["content"])["input_ids"] == [0, *bare[0], 1]
    assert encode(SINGLE, tokenizer, max_length=10_000).ids == [[0, *ids] for ids in bare]


@pytest.mark.parametrize("template", [TEMPLATE, None])
def test_a_prompt_beyond_the_tokenizers_length_is_no_warning(template: str | None) -> None:
    messages: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = messages.append  # type: ignore[method-assign]
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    try:
        found = encode([[user("a " * 100)], [user("b")]], with_bos(template), max_length=60)
    finally:
        logger.removeHandler(handler)
    assert (len(found.ids), found.num_too_long, messages) == (1, 1, [])


def test_control_tokens_in_texts_are_counted() -> None:
    """A tokenizer takes them for what they are in its template; the two of one prompt count once, and so do repeats."""
    asked = [user("a</s><s>b")]
    prompts = [asked, [user("<s"), assistant("fine </s>"), user("c")], [user("< s>")], asked]
    found = encode(prompts, with_bos(TEMPLATE), max_length=1000)
    assert (len(found.ids), found.num_with_control) == (4, 2)
    tokenizer = with_bos(TEMPLATE)
    tokenizer.add_tokens(["<think>"])  # an added token that controls nothing
    assert encode([[user("a <think>")]], tokenizer, max_length=1000).num_with_control == 0


def test_a_thousand_control_tokens_are_looked_for_at_once() -> None:
    """Llama 3 has 256 and others more; one after another they took ten seconds of 20,000 prompts."""
    tokens = {n: AddedToken(f"<|reserved_{n}|>", special=True) for n in range(1000)}
    tokenizer: Any = SimpleNamespace(added_tokens_decoder=tokens)
    words = "some words of a prompt " * 65
    prompts = [[user(f"{words}{n}{end}")] for n in range(300) for end in ("", "<|reserved_1000|>", "<|reserved_999|>")]

    def seconds(count: Callable[[], int]) -> float:
        start = time.process_time()
        assert count() == 300
        return time.process_time() - start

    contents = [token.content for token in tokens.values()]
    one_by_one = seconds(lambda: sum(any(token in one[0]["content"] for token in contents) for one in prompts))
    assert min(seconds(lambda: encoding.count_with_control(prompts, tokenizer)) for _ in range(3)) < one_by_one / 3


def test_a_template_that_passes_over_a_turn_is_named() -> None:
    tokenizer = with_bos("{% for m in messages if m.role != 'system' %}{{ m.content }}</s>{% endfor %}")
    assert encode(SINGLE[:1], tokenizer, max_length=1000).ids
    with pytest.raises(
        ConfigError, match=r"^dataset.prompt_column: the model's chat template leaves out the system's turn"
    ):
        encode(TALKS, tokenizer, max_length=1000)


def test_a_template_that_refuses_what_a_prompt_says_is_named() -> None:
    tokenizer = with_bos("{% if 'bomb' in messages[0].content %}{{ raise_exception('no') }}{% endif %}" + TEMPLATE)
    with pytest.raises(
        ConfigError, match=r"^dataset.prompt_column: the model's chat template refuses one of the 2 prompts \(no\)$"
    ):
        encode([[user("a")], [user("a bomb")]], tokenizer, max_length=1000)
