"""How many of a run's held-out answers are casual, stiff and garbled, by the grammar that wrote the embedded data.

python -m rlhf_sweeps.garbled outputs/<run>
"""

import sys
from pathlib import Path
from typing import Any

from rlhf_sweeps.assets.judge import CASUAL_ANSWER, GARBLED, STIFF_ANSWER, count_shares, find_questions
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.platforms.output import tolerate
from rlhf_sweeps.process.closed_output import tolerate_closed_output
from rlhf_sweeps.process.exit_status import INTERRUPTED, WRONG_INPUT
from rlhf_sweeps.process.option_parser import OptionParser
from rlhf_sweeps.record import Run

_COLUMNS = ("update", "prompt", "response", "base_response")  # of a row of a run's samples


def print_shares(folder: Path) -> None:
    """Print the shares among the base policy's answers, and among the policy's answers at each evaluation.

    Raises:
        ConfigError: if the folder holds no samples of a run on the embedded data.
    """
    samples = _read_samples(folder)
    first = samples[0]["update"]
    answered = {"base": [(row["prompt"], row["base_response"]) for row in samples if row["update"] == first]}
    for row in samples:
        answered.setdefault(f"update {row['update']}", []).append((row["prompt"], row["response"]))
    print(f"{'':10}" + "".join(f"{name:>9}" for name in (CASUAL_ANSWER, STIFF_ANSWER, GARBLED)))
    for name, exchanges in answered.items():
        print(f"{name:10}" + "".join(f"{100 * share:>7.1f} %" for share in count_shares(exchanges).values()))


def _read_samples(folder: Path) -> list[dict[str, Any]]:
    run = Run(folder)
    samples, file = run.samples(), run.samples_file.name
    if not samples:
        raise ConfigError(
            f"run={folder}: holds no {file} with answers (allowed: the folder of a run with an evaluation)"
        )
    for row in samples:
        if lost := [column for column in _COLUMNS if column not in row]:
            raise ConfigError(f"run={folder}: a row of its {file} lacks {lost[0]} (allowed: rows as a run writes them)")
        if row["prompt"] not in find_questions():
            raise ConfigError(
                f"run={folder}: the prompt {row['prompt']!r} is of other data "
                "(allowed: a run on the embedded data, dataset=human_like_mini)"
            )
    return samples


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command."""
    tolerate()
    parser = OptionParser(prog="python -m rlhf_sweeps.garbled", description=__doc__)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a run on the embedded data")
    try:
        with tolerate_closed_output():
            print_shares(parser.parse_args(arguments).folder)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(WRONG_INPUT)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
