"""Python functions as reward models, called with a few responses, and what is told of those that fail."""

from collections.abc import Callable
from typing import Any

import pytest

from rlhf_sweeps.process.failures import RewardModelError
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.callables import CallableRewardModel

HANG = 0.2  # seconds


def exchanges(*responses: str, prompt: str = "Hi?") -> Exchanges:
    return Exchanges([[{"role": "user", "content": prompt}]] * len(responses), responses)


def reward_model(function: Callable[[list[str], list[str]], Any]) -> CallableRewardModel:
    return CallableRewardModel(function, HANG, "reward_model.function=my.function")


def failure(function: Callable[[list[str], list[str]], Any], *responses: str) -> RewardModelError:
    with pytest.raises(RewardModelError) as caught:
        reward_model(function).score(exchanges(*responses))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("reward_model.function=my.function: ")
    return caught.value


def told(function: Callable[[list[str], list[str]], Any], *responses: str) -> str:
    return str(failure(function, *responses)).removeprefix("reward_model.function=my.function: ")
