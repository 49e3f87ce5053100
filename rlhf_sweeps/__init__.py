"""Sweeps over PPO alignment runs, composed by Hydra. See README.md for the commands and the file tree."""

__version__ = "0.1.0"
