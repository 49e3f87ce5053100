"""The report at the end of a sweep, written by the analysis in a process of its own: neither imports the other."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.record import STORAGE, hide, report_file, write_command, write_folder
from rlhf_sweeps.sweep.execution import companion
from rlhf_sweeps.wording import LONGEST_MESSAGE, cut, describe_error, display_path

# The analysis of this package is installed beside it; the working directory may contain another package of that name.
PLACE = Path(__file__).parents[2]
TIME_LIMIT = 600.0  # seconds; chosen
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def write_report(folder: Path, storage: str | None = None) -> str:
    """Write the report of the sweep in `folder`; returns a line with its place, or with the reason why there is none.

    It never raises: a failed report is no failure of the sweep.

    Args:
        storage: the URL of the study, if it is not in the folder.
    """
    words = ["analysis", "report", write_folder(folder)]
    with report_activity("writing the report"):
        reason = _write(folder, words, {} if storage is None else {STORAGE: storage})
    if reason is None:
        return f"report: {display_path(report_file(folder))}"
    words = [*words[:2], write_folder(display_path(folder)), *([] if storage is None else [f"--storage={storage}"])]
    return f"no report: {reason}; {write_command('python', '-m', *words)}"


def _write(folder: Path, words: Sequence[str], variables: Mapping[str, str]) -> str | None:
    """Write the report; returns the reason if there is none.

    Args:
        variables: environment variables of the process, which other users cannot read.
    """
    # -m would put the working directory at the front of the path; -P prevents that.
    starter = ["-m", companion.__name__, str(os.getpid())]
    arguments = [sys.executable, "-P", *starter, *words]
    try:
        with subprocess.Popen(
            arguments,
            env={**os.environ, **_make_environment(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        ) as process:
            try:
                _, errors = process.communicate(timeout=TIME_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                return f"not done after {TIME_LIMIT:g} s"
            except KeyboardInterrupt:
                process.kill()
                return "interrupted"
    except OSError as error:
        return describe_error(error)
    if process.returncode == 0 and report_file(folder).is_file():
        return None
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    if process.returncode < 0 or not lines:
        return f"exit status {process.returncode}"
    return hide(cut(lines[-1].removeprefix("error: "), LONGEST_MESSAGE))


def _make_environment() -> dict[str, str]:
    own = Path(companion.__file__).parents[3]
    places = [*dict.fromkeys([str(PLACE), str(own)]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(places), "PYTHONIOENCODING": "utf-8", **dict.fromkeys(_THREADS, "1")}
