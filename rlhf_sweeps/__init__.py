"""Sweeps over PPO alignment runs, composed by Hydra. The rooms and their files: rlhf_sweeps/README.md."""

__version__ = "0.1.0"
