"""What a classifier reads of what is too long: less text, and every special token."""

import pytest
from helpers import chat_tokenizers
from helpers.chat_tokenizers import CHATS, whole
from transformers import PreTrainedTokenizerFast

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.reward_models.exchange_cut import keep_last_characters
from rlhf_sweeps.reward_models.exchange_tokens import ExchangeReader

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


@pytest.fixture(params=CHATS)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return CHATS[request.param]()


@pytest.mark.parametrize("num_prompt", [3, 10, 60])
@pytest.mark.parametrize("num_answer", [3, 10, 60])
@pytest.mark.parametrize("max_length", [60, 64, 100])
def test_of_what_is_too_long_the_texts_are_cut_and_special_tokens_stay(
    tokenizer: PreTrainedTokenizerFast, num_prompt: int, num_answer: int, max_length: int
) -> None:
    prompt = [{"role": "user", "content": " ".join((WORDS * 6)[:num_prompt])}]
    answer = " ".join((WORDS * 6)[::-1][:num_answer])
    tokens = ExchangeReader(tokenizer, None, max_length).read(prompt, answer)
    expected, empty = whole(tokenizer, prompt, answer), whole(tokenizer, [{"role": "user", "content": ""}], "")
    assert tokens.is_cut == (len(expected) > max_length)
    if not tokens.is_cut:
        assert tokens.ids == expected
        return
    # Of the room some tokens may stay empty, where a character less is several tokens less.
    assert max_length - 4 <= len(tokens.ids) <= max_length
    special = set(tokenizer.all_special_ids)
    assert [i for i in tokens.ids if i in special] == [i for i in empty if i in special]
    assert tokens.ids[0] == empty[0]
    assert tokens.ids[-1] == empty[-1]
    text, question = tokenizer.decode(tokens.ids), prompt[0]["content"]
    starts = [start for start in range(len(question) + 1) if question[start:] in text]
    ends = [end for end in range(len(answer) + 1) if answer[:end] in text]
    kept_of_prompt, kept_of_answer = question[min(starts) :], answer[: max(ends)]
    num_kept = [
        len(tokenizer(part, add_special_tokens=False)["input_ids"]) for part in (kept_of_prompt, kept_of_answer)
    ]
    half = (max_length - len(empty)) // 2
    assert kept_of_prompt == question or num_kept[0] >= half - 4
    assert kept_of_answer == answer or num_kept[1] >= half - 4


def test_a_berts_first_token_stays_where_its_score_is_read() -> None:
    """Under a template of one's own, too, by which the two texts are one."""
    tokenizer = chat_tokenizers.bert()
    prompt = [{"role": "user", "content": "one two three " * 20}]
    for template in (None, "{prompt} then {response}"):
        tokens = ExchangeReader(tokenizer, template, 40).read(prompt, "ok")
        assert tokens.is_cut
        assert 38 <= len(tokens.ids) <= 40
        assert tokens.ids[0] == tokenizer.cls_token_id
        assert tokens.ids[-1] == tokenizer.sep_token_id
        assert tokens.ids[-3:-1] == tokenizer("ok", add_special_tokens=False)["input_ids"]


def test_a_long_conversation_loses_its_oldest_turns() -> None:
    tokenizer = chat_tokenizers.gemma()
    turns = [
        {"role": role, "content": f"{word} " * 9}
        for role, word in zip(["user", "assistant"] * 4 + ["user"], WORDS, strict=False)
    ]
    ids = ExchangeReader(tokenizer, None, 80).read(turns, "fine").ids
    text = tokenizer.decode(ids)
    assert len(ids) <= 80
    assert text.startswith("<bos><start_of_turn>user\n")
    assert text.endswith("nine<end_of_turn>\n<start_of_turn>model\nfine<end_of_turn>\n")
    assert "one" not in text


def test_a_system_prompt_is_never_left_out() -> None:
    """ChatML's default one would take its place."""
    tokenizer = chat_tokenizers.smollm2()
    hello = [{"role": "user", "content": "hello " * 30}, {"role": "assistant", "content": "what? " * 30}]
    talk = [{"role": "system", "content": "rude " * 30}, *hello, hello[0]]
    text = tokenizer.decode(ExchangeReader(tokenizer, None, 50).read(talk, "fine").ids)
    assert text.startswith("<|im_start|>system\n<|im_end|>\n<|im_start|>user\n")
    assert "what" not in text


def test_the_last_characters_by_hand() -> None:
    def talk(*contents: str, system: str | None = None) -> list[dict[str, str]]:
        roles = ["user", "assistant", "user"][-len(contents) :] if len(contents) > 2 else ["user"] * len(contents)
        turns = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=True)]
        return turns if system is None else [{"role": "system", "content": system}, *turns]

    assert keep_last_characters(talk("abc", "def", "ghi"), 5) == talk("", "ef", "ghi")
    assert keep_last_characters(talk("abc", "def", "ghi"), 3) == talk("ghi")
    assert keep_last_characters(talk("abc", "def", "ghi"), 0) == talk("")
    assert keep_last_characters(talk("abc", "def", "ghi", system="be kind"), 2) == talk("hi", system="")
    # Two turns of a user make no pair with the system's before them.
    assert keep_last_characters(talk("abc", "def", system="be kind"), 0) == talk("", "", system="")


def test_no_room_for_a_text_is_refused() -> None:
    tokenizer = chat_tokenizers.llama_3()
    num = len(whole(tokenizer, [{"role": "user", "content": ""}], ""))
    with pytest.raises(ConfigError, match=f"^key={num + 1}: must read at least {num + 2} tokens, .* takes {num}$"):
        ExchangeReader(tokenizer, None, num + 1).check_room(f"key={num + 1}")
    ExchangeReader(tokenizer, None, num + 2).check_room("key")
    with pytest.raises(ConfigError, match=r"^key=4: must read at least 5 tokens, since the template takes 3$"):
        ExchangeReader(chat_tokenizers.bert(), None, 4).check_room("key=4")
