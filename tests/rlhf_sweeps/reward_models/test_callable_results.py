"""What a Python function may return as scores, and how each of its failures is told."""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from helpers.called_functions import exchanges, failure, reward_model, told

from rlhf_sweeps.process.failures import RewardModelError


@pytest.mark.parametrize(
    "returned",
    [
        [1, 2.5],
        (1, 2.5),
        np.array([1, 2.5]),
        np.array([1, 2.5], dtype=np.float16),
        [np.float32(1), np.float64(2.5)],
        [np.int64(1), np.array(2.5)],
        torch.tensor([1, 2.5], dtype=torch.bfloat16),
        torch.tensor([1, 2.5], requires_grad=True),
        [torch.tensor(1), torch.tensor(2.5, requires_grad=True)],
        iter([1, 2.5]),
        (score for score in (1, 2.5)),
        {"a": 1, "b": 2.5}.values(),
    ],
)
def test_numbers_of_any_kind(returned: Any) -> None:
    scores = reward_model(lambda prompts, responses: returned).score(exchanges("a", "b"))
    assert (scores.tolist(), scores.dtype, scores.requires_grad) == ([1.0, 2.5], torch.float32, False)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([1.0, 2.0, 3.0], "returned 3 and not 2 numbers for 2 responses; the first: prompt 'Hi?', response 'a'"),
        ([1.0], "returned 1 and not 2 numbers for 2 responses; the first: prompt 'Hi?', response 'a'"),
        ((0.0 for _ in iter(int, 1)), "returned 3 and not 2 numbers for 2 responses; "),
        (None, "returned a NoneType and not one number each for 2 responses; "),
        (0.5, "returned a float and not one number each for 2 responses; "),
        (np.float32(0.5), "returned a float and not one number each for 2 responses; "),
        ("12", "returned a str and not one number each for 2 responses; "),
        ({0: 1.0, 1: 2.0}, "returned a dict and not one number each for 2 responses; "),
        ({1.0, 2.0}, "returned a set and not one number each for 2 responses; "),
        ([1.0, float("nan")], "returned nan, which is not finite in float32, for prompt 'Hi?', response 'b'"),
        (
            torch.tensor([1.0, -torch.inf]),
            "returned -inf, which is not finite in float32, for prompt 'Hi?', response 'b'",
        ),
        ([1e39, 1.0], "returned 1e+39, which is not finite in float32, for prompt 'Hi?', response 'a'"),
        (
            [10**400, 1.0],
            "returned 1" + "0" * 99 + "..., which is not finite in float32, for prompt 'Hi?', response 'a'",
        ),
        ([1.0, True], "returned True, a bool and not a number, for prompt 'Hi?', response 'b'"),
        (np.array([False, True]), "returned False, a bool and not a number, for prompt 'Hi?', response 'a'"),
        ([1.0, "2"], "returned '2', a str and not a number, for prompt 'Hi?', response 'b'"),
        (
            [1.0, np.eye(2)],
            "returned array([[1., 0.], [0., 1.]]), a ndarray and not a number, for prompt 'Hi?', response 'b'",
        ),
        ([1.0, None], "returned None, a NoneType and not a number, for prompt 'Hi?', response 'b'"),
        ([1.0, 2j], "returned 2j, a complex and not a number, for prompt 'Hi?', response 'b'"),
        (np.array([[1.0], [2.0]]), "returned [1.0], a list and not a number, for prompt 'Hi?', response 'a'"),
    ],
)
def test_anything_else_is_refused_with_the_text(returned: Any, message: str) -> None:
    found = told(lambda prompts, responses: returned, "a", "b")
    assert found == message or (message.endswith("; ") and found == message + "the first: prompt 'Hi?', response 'a'")


# What goes wrong in it.


def test_the_one_exchange_that_it_raises_for_is_named() -> None:
    seen: list[list[str]] = []

    def picky(prompts: list[str], responses: list[str]) -> list[float]:
        seen.append(responses)
        return [1 / (len(response) - 2) for response in responses]

    error = failure(picky, "a", "bb", "cc", "d")
    assert str(error).endswith(": raised ZeroDivisionError: division by zero for prompt 'Hi?', response 'bb'")
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert seen == [["a", "bb", "cc", "d"], ["a"], ["bb"]]
    assert failure(picky, "bb").__cause__ is not None
    assert seen[3:] == [["bb"]]  # nothing to find out


def test_a_failure_of_the_batch_alone_tells_its_first_and_its_size() -> None:
    def no_batches(prompts: list[str], responses: list[str]) -> list[float]:
        if len(responses) > 1:
            raise RuntimeError
        return [0.0]

    assert told(no_batches, "a", "b") == ("raised RuntimeError for 2 responses; the first: prompt 'Hi?', response 'a'")


def test_a_generator_that_raises_and_an_exit_are_failures() -> None:
    def generate(prompts: list[str], responses: list[str]) -> Iterator[float]:
        for response in responses:
            yield float(response)

    def leave(prompts: list[str], responses: list[str]) -> list[float]:
        sys.exit(4)

    assert told(generate, "1", "x").startswith("raised ValueError: could not convert string to float: 'x' for prompt")
    assert told(generate, "1", "x").endswith("response 'x'")
    error = failure(leave, "a")
    assert str(error).endswith("raised SystemExit: 4 for prompt 'Hi?', response 'a'")
    assert isinstance(error.__cause__, SystemExit)


def test_ctrl_c_passes() -> None:
    def interrupted(prompts: list[str], responses: list[str]) -> list[float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reward_model(interrupted).score(exchanges("a"))


def test_long_texts_are_cut() -> None:
    with pytest.raises(RewardModelError) as caught:
        reward_model(lambda prompts, responses: []).score(exchanges("r" * 5000, prompt="p" * 5000))
    assert str(caught.value).endswith(f"prompt '{'p' * 200}...', response '{'r' * 200}...'")
