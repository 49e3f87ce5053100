"""`python -m rlhf_sweeps`, or `rlhf-sweeps`: one run, a sweep with -m, or one of the other commands.

What a command needs is imported here when it is given: each process of a trial that `rlhf-sweeps` starts loads this
file.
"""

import sys
from pathlib import Path

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.wording import suggest

COMMANDS = ("sample", "reward-models", "completion")


def main() -> None:
    """Entry point; the first word may name a command, all other words are for that command or for Hydra."""
    word = next(iter(sys.argv[1:]), "")
    if word in COMMANDS:
        del sys.argv[1]
    if word == "sample":
        from rlhf_sweeps.sample import main as sample

        sample()
    elif word == "reward-models":
        from rlhf_sweeps.reward_models.__main__ import main as train_or_screen

        train_or_screen()
    elif word == "completion":
        print((Path(__file__).parent / "command_line" / "completion.bash").read_text(encoding="utf-8"), end="")
    else:
        from rlhf_sweeps import cli

        if "=" not in word and not word.startswith("-") and (near := suggest(word, COMMANDS)):
            cli.refuse(ConfigError(f"{word}: there is no such command{near}"))
        cli.main()


if __name__ == "__main__":
    main()
