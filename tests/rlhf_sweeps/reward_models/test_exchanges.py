"""Prompts and responses as reward models are given them: some of them, and how an error shows one."""

from dataclasses import fields
from typing import Any

from rlhf_sweeps.reward_models.base import Exchanges, quote_exchange

VALUES: dict[str, Any] = {
    "prompts": [[{"role": "user", "content": text}] for text in "abc"],
    "responses": ["x", "y", "z"],
    "sequences": [[1], [2, 3], [4, 5, 6]],
    "ended": [True, False, True],
    "end_ids": [7, 9],  # of all of them
}


def test_some_rows_have_all_that_is_theirs() -> None:
    assert {field.name for field in fields(Exchanges)} == set(VALUES)
    part = Exchanges(**VALUES).rows([2, 1])
    for name, value in VALUES.items():
        assert getattr(part, name) == (value if name == "end_ids" else [value[2], value[1]]), name
    assert len(part) == 2


def test_what_is_not_at_hand_is_not_at_hand_of_some_either() -> None:
    part = Exchanges(VALUES["prompts"], VALUES["responses"]).rows([1])
    assert (part.sequences, part.ended, list(part.end_ids)) == (None, None, [])
    assert part.responses == ["y"]
    assert len(part) == 1


def test_an_error_shows_two_hundred_characters() -> None:
    whole = Exchanges([[{"role": "user", "content": "p" * 200}]], ["r" * 201])
    assert quote_exchange(whole, 0) == f"prompt '{'p' * 200}', response '{'r' * 200}...'"
