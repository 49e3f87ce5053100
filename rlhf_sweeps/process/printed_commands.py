"""Printed commands, in the words by which this process was started.

Everywhere else a command is composed as `python -m ...`, so that records and reports do not depend on how a program was
started. Whoever installed it with pipx or uv has only the console scripts: there is no such `python` on their path.
"""

import logging
import re
import shlex
import shutil
import sys
from pathlib import Path

# Module -> the words that start it by a console script.
_SCRIPTS = {
    "rlhf_sweeps": ("rlhf-sweeps",),
    "rlhf_sweeps.sample": ("rlhf-sweeps", "sample"),
    "rlhf_sweeps.reward_models": ("rlhf-sweeps", "reward-models"),
    "analysis": ("rlhf-analysis",),
}
# A wrapped line may break a command; a path that ends so is none.
_COMMAND = re.compile(r"(?<![\w/.-])(?:python\s+-m\s+(?P<module>\w+(?:\.\w+)*)|wandb(?=\s+(?:sync|login)\b))")


def adapt_commands(text: str) -> str:
    """The text with commands that run as printed, if a console script started this process; else as it is.

    Args:
        text: for a terminal or a log, never for a file of a record or a report.
    """
    return _COMMAND.sub(_adapt, text) if _is_started_by_script() else text


def print_adapted(text: str) -> None:
    """Print the text with such commands to stdout."""
    print(adapt_commands(text))


def adapt_commands_in_log() -> None:
    """Adapt the commands in our own log, too, which says what the terminal says."""
    logging.getLogger("rlhf_sweeps").addFilter(_adapt_record)


def _adapt_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = adapt_commands(record.getMessage()), ()
    return True


def _is_started_by_script() -> bool:
    return Path(sys.argv[0]).stem in {words[0] for words in _SCRIPTS.values()}


def _adapt(match: re.Match[str]) -> str:
    module = match["module"]
    if module in _SCRIPTS:
        script, *others = _SCRIPTS[module]
        return " ".join([_find_script(script), *others])
    if module is None and shutil.which("wandb"):
        return match[0]
    return shlex.join([_find_python(), "-m", module or "wandb"])


def _find_script(name: str) -> str:
    """The name of a console script where a shell finds it, else its path, beside the one that started this process."""
    started = Path(sys.argv[0])
    place, on_path = started.with_name(f"{name}{started.suffix}"), shutil.which(name)
    is_on_path = started.name == sys.argv[0] or (on_path is not None and Path(on_path).resolve() == place.resolve())
    return name if is_on_path else shlex.quote(str(place))


def _find_python() -> str:
    """The word `python` where a shell finds this environment's, else its path."""
    on_path = shutil.which("python")
    return "python" if on_path is not None and Path(on_path).parent == Path(sys.executable).parent else sys.executable
