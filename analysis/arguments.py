"""The words of the analysis's command line: which are allowed, the error for others, and long options."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from analysis.output.formats import DEFAULT_FORMATS, FORMATS
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.process.option_parser import parse_count
from rlhf_sweeps.wording import suggest


def check_command(words: Sequence[str], commands: Sequence[str]) -> None:
    """Refuse a first word that names no command; options without a value may stand before it.

    Raises:
        AnalysisError: with the nearest command.
    """
    given = next((word for word in words if not word.startswith("-")), None)
    if given is not None and given not in commands:
        raise AnalysisError(
            f"{given}: there is no such command{suggest(given, commands)} (allowed: {', '.join(commands)})"
        )


def parse_formats(text: str) -> tuple[str, ...]:
    """Formats of figures, with commas between them."""
    names = tuple(text.split(","))
    if wrong := [name for name in names if name not in FORMATS]:
        raise argparse.ArgumentTypeError(
            f"{', '.join(wrong)}: must be among {', '.join(FORMATS)}{suggest(wrong[0], FORMATS)}"
        )
    return names


def add_formats(parser: argparse.ArgumentParser) -> None:
    """Let a command take the formats of its figures."""
    parser.add_argument(
        "--format",
        type=parse_formats,
        default=DEFAULT_FORMATS,
        metavar="NAME,NAME",
        help=f"formats of the figures: {', '.join(FORMATS)} (default: {','.join(DEFAULT_FORMATS)})",
    )


def add_curve_options(curves: argparse.ArgumentParser) -> None:
    """Let `curves` take what is drawn, and how."""
    curves.add_argument(
        "--metrics",
        metavar="NAME,NAME",
        help="metrics, or patterns such as judge/*/win_rate, or all (default: step reward, cumulative reward, "
        "policy loss, entropy, KL)",
    )
    curves.add_argument("--by", metavar="KEY", help="mean and spread of the runs that share a config key's value")
    curves.add_argument(
        "--smooth", type=parse_count, metavar="UPDATES", help="smooth over this number of updates; 1: no smoothing"
    )
    curves.add_argument(
        "--x",
        choices=("updates", "episodes"),
        help="the horizontal axis (default: episodes where batch sizes differ, else updates)",
    )
    curves.add_argument(
        "--beside",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a table with another run's curves, such as published ones, drawn beside ours and compared with them, but "
        "never counted as a run; may be given several times. Columns: update and one for each metric, under our names "
        "or as reward, cumulative_reward, policy_loss, entropy, kl",
    )
