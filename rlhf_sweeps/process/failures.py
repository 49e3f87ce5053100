"""Failures of a run itself, alone or in a sweep."""


class DivergedError(RuntimeError):
    """A loss is no longer a finite number."""


class RewardModelError(RuntimeError):
    """A reward model failed on responses; the message names the reward model, the failure and one of the texts."""
