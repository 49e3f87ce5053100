"""Half one: train a policy with PPO. Knows nothing of files, W&B, Hydra or Optuna."""
