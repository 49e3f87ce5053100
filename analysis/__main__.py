"""`python -m analysis`, or `rlhf-analysis`."""

import sys

from analysis import command


def main() -> int:
    """Entry point; returns the exit status."""
    return command.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
