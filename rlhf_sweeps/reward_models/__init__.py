"""Reward models: anything that gives a response to a prompt a score. Loads no torch."""


class RewardModelError(RuntimeError):
    """A reward model failed on responses that it was given; the message names it, what it did and a text."""
