"""What a run's parts are given: the prompts of an update, and to whom each response is an answer."""

from pathlib import Path

import pytest
from conftest import SMALL, Compose
from torch import Tensor

from rlhf_sweeps.config import Config
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.classifier import ClassifierRewardModel
from rlhf_sweeps.runs import BaseRecord, Run
from rlhf_sweeps.session import Session, load_session


@pytest.fixture
def session(compose_config: Compose, tmp_path: Path) -> Session:
    """8 responses to 4 prompts an update, scored by their text."""
    return load_session(compose_config(*SMALL, "ppo.rollouts_per_prompt=2", "reward_model=length"), Run(tmp_path))


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
    assert (len(base), len(update), len(evaluation)) == (8, 8, 8)
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


def test_the_seed_decides_on_prompts_sampling_and_evaluation(compose_config: Compose, tmp_path: Path) -> None:
    zero, one = (load_session(compose_config(*SMALL, f"seed={seed}"), Run(tmp_path / str(seed))) for seed in (0, 1))
    assert (one.trainer.seed, one.evaluator.seed) == (1, 1)
    assert sorted(set(zero.trainer.batch_indices(1))) != sorted(set(one.trainer.batch_indices(1)))


@pytest.mark.parametrize("completes_turns", [True, False])
def test_how_turns_end_reaches_the_reward_model(completes_turns: bool, compose_config: Compose, tmp_path: Path) -> None:
    config = compose_config(*SMALL, f"ppo.complete_turn={completes_turns}")
    reward_model = load_session(config, Run(tmp_path)).evaluator.scorer.reward_model
    assert isinstance(reward_model, ClassifierRewardModel)
    assert reward_model.completes_turns == completes_turns


class AskedError(Exception):
    pass


def settings_of_base(monkeypatch: pytest.MonkeyPatch, config: Config, folder: Path) -> str:
    """What the base policy's answers are recorded under."""
    seen: list[str] = []

    def asked(record: BaseRecord, settings: object, *_: object) -> None:
        seen.append(repr(settings))
        raise AskedError

    monkeypatch.setattr("rlhf_sweeps.session.BasePolicy", asked)
    with pytest.raises(AskedError):
        load_session(config, Run(folder)).ask_base_policy(None)
    return seen[0]


def test_base_answers_are_known_by_how_they_were_sampled(
    compose_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = ["seed=5", "ppo.lr=1", *HOW_TO_SAMPLE]
    plain, seed, lr, *others = (
        settings_of_base(monkeypatch, compose_config(*SMALL, *change.split()), tmp_path) for change in ("", *changes)
    )
    assert plain == seed == lr
    assert len({plain, *others}) == 1 + len(HOW_TO_SAMPLE)


HOW_TO_SAMPLE = (
    "ppo.temperature=0.9",
    "ppo.top_p=0.9",
    "ppo.stop_strings=[x]",
    "ppo.response_length=17",
    "ppo.precision=bfloat16",
    "ppo.static_decoding=true",
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
