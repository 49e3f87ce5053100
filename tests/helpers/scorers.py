"""Reward models for tests, by dotted path."""

from collections.abc import Sequence


def words(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """Longer is better."""
    return [float(len(response.split())) for response in responses]


def fewer_words(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """Shorter is better."""
    return [-10 * float(len(response.split())) for response in responses]


def indifferent(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """Nothing is better."""
    return [1.0] * len(responses)


def fails_on_long_ones(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """Raises once a response has more than a dozen words."""
    if any(len(response.split()) > 12 for response in responses):
        raise ValueError("too long")
    return [1.0] * len(responses)


def sevens(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """Nothing is better, and all is far from 0."""
    return [7.0] * len(responses)
