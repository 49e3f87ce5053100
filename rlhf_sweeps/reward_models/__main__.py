"""`python -m rlhf_sweeps.reward_models`: its first word names a command, all others are for that command."""

import sys

from rlhf_sweeps import cli
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.reward_screen.command import screen_reward_models
from rlhf_sweeps.reward_training.command import train_reward_model
from rlhf_sweeps.wording import suggest

COMMANDS = {"train": train_reward_model, "screen": screen_reward_models}


def main() -> None:
    """Entry point."""
    word = next(iter(sys.argv[1:]), "")
    if word in COMMANDS:
        del sys.argv[1]
    elif word not in ("--help", "-h", "--version"):
        near, allowed = suggest(word, COMMANDS), " or ".join(COMMANDS)
        cli.refuse(ConfigError(f"{word or 'no command'}: must be {allowed}{near} (see --help)"))
    COMMANDS.get(word, train_reward_model)()


if __name__ == "__main__":
    main()
