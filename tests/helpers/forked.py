"""Commands in processes that are forked from one which has loaded torch already, as trials are: each saves seconds.

`python forked.py` is the one they are forked from. It reads a request a line, and says a line for each that has ended.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PRELOAD: tuple[str, ...] = (
    "torch",
    "transformers.models.auto.modeling_auto",
    "rlhf_sweeps.training.train",
    "rlhf_sweeps.sweep.sweeper",
)
PRELOAD += ("rlhf_sweeps.reward_training.training", "rlhf_sweeps.reward_screen.screening")
MODULES = ("rlhf_sweeps", "rlhf_sweeps.reward_models")  # what can be run
# How the names of variables begin that the preloaded modules read when they are imported.
READ_BEFORE: tuple[str, ...] = (
    "CUDA",
    "GOMP",
    "HF_",
    "HOME",
    "HUGGING",
    "KMP",
    "LANG",
    "LC_",
    "LD_",
    "MKL",
    "OMP",
    "PYTHON",
    "TMP",
)
READ_BEFORE += ("TEMP", "TORCH", "TRANSFORMERS", "XDG")
OWN = ("GOMP_SPINCOUNT", "HF_HUB_DISABLE_TELEMETRY")  # that our code sets, also in the process of a test


class ForkServer:
    """Runs `python -m MODULE arguments`; one at a time.

    Args:
        variables: the environment that most commands are run in.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._read_before = _read_before(variables)
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=_environment(variables), text=True,
        )  # fmt: skip

    def can_run(self, module: str, folder: Path) -> bool:
        """Whether a command would find here what it finds in a fresh process, also where that looks for modules."""
        return module in MODULES and _read_before(os.environ) == self._read_before and not any(folder.glob("*.py"))

    def run(self, module: str, arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a command in a folder; returns as subprocess.run does. What hangs ends with the test."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as place:
            os.umask(mask := os.umask(0))
            request: dict[str, Any] = {"module": module, "arguments": arguments, "folder": str(folder), "place": place}
            request |= {"umask": mask, "environment": _environment(os.environ)}
            print(json.dumps(request), file=self._process.stdin, flush=True)
            status = int(self._process.stdout.readline())
            out, err = ((Path(place) / name).read_text(encoding="utf-8") for name in ("out", "err"))
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.CompletedProcess(command, status, out, err)

    def close(self) -> None:
        """End it, and with it a command that still runs."""
        self._process.kill()
        self._process.communicate()


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    return {**variables, "PYTHONPATH": str(Path(__file__).parents[2])}


def _read_before(variables: Mapping[str, str]) -> dict[str, str]:
    return {
        key: value for key, value in _environment(variables).items() if key.startswith(READ_BEFORE) and key not in OWN
    }


def serve() -> dict[str, Any]:
    """Fork for each request; returns in the forked processes alone, and the request."""
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        if (child := os.fork()) == 0:
            return request
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    os._exit(0)


def become(request: dict[str, Any]) -> None:
    """Have this process look as if it had been started for the command."""
    place = Path(request["place"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, name in ((1, "out"), (2, "err")):
        handle = os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, number)
        os.close(handle)
    os.close(nothing)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.umask(request["umask"])
    os.chdir(request["folder"])
    sys.argv = ["-m", *request["arguments"]]
    sys.path[0] = request["folder"]


def run(request: dict[str, Any]) -> int:
    """Run the request's module as the interpreter does; its exit status."""
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    for module in PRELOAD:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    gc.freeze()  # else each process copies what is counted there
    request = serve()
    become(request)
    status = run(request)
    # As multiprocessing ends what it has forked: taking all modules down takes longer than most commands.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
