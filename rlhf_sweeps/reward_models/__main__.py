"""`python -m rlhf_sweeps.reward_models`."""

from rlhf_sweeps.reward_training.command import main

if __name__ == "__main__":
    main()
