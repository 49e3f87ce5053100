"""What a run's parts are given: the prompts of an update, and to whom each response is an answer."""

import dataclasses
from pathlib import Path

import pytest
import torch
from conftest import SMALL, Compose
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoTokenizer,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    RwkvConfig,
    RwkvForCausalLM,
)

from rlhf_sweeps import assets
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.ppo.packing import reads_packed
from rlhf_sweeps.record import BaseRecord, Run
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.classifier import ClassifierRewardModel
from rlhf_sweeps.reward_models.scorer import ScoringCost
from rlhf_sweeps.training import checkpoints
from rlhf_sweeps.training.session import Session, load_session
from rlhf_sweeps.verdicts.objective import Evaluation


@pytest.fixture
def session(compose_config: Compose, tmp_path: Path) -> Session:
    """8 responses to 4 prompts an update, scored by their text."""
    changes = ("ppo.rollouts_per_prompt=2", "reward_model=length")
    return load_session(compose_config(*SMALL, *changes), Run(tmp_path))


def watch(session: Session) -> list[Exchanges]:
    """All that the reward model is asked from here on."""
    seen: list[Exchanges] = []
    score = session.evaluator.scorer.score

    def scored(exchanges: Exchanges) -> Tensor:
        seen.append(exchanges)
        return score(exchanges)

    session.evaluator.scorer.score = scored  # type: ignore[method-assign]
    return seen


def assert_answers_belong_to_their_prompts(exchanges: Exchanges, session: Session) -> None:
    """The policy's tokens are those of the prompt, as its template has it, and of the response."""
    assert exchanges.sequences is not None
    for messages, response, sequence in zip(exchanges.prompts, exchanges.responses, exchanges.sequences, strict=True):
        prompt = session.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert list(sequence[: len(prompt)]) == prompt
        assert session.tokenizer.decode(sequence[len(prompt) :], skip_special_tokens=True) == response


def test_reward_models_are_told_which_prompt_a_response_answers(session: Session) -> None:
    seen = watch(session)
    session.ask_base_policy(None)
    session.trainer.step()
    session.evaluator.evaluate(session.policy)
    base, update, evaluation = seen
    assert (len(base), len(update), len(evaluation)) == (7, 8, 7)
    for exchanges in seen:
        assert_answers_belong_to_their_prompts(exchanges, session)
        assert len({messages[-1]["content"] for messages in exchanges.prompts}) >= 4
    assert base.prompts == evaluation.prompts
    held_out = {messages[-1]["content"] for messages in evaluation.prompts}
    assert not any(messages[-1]["content"] in held_out for messages in update.prompts)


def test_every_prompt_of_an_update_is_answered_as_often_as_asked_for(session: Session) -> None:
    seen = watch(session)
    session.trainer.step()
    session.trainer.step()
    for exchanges in seen:
        texts = [messages[-1]["content"] for messages in exchanges.prompts]
        assert texts[::2] == texts[1::2]
        assert len(set(texts)) == 4
    assert not {m[-1]["content"] for m in seen[0].prompts} & {m[-1]["content"] for m in seen[1].prompts}


def test_the_seed_decides_on_prompts_sampling_evaluation_and_adapters(compose_config: Compose, tmp_path: Path) -> None:
    eight, nine, again = (
        load_session(compose_config(*SMALL, f"seed={seed}", "ppo.lora_rank=2"), Run(tmp_path / str(seed)))
        for seed in (8, 9, 9)
    )
    assert (nine.trainer.seed, nine.evaluator.seed) == (9, 9)
    assert sorted(set(eight.trainer.batch_indices(1))) != sorted(set(nine.trainer.batch_indices(1)))
    assert nine.trainer.batch_indices(1) == again.trainer.batch_indices(1)
    (first, second, third) = (
        [weight for name, weight in session.policy.named_parameters() if "lora_A" in name]
        for session in (eight, nine, again)
    )
    assert all(map(torch.equal, second, third))
    assert not any(map(torch.equal, first, second))


# What a session is made of anew at every start; all else must survive a checkpoint.
PARTS = {
    *("config", "run", "trainer", "evaluator", "loader", "training", "policy", "policy_digest", "tokenizer"),
    *("adapter", "checkpoint", "confirming"),
}


def test_whatever_a_run_carries_survives_a_checkpoint(compose_config: Compose, tmp_path: Path) -> None:
    """Field by field, each with a value of its own, found by iterating over them."""
    config = compose_config(*SMALL, "reward_model=length", "eval.judges=[vader]")
    session = load_session(config, Run(tmp_path))
    carried = {field.name for field in dataclasses.fields(Session)} - PARTS
    odd = {
        "best": Evaluation(3, 0.5, 1.25),
        "last": Evaluation(4, -2.5, 7.75),
        "seconds": 12.5,
        "tokens": 1234567,
    }
    assert carried == set(odd), "a new field: restored at every start, or one of PARTS?"
    for name, value in odd.items():
        setattr(session, name, value)
    session.trainer.update = 5
    session.trainer.kl_coef = 0.375
    for number, scorer in enumerate(session.loader.scorers):
        scorer.state = {
            "scores": {f"key {number}": 0.25 + number},
            "cost": {
                field.name: 10 * number + place for place, field in enumerate(dataclasses.fields(ScoringCost), start=1)
            },
        }
    assert len(session.loader.scorers) == 2
    for update in range(1, 6):
        session.run.append_metrics({"update": update})
    session.save()
    again = load_session(config, Run(tmp_path))
    again.go_on()
    assert {name: getattr(again, name) for name in odd} == odd
    assert (again.trainer.update, again.trainer.kl_coef) == (5, 0.375)
    assert [scorer.state for scorer in again.loader.scorers] == [scorer.state for scorer in session.loader.scorers]
    assert again.loader.scorers[0].state != again.loader.scorers[1].state


def test_a_checkpoint_of_another_price_is_measured_by_that_of_the_run(compose_config: Compose, tmp_path: Path) -> None:
    session = load_session(compose_config(*SMALL, "reward_model=length"), Run(tmp_path))
    session.best = Evaluation(3, 3.0, 20.0)
    session.trainer.update = 3
    for update in range(1, 4):
        session.run.append_metrics({"update": update})
    session.save()
    net = ("objective.metrics=[eval/net_score]", "objective.kl_price=0.1")
    again = load_session(compose_config(*SMALL, "reward_model=length", *net), Run(tmp_path))
    again.go_on()
    assert again.best is not None
    assert (again.best.kl_price, again.best.worth) == (0.1, 1.0)


def test_the_best_policy_so_far_goes_from_checkpoint_to_checkpoint(compose_config: Compose, tmp_path: Path) -> None:
    session = load_session(compose_config(*SMALL, "reward_model=length"), Run(tmp_path))
    weight = next(session.policy.parameters())

    def save(update: int, best: int | None) -> float:
        """The first weight of the best policy, which at an update is its number."""
        session.trainer.update = update
        session.best = None if best is None else Evaluation(best, 1.0, 1.0)
        with torch.no_grad():
            weight.fill_(update)
        session.save()
        newest, *_ = checkpoints.list_checkpoints(session.run.checkpoint)
        return next(iter(load_file(newest / "best.safetensors").values())).flatten()[0].item()

    assert [save(2, None), save(3, 3), save(5, 3), save(7, 7), save(8, 7)] == [2, 3, 3, 7, 7]
    assert save(8, 8) == 7  # has a checkpoint already


@pytest.mark.parametrize("completes_turns", [True, False])
def test_how_turns_end_reaches_the_reward_model(completes_turns: bool, compose_config: Compose, tmp_path: Path) -> None:
    config = compose_config(*SMALL, f"ppo.complete_turn={completes_turns}")
    reward_model = load_session(config, Run(tmp_path)).evaluator.scorer.reward_model
    assert isinstance(reward_model, ClassifierRewardModel)
    assert reward_model.completes_turns == completes_turns


class AskedError(Exception):
    pass


def settings_of_base(monkeypatch: pytest.MonkeyPatch, session: Session) -> str:
    """What the base policy's answers are recorded under."""
    seen: list[str] = []

    def asked(record: BaseRecord, settings: object, *_: object) -> None:
        seen.append(repr(settings))
        raise AskedError

    monkeypatch.setattr("rlhf_sweeps.training.session.BasePolicy", asked)
    with pytest.raises(AskedError):
        session.ask_base_policy(None)
    return seen[0]


def test_base_answers_are_known_by_how_they_were_sampled(
    compose_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = ["seed=5", "ppo.lr=1 ppo.kl_coef=0.5 eval.every=1 ppo.rollouts_per_prompt=2", *HOW_TO_SAMPLE]
    session = load_session(compose_config(*SMALL), Run(tmp_path))
    plain, seed, lr, *others = (
        settings_of_base(monkeypatch, dataclasses.replace(session, config=compose_config(*SMALL, *change.split())))
        for change in ("", *changes)
    )
    assert plain == seed == lr
    assert len({plain, *others}) == 1 + len(HOW_TO_SAMPLE)
    others.append(settings_of_base(monkeypatch, dataclasses.replace(session, policy_digest="of other weights")))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    others.append(settings_of_base(monkeypatch, session))
    assert len({plain, *others}) == 3 + len(HOW_TO_SAMPLE)


HOW_TO_SAMPLE = (
    "ppo.temperature=0.9",
    "ppo.top_p=0.9",
    "ppo.stop_strings=[x]",
    "ppo.response_length=17",
    "ppo.precision=bfloat16",
    "ppo.static_decoding=true",
    "device=cpu",
    "model.revision=another",
)


def test_reward_models_are_told_how_each_response_ended(compose_config: Compose, tmp_path: Path) -> None:
    """The base policy's, those of an update and those of an evaluation; some are cut at this length."""
    session = load_session(compose_config(*SMALL, "reward_model=length", "ppo.response_length=20"), Run(tmp_path))
    seen = watch(session)
    session.ask_base_policy(None)
    session.trainer.step()
    session.evaluator.evaluate(session.policy)
    assert len(seen) == 3
    for exchanges in seen:
        assert exchanges.sequences is not None
        assert list(exchanges.end_ids) == [session.tokenizer.eos_token_id]
        ended = [sequence[-1] == session.tokenizer.eos_token_id for sequence in exchanges.sequences]
        assert exchanges.ended == ended
    assert {has_ended for exchanges in seen for has_ended in exchanges.ended or ()} == {True, False}


def saved(folder: Path, model: PreTrainedModel, template: str | None = None) -> Path:
    """With the embedded policy's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(assets.folder("tiny_policy"))
    tokenizer.chat_template = template or tokenizer.chat_template
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def test_a_policy_that_cannot_be_read_in_batches_is_refused(compose_config: Compose, tmp_path: Path) -> None:
    rwkv = RwkvForCausalLM(RwkvConfig(vocab_size=2048, hidden_size=16, num_hidden_layers=2, context_length=256))
    path = saved(tmp_path / "rwkv", rwkv)
    config = compose_config(*SMALL, "model=local", f"model.path={path}", "reward_model=length")
    with pytest.raises(ConfigError, match=rf"^model.path={path}: must be of an architecture that can be sampled from"):
        load_session(config, Run(tmp_path / "run"))


def test_a_policys_windows_ids_and_date_are_seen_to(compose_config: Compose, tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape = MistralConfig(
        vocab_size=2048, num_key_value_heads=1, sliding_window=9, max_position_embeddings=256, **sizes
    )
    template = "{{ strftime_now('%Y-%m-%d') }}{% for m in messages %}{{ m.content }}{% endfor %}"
    path = saved(tmp_path / "mistral", MistralForCausalLM(shape), template)
    config = compose_config(*SMALL, "model=local", f"model.path={path}", "reward_model=length")
    run = Run(tmp_path / "run")
    session = load_session(config, run)
    assert not reads_packed(session.policy.base_model)
    (row,) = run.base.read("date")
    assert session.tokenizer.chat_template == template.replace("strftime_now('%Y-%m-%d')", f"'{row['date'][:10]}'")
    run.base.write("date", [{"date": "2001-02-03T04:05:06"}])  # as if it had been begun then
    assert "2001-02-03" in str(load_session(config, run).tokenizer.chat_template)
    shape.vocab_size = 2047
    MistralForCausalLM(shape).save_pretrained(path)
    with pytest.raises(ConfigError, match=rf"^model.path={path}: its embedding must have a row for each id"):
        load_session(config, run)
