"""What a classifier reads: by the policy's tokens and by text the same, as transformers' own template has it."""

from collections.abc import Callable

import pytest
import torch
from helpers import chat_tokenizers
from helpers.chat_tokenizers import CHATS, whole
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

from rlhf_sweeps.data import Messages, encode
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.process.failures import RewardModelError
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.classifier import ClassifierRewardModel
from rlhf_sweeps.reward_models.exchange_tokens import ExchangeReader
from rlhf_sweeps.training.base_policy import make_exchanges

PROMPTS: list[Messages] = [
    [{"role": "user", "content": "How are you today?"}],
    [
        {"role": "user", "content": "Tell me about your day!"},
        {"role": "assistant", "content": "It was 😀."},
        {"role": "user", "content": "Why?\n\nReally?"},
    ],
]
ANSWERS = ["I'm fine, thanks! 😀 And\nyou?", "ok"]
# Begins with what a tokenizer might merge with the end of the prompt.
ODD = "\n\n  Well ... "


def written(tokenizer: PreTrainedTokenizerFast, prompt: Messages, answer: str) -> tuple[list[int], list[int]]:
    """A policy's tokens: its prompt, and an answer that it has not ended yet."""
    (given,) = encode([prompt], tokenizer, 10_000).ids
    text = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
    space = " " if text.endswith("[/INST]") else ""
    ids = tokenizer(text + space + answer, add_special_tokens=False)["input_ids"]
    assert ids[: len(given)] == given
    return given, ids[len(given) :]


@pytest.fixture(params=CHATS)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return CHATS[request.param]()


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_text_and_tokens_are_what_the_template_makes(
    tokenizer: PreTrainedTokenizerFast, prompt: Messages, answer: str
) -> None:
    reader = ExchangeReader(tokenizer, None, None)
    expected = whole(tokenizer, prompt, answer)
    assert reader.read(prompt, answer).ids == expected
    (given,) = encode([prompt], tokenizer, 10_000).ids
    assert expected[: len(given)] == given
    # What transformers puts after the answer: all from the end of the turn on.
    after = {"<|im_end|>": "<|im_end|>\n", "<|eot_id|>": "<|eot_id|>", "<eos>": "<end_of_turn>\n", "</s>": "</s>\n"}
    is_llama_2 = "[INST]" in tokenizer.chat_template
    frame = " </s>" if is_llama_2 else after[tokenizer.eos_token]
    num_after = len(tokenizer(f"x{frame}")["input_ids"]) - len(tokenizer("x")["input_ids"])
    response = expected[len(given) : -num_after]
    assert tokenizer.decode(response).strip() == answer
    for end in (tokenizer.eos_token_id, 5):  # another one of the generation config's
        assert reader.complete([*given, *response, end], True, [tokenizer.eos_token_id, 5]) == expected
    assert reader.complete([*given, *response], True, [tokenizer.eos_token_id]) == expected  # by a stop string
    cut = expected[:-num_after]
    assert reader.read(prompt, answer, ended=False).ids == cut
    assert reader.complete(cut, False, [tokenizer.eos_token_id]) == cut


@pytest.mark.parametrize(
    "make", [*CHATS.values(), chat_tokenizers.plain, chat_tokenizers.plain_metaspace, chat_tokenizers.phi]
)
@pytest.mark.parametrize("response", ["three", " three", "  three", "\n\nthree", "", " "])
def test_a_response_is_read_as_it_was_written_whatever_space_it_begins_with(
    make: Callable[[], PreTrainedTokenizerFast], response: str
) -> None:
    """As text, which is taken out of the whole, and as tokens."""
    tokenizer = make()
    if make is chat_tokenizers.phi and response == "three":
        response = " three"  # what follows a special token there begins with a space that a policy writes
    prompt = [{"role": "user", "content": "One, two,"}]
    (given,) = encode([prompt], tokenizer, 10_000).ids
    # After a token that no space is lost at, and that joins no other.
    anchor = tokenizer("x", add_special_tokens=False)["input_ids"]
    opening = " " if "[INST]" in (tokenizer.chat_template or "") and response else ""
    ids = tokenizer(f"x{opening}{response}", add_special_tokens=False)["input_ids"]
    assert ids[: len(anchor)] == anchor
    written = [*ids[len(anchor) :], tokenizer.eos_token_id]
    exchanges = make_exchanges([prompt], [given], [written], [True], [tokenizer.eos_token_id], tokenizer)
    assert exchanges.responses == [response]
    reader = ExchangeReader(tokenizer, None, None)
    assert exchanges.sequences is not None
    by_tokens = reader.complete(exchanges.sequences[0], True, exchanges.end_ids)
    assert by_tokens[: len(given) + len(written) - 1] == [*given, *written[:-1]]
    assert reader.read(prompt, response).ids == by_tokens


def test_a_turn_that_the_policy_ended_itself_is_not_ended_twice() -> None:
    """Where the generation config knows the end of texts only, a policy goes on to that."""
    tokenizer = chat_tokenizers.gemma()
    prompt = PROMPTS[0]
    (given,) = encode([prompt], tokenizer, 10_000).ids
    expected = whole(tokenizer, prompt, "ok")
    end = tokenizer.eos_token_id
    for num in (1, 2):  # of "<end_of_turn>" and a newline
        response = [*expected[len(given) : len(expected) - 2 + num], end]
        exchanges = make_exchanges([prompt], [given], [response], [True], [end], tokenizer)
        assert exchanges.responses == ["ok"]
        assert ExchangeReader(tokenizer, None, None).complete([*given, *response], True, [end]) == expected


@pytest.mark.parametrize(
    ("response", "stripped"),
    [
        (["ok", "end"], ["ok"]),
        (["ok", "end", "end"], ["ok"]),
        (["ok", "end", "end", "text"], ["ok"]),  # all of a turn's closing, and then the end of a text
        (["ok", "end", "text"], ["ok"]),
        (["ok", "text"], ["ok"]),
        (["ok", "ok"], ["ok", "ok"]),  # ended by a stop string
    ],
)
def test_the_longest_piece_of_a_closing_is_stripped(response: list[str], stripped: list[str]) -> None:
    """Of a template that closes a turn with the same token twice."""
    tokenizer = chat_tokenizers.smollm2()
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}<|im_end|><|im_end|>{% endfor %}"
    ids = {
        "ok": tokenizer("ok", add_special_tokens=False)["input_ids"][0],
        "end": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        "text": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
    }
    assert len(set(ids.values())) == 3
    reader = ExchangeReader(tokenizer, None, None)
    found = reader.strip([ids[word] for word in response], [ids["end"], ids["text"]])
    assert found == [ids[word] for word in stripped]


def test_an_end_token_that_is_not_special_is_no_part_of_the_text() -> None:
    tokenizer = chat_tokenizers.smollm2()
    (end,) = tokenizer("!", add_special_tokens=False)["input_ids"]
    (given,) = encode([PROMPTS[0]], tokenizer, 10_000).ids
    ok = tokenizer("ok", add_special_tokens=False)["input_ids"]
    for ended, expected in ((True, "ok"), (False, "ok!")):
        exchanges = make_exchanges([PROMPTS[0]], [given], [[*ok, end]], [ended], [end], tokenizer)
        assert exchanges.responses == [expected]


def test_a_tokenizer_that_ends_every_text_ends_no_prompt() -> None:
    tokenizer, prompt = chat_tokenizers.plain_metaspace(ends_texts=True), [{"role": "user", "content": "One, two,"}]
    assert tokenizer("One")["input_ids"][-1] == tokenizer.eos_token_id
    open_ended = chat_tokenizers.plain_metaspace()
    assert encode([prompt], tokenizer, 100).ids == [open_ended("One, two,")["input_ids"]]
    ids = ExchangeReader(tokenizer, None, None).read(prompt, " three").ids
    assert ids == [*open_ended("One, two, three")["input_ids"], tokenizer.eos_token_id]


def test_a_conversation_without_a_template_is_lines() -> None:
    tokenizer = chat_tokenizers.plain()
    ids = ExchangeReader(tokenizer, None, None).read(PROMPTS[1], "ok", ended=False).ids
    text = "user: Tell me about your day!\nassistant: It was 😀.\nuser: Why?\n\nReally?\nok"
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("make", [chat_tokenizers.smollm2, chat_tokenizers.gemma, chat_tokenizers.plain])
def test_no_token_takes_in_the_end_of_the_prompt(make: Callable[[], PreTrainedTokenizerFast]) -> None:
    """A policy cannot write it, so a reward model is not trained on it either."""
    tokenizer = make()
    prompt = [{"role": "user", "content": "What?\n"}]
    (given,) = encode([prompt], tokenizer, 10_000).ids
    ids = ExchangeReader(tokenizer, None, None).read(prompt, ODD, ended=False).ids
    assert ids == given + tokenizer(ODD, add_special_tokens=False)["input_ids"]


def classifier(tokenizer: PreTrainedTokenizerFast, **settings: object) -> ClassifierRewardModel:
    """Random weights; the tokenizer is the policy's, too."""
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_labels=1,
        initializer_range=0.5,
        max_position_embeddings=2048,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = LlamaForSequenceClassification(shape)
    return ClassifierRewardModel(model, tokenizer, tokenizer, BatchSize("", 3), **settings)  # type: ignore[arg-type]


def policys(tokenizer: PreTrainedTokenizerFast, end: list[int], ended: bool) -> Exchanges:
    """All prompts and answers as a policy's exchanges whose responses all end alike."""
    pairs = [(prompt, answer) for prompt in PROMPTS for answer in ANSWERS]
    tokens = [written(tokenizer, *pair) for pair in pairs]
    return make_exchanges(
        [prompt for prompt, _ in pairs],
        [given for given, _ in tokens],
        [[*response, *end] for _, response in tokens],
        [ended] * len(pairs),
        [tokenizer.eos_token_id],
        tokenizer,
    )


@pytest.mark.parametrize("ending", ["end token", "stop string", "cut"])
def test_policys_tokens_and_their_text_have_the_same_score(tokenizer: PreTrainedTokenizerFast, ending: str) -> None:
    model = classifier(tokenizer)
    end = [tokenizer.eos_token_id] if ending == "end token" else []
    exchanges = policys(tokenizer, end, ended=ending != "cut")
    assert exchanges.responses == ANSWERS * 2
    by_text = Exchanges(exchanges.prompts, exchanges.responses, None, exchanges.ended)
    scores = model.score(exchanges)
    assert torch.allclose(scores, model.score(by_text), atol=1e-5)
    as_in_training = model.score(Exchanges(exchanges.prompts, exchanges.responses))
    assert torch.allclose(scores, as_in_training, atol=1e-5) == (ending != "cut")


def test_trls_scores_are_those_of_the_sampled_tokens() -> None:
    tokenizer = chat_tokenizers.smollm2()
    exchanges = policys(tokenizer, [tokenizer.eos_token_id], ended=True)
    assert exchanges.sequences is not None
    model = classifier(tokenizer, completes_turns=False)
    expected = [model.model(torch.tensor([list(sequence)])).logits.item() for sequence in exchanges.sequences]
    assert model.score(exchanges).tolist() == pytest.approx(expected, abs=1e-5)
    assert not torch.allclose(classifier(tokenizer).score(exchanges), torch.tensor(expected), atol=1e-2)


def test_trls_tokens_are_cut_without_what_the_template_adds() -> None:
    tokenizer = chat_tokenizers.smollm2()
    exchanges = policys(tokenizer, [tokenizer.eos_token_id], ended=True)
    assert exchanges.sequences is not None
    longest = max(exchanges.sequences, key=len)
    row, read = list(exchanges.sequences).index(longest), []
    model = classifier(tokenizer, completes_turns=False, max_length=len(longest) - 3)
    model._score = lambda tokens: read.extend(tokens) or torch.zeros(len(tokens))  # type: ignore[method-assign]
    model.score(exchanges.rows([row]))
    assert len(read[0].ids) <= len(longest) - 3
    assert read[0].ids[-1] == tokenizer.eos_token_id
    assert read[0].ids.count(tokenizer.eos_token_id) == list(longest).count(tokenizer.eos_token_id)


def test_a_template_that_adds_to_an_answer_is_taken_at_its_word() -> None:
    """Its reward model was trained with the empty thought, which no policy's tokens hold."""
    tokenizer = chat_tokenizers.thoughtful()
    reader, prompt = ExchangeReader(tokenizer, None, None), PROMPTS[0]
    assert not reader.writes_policy_prompt
    for answer in ("ok", "<think>\nhm\n</think>\n\nok"):
        ids = whole(tokenizer, prompt, answer)
        assert reader.read(prompt, answer).ids == ids
        assert tokenizer.decode(ids[-2:]) == "<|im_end|>\n"
        assert reader.read(prompt, answer, ended=False).ids == ids[:-2]
    exchanges = policys(tokenizer, [tokenizer.eos_token_id], ended=True)
    expected = classifier(tokenizer).score(Exchanges(exchanges.prompts, exchanges.responses))
    assert torch.allclose(classifier(tokenizer).score(exchanges), expected, atol=1e-5)


def test_without_a_template_the_response_stands_right_after_the_prompt() -> None:
    tokenizer = chat_tokenizers.plain()
    reader, prompt = ExchangeReader(tokenizer, None, None), [{"role": "user", "content": "One, two,"}]
    expected = [*tokenizer("One, two, three")["input_ids"], tokenizer.eos_token_id]
    assert reader.read(prompt, " three").ids == expected
    assert reader.read(prompt, " three", ended=False).ids == expected[:-1]
    assert reader.complete(expected, True, [tokenizer.eos_token_id]) == expected


def test_two_texts_are_a_pair_however_they_ended() -> None:
    tokenizer = chat_tokenizers.bert()
    expected = tokenizer("How are you today?", "ok")
    for ended in (True, False):
        tokens = ExchangeReader(tokenizer, None, None).read(PROMPTS[0], "ok", ended)
        assert (tokens.ids, tokens.types) == (expected["input_ids"], expected["token_type_ids"])
        assert not tokens.is_cut


@pytest.mark.parametrize(("end", "of_cut"), [("<|im_end|>\n", ""), ("\nRating:", "\nRating:"), ("", "")])
def test_a_template_of_ones_own_ends_the_turn_of_what_ended(end: str, of_cut: str) -> None:
    """What comes after the response, unless it is a question about it."""
    tokenizer = chat_tokenizers.smollm2()
    reader = ExchangeReader(tokenizer, "Q: {prompt} A: {response}" + end, None)
    for ended, expected in ((True, end), (False, of_cut)):
        ids = reader.read([{"role": "user", "content": "Hm?"}], "ok", ended).ids
        assert ids == tokenizer(f"Q: Hm? A: ok{expected}")["input_ids"]


def test_the_policys_tokens_are_cut_like_their_text(tokenizer: PreTrainedTokenizerFast) -> None:
    exchanges = policys(tokenizer, [tokenizer.eos_token_id], ended=True)
    assert exchanges.sequences is not None
    max_length = max(map(len, exchanges.sequences)) - 8
    by_text = classifier(tokenizer, max_length=max_length).score(Exchanges(exchanges.prompts, exchanges.responses))
    assert torch.allclose(classifier(tokenizer, max_length=max_length).score(exchanges), by_text, atol=1e-5)


def test_a_role_that_the_template_refuses_is_named() -> None:
    reader = ExchangeReader(chat_tokenizers.gemma(), None, None)
    with pytest.raises(RewardModelError, match=r"template refuses turns of system, user \(System role not supported\)"):
        reader.read([{"role": "system", "content": "x"}, {"role": "user", "content": "y"}], "z")
