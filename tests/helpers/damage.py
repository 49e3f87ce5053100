"""An attack on a record with a damaged file (file_damages.py): each of its readers is to say so.

The rule: exit status 0, 1 or 2 without a traceback, a few lines that name the file, and either the result of the
undamaged record, bit for bit, or a line that says what is missing or was begun again.
"""

import contextlib
import io
import json
import logging
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conftest import composed

from analysis import command as analysis
from helpers import sweeping
from rlhf_sweeps import preflight, sample
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.process.exit_status import WRONG_INPUT, choose_exit_status
from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep import SweepFailedError
from rlhf_sweeps.training import train

# Four updates in a second; the run is interrupted after the third.
QUICK = (
    "seed=7",
    "ppo.batch_size=4",
    "ppo.total_episodes=16",
    "ppo.response_length=4",
    "ppo.num_ppo_epochs=1",
    "eval.every=2",
    "eval.num_prompts=5",
    "eval.num_confirming=3",
    "checkpoint.every=1",
    "tracking=disabled",
)
INTERRUPTED_AT = 3
FEW = 6  # lines that a reader may say of one damaged file
TIMES = re.compile(r"perf/|^eps$")


@dataclass
class Told:
    """What a reader has said.

    Attributes:
        status: the exit status.
        text: all that it has printed and logged.
        failure: the traceback, where it ended with one.
    """

    status: int
    text: str
    failure: str = ""


# Readers: folder -> what they say


def told(act: Callable[[], Any]) -> Told:
    """Call an entry point as the command line does."""
    text, failure, status = io.StringIO(), "", 0
    handler = logging.StreamHandler(text)
    log = logging.getLogger("rlhf_sweeps")
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            status = act() or 0
    except SystemExit as end:
        status = choose_exit_status(end)
    except (ConfigError, SweepFailedError) as error:
        status = choose_exit_status(error)
        text.write(f"error: {error}\n")
    except OSError as error:
        status = choose_exit_status(error)
        text.write(f"error: {error.filename}: {error.strerror}\n")
        failure = "" if status == WRONG_INPUT else traceback.format_exc()
    except Exception:
        failure = traceback.format_exc()
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    text_of_trials = text.getvalue()
    return Told(status, text_of_trials, failure or _traceback_in(text_of_trials))


def _traceback_in(text: str) -> str:
    return text[text.index("Traceback (most") :] if "Traceback (most" in text else ""


def train_again(folder: Path) -> Told:
    """The same command again."""
    config = composed(*QUICK)

    def act() -> None:
        preflight.check(config, folder)
        train.train(config, folder)

    return told(act)


def sweep_again(folder: Path) -> Told:
    """The same command again, of a sweep."""
    return told(lambda: sweeping.sweep(folder, *SWEEP))


def ask(folder: Path) -> Told:
    """rlhf_sweeps.sample."""
    return told(lambda: sample.main([str(folder), "Hello?", "--response-length=3"]))


def analyse(*words: str) -> Callable[[Path], Told]:
    """A command of the analysis."""

    def read(folder: Path) -> Told:
        first, *rest = words
        out = ["--out", str(folder.parent / "out")] if first in ("curves", "compare", "sweep", "health") else []
        return told(lambda: analysis.main([first, str(folder), *rest, *out]))

    return read


VIEWERS = {
    "report": analyse("report"),
    "curves": analyse("curves", "--format=svg"),
    "compare": analyse("compare", "--by=seed", "--format=svg"),
    "sweep": analyse("sweep"),
    "health": analyse("health"),
    "watch": analyse("watch", "--once"),
}

# Records


def make_interrupted_run(folder: Path) -> None:
    """Stopped after its third update, with a checkpoint there."""
    record = Run(folder)

    def stop() -> None:
        if len(record.metrics()) == INTERRUPTED_AT:
            record.ask_to_stop("interrupted")

    train.train(composed(*QUICK), folder, after_update=stop)


SWEEP = (
    *(word for word in QUICK if not word.startswith("seed")),
    "ppo.lr=1e-3,2e-3,3e-3",
    "hydra.sweeper.trial=helpers.damage.trial",
)
STOP_FILE = "stop_the_sweep"  # beside the sweep's folder


def trial(folder: Path, after_update: Callable[[], None] = lambda: None) -> None:
    """A real trial; where it is asked for, the sweeper's process dies in trial 1 after the third update."""
    from rlhf_sweeps.trial import run

    def die_or_go_on() -> None:
        after_update()
        is_there = (folder.parent.parent / STOP_FILE).exists() and folder.name == "1"
        if is_there and len(Run(folder).metrics()) == INTERRUPTED_AT:
            raise KeyboardInterrupt

    run(folder, die_or_go_on)


def make_interrupted_sweep(folder: Path) -> None:
    """Of three trials the first is complete, and the sweeper has died in the second."""
    (folder.parent / STOP_FILE).touch()
    with contextlib.suppress(KeyboardInterrupt):
        sweeping.sweep(folder, *SWEEP, "hydra.sweeper.trial=helpers.damage.trial")
    (folder.parent / STOP_FILE).unlink()


# Results


def _rows(path: Path) -> list[Any]:
    rows = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    return [{key: value for key, value in row.items() if not TIMES.search(key)} for row in rows]


def result_of_run(folder: Path) -> Any:
    """What a run has come to, but for its times; whatever is damaged is a text."""
    try:
        summary = json.loads((folder / "summary.json").read_bytes())
        kept = {key: value for key, value in summary.items() if key in ("status", "objective", "best", "last", "scale")}
        weights = folder / "model" / "model.safetensors"
        return kept, _rows(folder / "metrics.jsonl"), _rows(folder / "samples.jsonl"), weights.read_bytes()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return repr(error)


def result_of_sweep(folder: Path) -> Any:
    """What a sweep has come to."""
    try:
        return sweeping.contents(folder), [result_of_run(folder / str(number)) for number in range(3)]
    except Exception as error:  # whatever a damaged database raises
        return repr(error)


def fault(told: Told, name: str, is_same: bool) -> str | None:
    """What is wrong with what a reader has made of a record with one damaged file; None if nothing is.

    Args:
        name: of the file.
        is_same: whether the result is that of the undamaged record.
    """
    if told.failure:
        return f"traceback: {told.failure.strip().splitlines()[-1][:300]}"
    if told.status not in (0, 1, 2):
        return f"exit status {told.status}"
    saying = [line for line in told.text.splitlines() if _names(line, name)]
    if len(saying) > FEW:
        return f"{len(saying)} lines about it"
    if told.status and not saying:
        return f"exit status {told.status}, and no line names the file: {told.text[-300:]}"
    return None if saying or is_same else f"silently different: {told.text[-200:]}"


def _names(line: str, name: str) -> bool:
    path = Path(name)
    return path.name in line or (path.parent.name != "" and path.stem in line and path.parent.name in line)
