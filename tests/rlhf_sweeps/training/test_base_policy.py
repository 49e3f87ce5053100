"""What is found out about the base policy is shared by what it depends on, and by nothing else."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SMALL, Compose
from helpers.chat_tokenizers import smollm2
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import LlamaConfig, LlamaForSequenceClassification

from rlhf_sweeps import assets
from rlhf_sweeps.config.reward_models import CallableConfig, VaderConfig
from rlhf_sweeps.data import Encoded
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.record import BaseRecord, Sweep
from rlhf_sweeps.reward_models.base import Exchanges, RewardModel
from rlhf_sweeps.reward_models.callables import load_callable
from rlhf_sweeps.reward_models.classifier import ClassifierRewardModel
from rlhf_sweeps.reward_models.encoder import EncoderRewardModel
from rlhf_sweeps.reward_models.ensemble import EnsembleRewardModel
from rlhf_sweeps.reward_models.pair_head import Head
from rlhf_sweeps.reward_models.scale import Scale
from rlhf_sweeps.reward_models.scorer import Scorer
from rlhf_sweeps.training.base_policy import BaseAnswers, BasePolicy, make_exchanges
from rlhf_sweeps.training.train import train

PROMPT = [{"role": "user", "content": "Hello?"}]


class Encoder:
    """Embeds everything as ones."""

    def embed_prompts(self, prompts: Any) -> Tensor:
        return torch.ones(len(prompts), 2)

    def embed(self, texts: Any) -> Tensor:
        return torch.ones(len(texts), 2)

    digest = "ones"


class Constant(RewardModel):
    def __init__(self, score: float, digest: str = "") -> None:
        self.value, self._digest = score, digest

    def score(self, exchanges: Exchanges) -> Tensor:
        return torch.full((len(exchanges),), self.value)

    def digest(self) -> str:
        return self._digest


def encoder(sign: float) -> RewardModel:
    """Its head is fitted to the run's pairs: on another data set it is another one, under the same config."""
    head = Head(sign * torch.ones(4, dtype=torch.float64), 0.1, 9, 1.0, 9)
    return EncoderRewardModel(Encoder(), head)  # type: ignore[arg-type]


def ensemble(mean: float) -> RewardModel:
    found = EnsembleRewardModel([scorer(Constant(1.0, "a")), scorer(Constant(3.0, "b"))], "mean", 0.5)
    found.scales = [Scale(mean, 1.0, 9), Scale(0.0, 1.0, 9)]
    return found


def classifier(sign: float = 1.0, template: str | None = None, **settings: Any) -> RewardModel:
    tokenizer = smollm2()
    tokenizer.chat_template = template or tokenizer.chat_template
    shape = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_labels=1, initializer_range=0.5,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForSequenceClassification(shape)
    with torch.no_grad():
        model.score.weight.mul_(sign)
    return ClassifierRewardModel(model, tokenizer, smollm2(), BatchSize("", 4), **settings)


def scorer(reward_model: RewardModel) -> Scorer:
    """All of one name and config."""
    return Scorer(VaderConfig(kind="vader", name="one", normalize=None), reward_model)


@pytest.fixture
def answers() -> BaseAnswers:
    tokenizer = smollm2()
    given = tokenizer.apply_chat_template(PROMPT, add_generation_prompt=True, return_dict=False)
    response = [*tokenizer("fine", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    exchanges = make_exchanges([PROMPT], [given], [response], [True], [tokenizer.eos_token_id], tokenizer)
    return BaseAnswers(exchanges, [response], "answers")


def with_eps(eps: float) -> RewardModel:
    found = classifier()
    assert isinstance(found, ClassifierRewardModel)
    found.model.config.rms_norm_eps = found.model.model.norm.variance_epsilon = eps
    return found


def with_outputs(output: int) -> RewardModel:
    """Of two outputs one is the score."""
    found = classifier(output=output)
    assert isinstance(found, ClassifierRewardModel)
    weight = found.model.score.weight.data
    found.model.score = torch.nn.Linear(16, 2, bias=False)
    found.model.score.weight.data = torch.cat([weight, 2 * weight])
    return found


def with_merges(num: int) -> RewardModel:
    """A tokenizer of the same vocabulary that joins fewer characters."""
    found = classifier(max_length=200)
    assert isinstance(found, ClassifierRewardModel)
    content = json.loads(found.tokenizer.backend_tokenizer.to_str())
    content["model"]["merges"] = content["model"]["merges"][:num]
    tokenizer = smollm2()
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(content))
    found.reads_tokens, found.tokenizer, found.reader.tokenizer = False, tokenizer, tokenizer
    return found


OTHERS: dict[str, tuple[Callable[[], RewardModel], Callable[[], RewardModel]]] = {
    "an encoder's head": (lambda: encoder(1.0), lambda: encoder(-1.0)),
    "an ensemble's scale": (lambda: ensemble(0.0), lambda: ensemble(5.0)),
    "weights": (classifier, lambda: classifier(sign=-1.0)),
    "template": (
        lambda: classifier(),
        lambda: classifier(template="{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"),
    ),
    "config": (lambda: with_eps(1e-6), lambda: with_eps(10.0)),
    "tokenizer": (lambda: with_merges(10_000), lambda: with_merges(0)),
    "length": (lambda: classifier(max_length=33), lambda: classifier(max_length=36)),
    "turns as TRL has them": (classifier, lambda: classifier(completes_turns=False)),
    "output": (lambda: with_outputs(0), lambda: with_outputs(1)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_scores_of_another_reward_model_are_not_taken(what: str, answers: BaseAnswers, tmp_path: Path) -> None:
    """Nor do they come into its memory."""
    base_policy = BasePolicy(BaseRecord(tmp_path), None, no_sampling, smollm2(), Encoded([], [], 0))
    makers = OTHERS[what]
    expected = [make().score(answers.exchanges).item() for make in makers]
    assert abs(expected[0] - expected[1]) > 1e-3
    for _ in range(2):  # measured, then read
        for make, score in zip(makers, expected, strict=True):
            one = scorer(make())
            assert base_policy.scores(answers, one).item() == pytest.approx(score, abs=1e-5)
            assert one.score(answers.exchanges).item() == pytest.approx(score, abs=1e-5)
    assert len(list((tmp_path / "base").iterdir())) == 2


def no_sampling(*_: object) -> Any:
    raise AssertionError("asked")


def test_a_function_that_was_changed_is_another_one(
    answers: BaseAnswers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two starts of a sweep, for example."""
    base_policy = BasePolicy(BaseRecord(tmp_path), None, no_sampling, smollm2(), Encoded([], [], 0))
    monkeypatch.syspath_prepend(str(tmp_path))
    config = CallableConfig("callable", "mine", None, "changed.score", {}, 10.0)
    for score in (1.5, 2.5, 1.5):
        (tmp_path / "changed.py").write_text(f"def score(prompts, responses):\n    return [{score}] * len(prompts)\n")
        sys.modules.pop("changed", None)
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        assert base_policy.scores(answers, Scorer(config, load_callable(config, "reward_model"))).tolist() == [score]
    assert len(list((tmp_path / "base").iterdir())) == 2


def test_a_policy_with_other_weights_in_the_same_folder_is_asked_anew(compose_config: Compose, tmp_path: Path) -> None:
    folder, sweep = tmp_path / "policy", Sweep(tmp_path / "sweep")
    shutil.copytree(assets.folder("tiny_policy"), folder)
    config = compose_config(*SMALL, "ppo.total_episodes=8", "model=local", f"model.path={folder}")
    for number in range(2):
        train(config, tmp_path / str(number), sweep)
    before = set((tmp_path / "sweep" / "base").glob("responses_*"))
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] * 0.5
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    train(config, tmp_path / "other", sweep)
    after = set((tmp_path / "sweep" / "base").glob("responses_*")) - before
    # Answers to the evaluations' prompts, and to the confirming ones.
    assert (len(before), len(after)) == (2, 2)
    assert not {file.read_bytes() for file in before} & {file.read_bytes() for file in after}


@pytest.mark.parametrize("what", ["messages", "end tokens", "settings", "tokens", "purpose", "seed"])
def test_answers_to_other_questions_are_not_taken(what: str, tmp_path: Path) -> None:
    """A template may make the same tokens of two prompts, which a reward model that reads text tells apart."""
    tokenizer, record = smollm2(), BaseRecord(tmp_path)
    asked: list[str] = []

    def sample(*_: object) -> Any:
        asked.append(what)
        mask = torch.ones(1, 1, dtype=torch.bool)
        return Responses(mask.long(), mask, mask.long(), mask, torch.zeros(1, 1), torch.tensor([False]))

    other = [{"role": "user", "content": "Hello?  "}] if what == "messages" else PROMPT
    end_ids = [3] if what == "end tokens" else [1]
    settings = "static" if what == "settings" else None
    ids = [[5, 7]] if what == "tokens" else [[5, 6]]
    purpose, seed = "scale" if what == "purpose" else "evaluation", 8 if what == "seed" else 7
    plain = (PROMPT, [1], None, [[5, 6]], "evaluation", 7)
    changed = (other, end_ids, settings, ids, purpose, seed)
    assert sum(ours != its for ours, its in zip(plain, changed, strict=True)) == 1
    keys = []
    for messages, ends, used, tokens, why, number in (plain, changed, plain):
        prompts = Encoded([messages], tokens, 0)
        answers = BasePolicy(record, used, sample, tokenizer, prompts, ends).answers(prompts, why, number)
        assert list(answers.exchanges.end_ids) == ends
        assert answers.exchanges.prompts == [messages]
        keys.append(answers.key)
    assert keys[0] == keys[2] != keys[1]
    assert len(asked) == 2


def test_prompts_that_none_was_asked_about_make_no_other_answers(tmp_path: Path) -> None:
    """What was left out of the prompts, and how many, is no matter."""
    mask = torch.ones(1, 1, dtype=torch.bool)
    batch = Responses(mask.long(), mask, mask.long(), mask, torch.zeros(1, 1), torch.tensor([False]))
    keys = set()
    for counts in ((0, 0, 0), (3, 4, 5)):
        prompts = Encoded([PROMPT], [[5, 6]], *counts)
        base_policy = BasePolicy(BaseRecord(tmp_path), None, lambda *_: batch, smollm2(), prompts)
        keys.add(base_policy.answers(prompts, "evaluation", 7).key)
    assert len(keys) == 1


def test_a_scale_is_measured_on_some_prompts_and_read_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlhf_sweeps.training.base_policy.NUM_PROMPTS", 3)
    asked: list[Any] = []

    def sample(ids: Any, purpose: str, seed: int) -> Responses:
        asked.append((ids, purpose, seed))
        response_ids = torch.tensor([[each[0]] for each in ids])
        mask = torch.ones(len(ids), 1, dtype=torch.bool)
        return Responses(mask.long(), mask, response_ids, mask, torch.zeros(len(ids), 1), torch.ones(len(ids)).bool())

    training = Encoded([PROMPT] * 7, [[number] for number in range(20, 27)], 0)
    base_policy = BasePolicy(BaseRecord(tmp_path), None, sample, smollm2(), training)
    first = base_policy.scale(scorer(Lengths()))
    (((ids, purpose, seed)),) = asked
    assert (len(ids), purpose, seed) == (3, "scale", 0)
    assert len({tuple(each) for each in ids}) == 3
    assert all(each in training.ids for each in ids)
    assert ids != training.ids[:3]
    assert first.num_responses == 3
    assert BasePolicy(BaseRecord(tmp_path), None, no_sampling, smollm2(), training).scale(scorer(Lengths())) == first


def test_scores_out_of_the_record_are_known_from_then_on(answers: BaseAnswers, tmp_path: Path) -> None:
    class Mute(RewardModel):
        def score(self, exchanges: Exchanges) -> Tensor:
            raise AssertionError("asked")

    base_policy = BasePolicy(BaseRecord(tmp_path), None, no_sampling, smollm2(), Encoded([], [], 0))
    assert base_policy.scores(answers, scorer(Constant(2.5))).tolist() == [2.5]
    mute = scorer(Mute())
    assert base_policy.scores(answers, mute).tolist() == [2.5]
    assert mute.score(answers.exchanges).tolist() == [2.5]


class Lengths(RewardModel):
    """What it has scored before, it does not score again."""

    def score(self, exchanges: Exchanges) -> Tensor:
        return torch.arange(len(exchanges), dtype=torch.float32)
