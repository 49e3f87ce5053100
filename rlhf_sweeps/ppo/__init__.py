"""Half one: train a policy with PPO. Knows nothing of files, W&B, Hydra or Optuna."""


class DivergedError(RuntimeError):
    """A loss is no longer a finite number."""
