"""A run's reward models: each is loaded once, and told what the run says."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.chat_tokenizers import smollm2
from helpers.data_files import dataset

from rlhf_sweeps.config.reward_models import EnsembleConfig, LengthConfig
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.reward_models import load
from rlhf_sweeps.reward_models.load import Loader

LENGTH = LengthConfig(kind="length", name="words", normalize=None, unit="words", weight=0.5, target=None)


@pytest.fixture
def loader() -> Loader:
    return Loader(smollm2(), BatchSize("", 5), torch.device("cpu"), dataset("x.jsonl"), completes_turns=False)


def test_a_reward_model_is_loaded_once_whether_it_is_normalized_or_not(loader: Loader) -> None:
    first = loader.scorer(replace(LENGTH, normalize=True), "reward_model")
    assert loader.scorer(replace(LENGTH, normalize=False), "eval.judges[0]") is first
    assert first.config.normalize is None
    for changes in ({"name": "others"}, {"weight": 0.25}, {"unit": "characters"}, {"target": 3}):
        assert loader.scorer(replace(LENGTH, **changes), "eval.judges[1]") is not first
    assert len(loader.scorers) == 5


def test_members_of_an_ensemble_come_before_it_and_are_its_judges_too(loader: Loader) -> None:
    other = replace(LENGTH, name="half", weight=0.25)
    ensemble = EnsembleConfig(
        kind="ensemble", name="both", normalize=None, members=[LENGTH, other], aggregation="min", uncertainty_weight=0.5
    )
    scorer = loader.scorer(ensemble, "reward_model")
    assert [one.name for one in loader.scorers] == ["words", "half", "both"]
    found: Any = scorer.reward_model
    assert found.members == [loader.scorer(LENGTH, "x"), loader.scorer(other, "y")]
    assert (found.aggregation, found.uncertainty_weight) == ("min", 0.5)


def test_a_classifier_is_told_how_turns_end(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    class Classifier:
        pass

    monkeypatch.setattr(load, "ClassifierConfig", LengthConfig)
    monkeypatch.setattr(load, "load_classifier", lambda *arguments: asked.append(arguments) or Classifier())
    loader.scorer(LENGTH, "eval.judges[2]")
    ((config, tokenizer, batch, device, key, completes_turns, prompts, hold_date),) = asked
    assert (config, tokenizer, batch) == (LENGTH, loader.policy_tokenizer, loader.batch)
    assert (device, key, completes_turns) == (torch.device("cpu"), "eval.judges[2].path", False)
    assert (prompts, hold_date) == (loader.prompts, loader.hold_date)
