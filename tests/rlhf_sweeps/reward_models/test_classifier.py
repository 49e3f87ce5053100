"""Classifiers: scores as the library gives them, whatever pads; by text, template or label for other models."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.classifiers import CPU, TALK, bert_config, decoder, saved
from helpers.classifiers import bert as bert
from helpers.classifiers import config as config
from helpers.classifiers import tokenizer as tokenizer
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerBase,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from rlhf_sweeps import assets
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.data import encode, load_prompts
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.ppo.sampling import Sampler
from rlhf_sweeps.ppo.seeds import make_generator
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.classifier import ClassifierRewardModel, load_classifier
from rlhf_sweeps.training.base_policy import make_exchanges


@pytest.fixture
def classifier(config: Config, tokenizer: PreTrainedTokenizerBase) -> ClassifierRewardModel:
    return load_classifier(config.reward_model, tokenizer, BatchSize("", 4), CPU)


@pytest.fixture
def exchanges(config: Config, tokenizer: PreTrainedTokenizerBase) -> Exchanges:
    """The embedded policy's answers to ten held-out prompts."""
    policy = models.load_policy(config.model, CPU)
    prompts = encode(load_prompts(config.dataset).held_out, tokenizer, 64, most=10)
    sampler = Sampler(models.list_stop_ids(policy, tokenizer), tokenizer.pad_token_id, 32, 1.0, BatchSize("", 64))
    batch = sampler.sample(policy, prompts.ids, make_generator(0, "test", 0))
    return make_exchanges(
        prompts.messages, prompts.ids, batch.response_lists(), batch.ended.tolist(), sampler.stop_ids, tokenizer
    )


def expected_scores(sequences: list[list[int]]) -> torch.Tensor:
    """By the plain transformers call, one sequence at a time."""
    model = AutoModelForSequenceClassification.from_pretrained(assets.folder("tiny_reward_model"))
    with torch.no_grad():
        return torch.stack([model(torch.tensor([sequence])).logits[0, 0] for sequence in sequences])


def test_it_reads_the_policys_tokens_where_it_can(classifier: ClassifierRewardModel, exchanges: Exchanges) -> None:
    assert classifier.reads_tokens
    assert exchanges.sequences is not None
    expected = expected_scores([list(sequence) for sequence in exchanges.sequences])
    assert torch.allclose(classifier.score(exchanges), expected, atol=1e-4)


@pytest.mark.parametrize("output", [0, 1])
def test_one_of_several_outputs_is_the_score(
    output: int, classifier: ClassifierRewardModel, exchanges: Exchanges
) -> None:
    assert exchanges.sequences is not None
    expected = expected_scores([list(sequence) for sequence in exchanges.sequences])
    weight = classifier.model.score.weight.data
    classifier.model.score = torch.nn.Linear(weight.shape[1], 2, bias=False)
    classifier.model.score.weight.data = torch.cat([weight, -3 * weight])
    classifier.output = output
    assert torch.allclose(classifier.score(exchanges), expected * (1, -3)[output], atol=1e-3)


@pytest.mark.parametrize("has_tokens", [True, False])
def test_else_the_text_by_its_own_template(
    has_tokens: bool, classifier: ClassifierRewardModel, exchanges: Exchanges
) -> None:
    exchanges = replace(exchanges, ended=None)
    if has_tokens:
        classifier.reads_tokens = False
    else:
        exchanges = replace(exchanges, sequences=None)
    pairs = zip(exchanges.prompts, exchanges.responses, strict=True)
    chats = [[*prompt, {"role": "assistant", "content": text}] for prompt, text in pairs]
    sequences = [classifier.tokenizer.apply_chat_template(chat, return_dict=False) for chat in chats]
    assert torch.allclose(classifier.score(exchanges), expected_scores(sequences), atol=1e-4)


def test_a_pad_that_is_the_end_token_does_not_hide_it(classifier: ClassifierRewardModel, exchanges: Exchanges) -> None:
    before = classifier.score(exchanges)
    classifier.tokenizer.pad_token = classifier.tokenizer.eos_token
    classifier.model.config.pad_token_id = classifier.tokenizer.eos_token_id
    assert torch.equal(classifier.score(exchanges), before)


def test_another_template_means_another_text(config: Config, tokenizer: PreTrainedTokenizerBase) -> None:
    other = AutoTokenizer.from_pretrained(assets.folder("tiny_reward_model"))
    other.chat_template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    model = AutoModelForSequenceClassification.from_pretrained(assets.folder("tiny_reward_model"))
    assert not ClassifierRewardModel(model, other, tokenizer, BatchSize("", 4)).reads_tokens
    templated = replace(config.reward_model, template="Q: {prompt} A: {response}")
    own = load_classifier(templated, tokenizer, BatchSize("", 4), CPU)
    assert not own.reads_tokens
    assert own.reader.read(TALK, "fine").ids == own.tokenizer("Q: how are you A: fine")["input_ids"]


def test_of_what_is_too_long_the_template_stays_whole(
    config: Config, tokenizer: PreTrainedTokenizerBase, caplog: pytest.LogCaptureFixture
) -> None:
    """Room for 12 - 4 tokens: of six words each the last four of the prompt, and the first four of the response."""
    caplog.set_level("WARNING")
    short = load_classifier(replace(config.reward_model, max_length=12), tokenizer, BatchSize("", 4), CPU)
    prompt = [{"role": "user", "content": "fine and you are fine and"}]
    words = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in (" fine", " and", " you", " are")]
    assert list(map(len, words)) == [1, 1, 1, 1]
    user, assistant, end = tokenizer.convert_tokens_to_ids(["<|user|>", "<|assistant|>", "<|end|>"])
    fine, and_, you, are = (ids[0] for ids in words)
    # A prompt that loses its beginning begins with a space here, as a response does not.
    kept = [user, you, are, fine, and_, end, assistant, fine, and_, you, are, end]
    score = short.score(Exchanges([prompt], [" fine and you are fine and"]))
    assert score.tolist() == pytest.approx(expected_scores([kept]).tolist(), abs=1e-4)
    assert "reads 12 tokens at most" in caplog.text
    with pytest.raises(
        ConfigError, match=r"^reward_model.max_length=5: must read at least 6 tokens, since the template takes 4"
    ):
        load_classifier(replace(config.reward_model, max_length=5), tokenizer, BatchSize("", 4), CPU)


def test_a_pair_classifier_of_another_tokenizer(config: Config, tokenizer: PreTrainedTokenizerBase, bert: Path) -> None:
    responses = ["fine thanks", "bad", "you are fine thanks you are fine thanks fine fine"]
    found = load_classifier(bert_config(config, bert), tokenizer, BatchSize("", 2), CPU).score(
        Exchanges([TALK] * 3, responses, [[1, 2]] * 3)
    )
    own, model = AutoTokenizer.from_pretrained(bert), BertForSequenceClassification.from_pretrained(bert).eval()
    for score, response in zip(found, responses, strict=True):
        inputs = own("how are you", response, return_tensors="pt", truncation="longest_first", max_length=12)
        assert inputs["token_type_ids"].sum() > 0
        with torch.no_grad():
            assert score.item() == pytest.approx(model(**inputs).logits[0, 1].item(), abs=1e-5)


def test_what_a_roberta_can_read_is_less_than_its_positions(config: Config, bert: Path) -> None:
    shape = RobertaConfig(
        vocab_size=10, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=14, pad_token_id=0, num_labels=1,
    )  # fmt: skip
    RobertaForSequenceClassification(shape).save_pretrained(bert)
    roberta = load_classifier(bert_config(config, bert, None), None, BatchSize("", 2), CPU)
    assert roberta.max_length == 13
    assert roberta.score(Exchanges([TALK], ["fine " * 30])).isfinite().all()


def test_the_value_model_can_start_as_the_reward_model(classifier: ClassifierRewardModel, exchanges: Exchanges) -> None:
    value_model = classifier.value_model("key")
    assert exchanges.sequences is not None
    ids = torch.tensor([exchanges.sequences[0]])
    assert value_model.trunk is not None
    values = value_model(value_model.trunk(ids).last_hidden_state)
    assert torch.allclose(values[0, -1], classifier.score(exchanges)[0], atol=1e-4)
    assert all(parameter.requires_grad for parameter in value_model.parameters())
    classifier.reads_tokens = False
    with pytest.raises(ConfigError, match=r"^key: must be a decoder with one output and the policy's tokenizer"):
        classifier.value_model("key")


def test_windows_are_read_as_transformers_reads_them(
    config: Config, tokenizer: PreTrainedTokenizerBase, tmp_path: Path, exchanges: Exchanges
) -> None:
    model = decoder(MistralConfig, sliding_window=5)
    path = saved(tmp_path, model, tokenizer)
    loaded = load_classifier(replace(config.reward_model, path=str(path)), tokenizer, BatchSize("", 4), CPU)
    assert exchanges.sequences is not None
    assert min(map(len, exchanges.sequences)) > 5
    with torch.no_grad():
        alone = torch.stack([model(torch.tensor([list(ids)])).logits[0, 0] for ids in exchanges.sequences])
    assert torch.allclose(loaded.score(replace(exchanges, ended=None)), alone, rtol=0, atol=2e-5)


def test_an_end_token_that_also_pads_is_read_where_the_template_ends_on_it(
    config: Config, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.chat_template = "{% for m in messages %}{{m.content}}{{eos_token}}{% endfor %}"
    model = decoder(LlamaConfig, pad_token_id=tokenizer.eos_token_id)
    path = saved(tmp_path, model, tokenizer)
    loaded = load_classifier(replace(config.reward_model, path=str(path)), None, BatchSize("", 4), CPU)
    ids = tokenizer.encode(f"how are you{tokenizer.eos_token}well{tokenizer.eos_token}", add_special_tokens=False)
    assert ids[-1] == tokenizer.pad_token_id
    with torch.no_grad():
        expected = model.score(model.model(torch.tensor([ids])).last_hidden_state[0, -1])
    score = loaded.score(Exchanges(prompts=[TALK], responses=["well"]))
    assert torch.allclose(score, expected, rtol=0, atol=2e-5)


def test_an_id_that_no_token_has_is_left_out(classifier: ClassifierRewardModel, exchanges: Exchanges) -> None:
    """A policy's embedding may have more rows than there are tokens, and so than a reward model's."""
    assert exchanges.sequences is not None
    rows = classifier.model.get_input_embeddings().weight.shape[0]
    prompt = classifier.tokenizer.apply_chat_template(TALK, add_generation_prompt=True, return_dict=False)
    fine = classifier.tokenizer("fine")["input_ids"]
    end = exchanges.end_ids
    found = classifier.score(
        Exchanges([TALK] * 2, ["fine"] * 2, [[*prompt, rows, *fine], [*prompt, *fine]], [False] * 2, end)
    )
    assert found[0] == pytest.approx(found[1].item(), abs=1e-5)


def test_the_value_model_of_a_bfloat16_classifier_is_trained_in_float32(
    config: Config, tokenizer: PreTrainedTokenizerBase
) -> None:
    low = load_classifier(replace(config.reward_model, dtype="bfloat16"), tokenizer, BatchSize("", 4), CPU)
    assert {p.dtype for p in low.value_model("x").parameters()} == {torch.float32}
    assert {p.dtype for p in low.model.parameters()} == {torch.bfloat16}
