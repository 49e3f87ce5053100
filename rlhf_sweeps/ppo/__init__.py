"""PPO training of a policy. Nothing here knows of files, W&B, Hydra or Optuna."""
