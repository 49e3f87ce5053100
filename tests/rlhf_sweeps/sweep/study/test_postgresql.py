"""A sweep whose study is in a real PostgreSQL, which is started again under it. Needs Debian's `postgresql`."""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from helpers.sweeping import contents, kill, misbehave, printed, start_sweep, sweep, until, updates

PROGRAMS = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), Path("/usr/bin"))
USER = "postgres" if os.geteuid() == 0 else getpass.getuser()  # the server refuses to run as root
GRID = "ppo.kl_coef=0.01,0.02,0.03,0.04"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (PROGRAMS / "initdb").exists(), reason="no PostgreSQL on this machine"),
]


class Server:
    """One in a folder of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.url = f"postgresql://{USER}@127.0.0.1:{port}/postgres"
        self.call("initdb", "-A", "trust", "--no-sync")
        with (folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(f"port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n")

    def start(self) -> None:
        self.call("pg_ctl", "-l", str(self.folder / "log"), "-w", "start")

    def stop(self) -> None:
        """As a crash does: connections are cut, what was committed stays."""
        self.call("pg_ctl", "-m", "immediate", "-w", "stop")

    def call(self, program: str, *arguments: str) -> None:
        user = {"user": USER} if os.geteuid() == 0 else {}
        command = [str(PROGRAMS / program), "-D", str(self.folder / "data"), *arguments]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, timeout=60, **user)


@pytest.fixture
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    try:
        server = Server(folder, port)
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def stored(url: str, name: str) -> list[tuple[object, ...]]:
    storage = optuna.storages.RDBStorage(url)
    trials = optuna.load_study(study_name=name, storage=storage).get_trials()
    storage.scoped_session.remove()
    storage.engine.dispose()
    return [(t.number, t.state, t.params, t.values, t.intermediate_values, t.user_attrs.get("cause")) for t in trials]


def test_a_server_that_is_started_again_costs_time_alone(server: Server, tmp_path: Path) -> None:
    sweep(tmp_path / "undisturbed" / "s", GRID)
    folder = tmp_path / "s"
    misbehave(folder, seconds_each=0.05)
    process = start_sweep(folder, GRID, f"hydra.sweeper.storage={server.url}", workers=2)
    try:
        until(lambda: updates(folder / "0") >= 5, seconds=60)
        server.stop()
        running = updates(folder / "0")
        time.sleep(1.0)
        assert process.poll() is None
        assert updates(folder / "0") > running  # the runs go on meanwhile
        server.start()
        assert process.wait(timeout=120) == 0
    finally:
        kill(process.pid)
    assert stored(server.url, "s") == contents(tmp_path / "undisturbed" / "s")
    assert "the database does not answer" in printed(folder).read_text()
    starts = [(folder / str(number) / "history").read_text().count("start") for number in range(4)]
    assert max(starts) <= 2, "a run was begun again more often than the server was started"


def test_sweeps_that_begin_at_once_share_a_server(server: Server, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    processes = [start_sweep(folder, GRID, f"hydra.sweeper.storage={server.url}") for folder in folders]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
    finally:
        kill(*(process.pid for process in processes))
    sweep(tmp_path / "undisturbed" / "s", GRID)
    for folder in folders:
        assert stored(server.url, folder.name) == contents(tmp_path / "undisturbed" / "s")
