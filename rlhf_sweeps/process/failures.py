"""The ways in which a run itself fails, whoever runs it."""


class DivergedError(RuntimeError):
    """A loss is no longer a finite number."""


class RewardModelError(RuntimeError):
    """A reward model failed on responses that it was given; the message names it, what it did and a text."""
