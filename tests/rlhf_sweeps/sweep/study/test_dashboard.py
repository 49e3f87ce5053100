"""optuna-dashboard on a sweep's study, with the command that the README gives."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

COMMAND = "optuna-dashboard"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a dashboard that runs on outputs/sweep/study.db, a study of three trials."""
    program = shutil.which(COMMAND, path=str(Path(sys.executable).parent)) or shutil.which(COMMAND)
    if program is None:
        pytest.skip("the extra `dashboard` is not installed")
    (tmp_path / "outputs" / "sweep").mkdir(parents=True)
    url = "sqlite:///outputs/sweep/study.db"
    storage = optuna.storages.RDBStorage(url.replace("///", f"///{tmp_path}/"))
    study = optuna.create_study(storage=storage, study_name="sweep", direction="maximize")
    for value in (0.5, 1.5, 1.0):
        study.tell(study.ask({"ppo.lr": optuna.distributions.FloatDistribution(1e-5, 1e-3, log=True)}), value)
    storage.engine.dispose()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [program, url, "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as dashboard:
        yield f"http://127.0.0.1:{port}"
        dashboard.terminate()


def fetch(address: str) -> bytes:
    for _ in range(100):
        try:
            with urllib.request.urlopen(address, timeout=10) as reply:
                return bytes(reply.read())
        except OSError:  # it does not listen yet
            time.sleep(0.2)
    raise AssertionError(f"{address} did not answer")


@pytest.mark.slow
def test_the_dashboard_shows_the_study(address: str) -> None:
    assert b"<title>Optuna Dashboard</title>" in fetch(address)

    (found,) = json.loads(fetch(f"{address}/api/studies"))["study_summaries"]
    assert (found["study_name"], found["directions"]) == ("sweep", ["maximize"])
    study = json.loads(fetch(f"{address}/api/studies/{found['study_id']}?after=0"))
    assert [trial["values"] for trial in study["trials"]] == [[0.5], [1.5], [1.0]]
