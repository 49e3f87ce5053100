"""Devices and cores, and how workers share them, on machines made up for the purpose."""

import os
from pathlib import Path

import pytest

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.platforms import memory
from rlhf_sweeps.sweep.execution.devices import detect_devices, divide_memory, divide_workers

LISTING = """GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-6fa0)
  MIG 1g.10gb Device 0: (UUID: MIG-31c1)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-77ad)
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight cores; programs are looked for in an empty folder alone."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    for key in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"):
        monkeypatch.delenv(key, raising=False)
    return tmp_path


def install_nvidia_smi(folder: Path, status: int) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n[ $1 = --list-gpus ] && echo '{LISTING}'\nexit {status}\n", encoding="utf-8")
    program.chmod(0o755)


def test_installed_devices(machine: Path) -> None:
    assert detect_devices("auto") == []
    install_nvidia_smi(machine, status=9)
    assert detect_devices("auto") == []
    install_nvidia_smi(machine, status=0)
    assert detect_devices("auto") == detect_devices("cuda") == ["0", "1"]
    assert detect_devices("cpu") == detect_devices("mps") == detect_devices("cuda:1") == []


@pytest.mark.parametrize(
    ("visible", "devices"),
    [
        ("2, 0", ["2", "0"]),
        ("GPU-77ad,MIG-31c1", ["GPU-77ad", "MIG-31c1"]),
        ("1,-1,0", ["1"]),
        ("", []),
        ("NoDevFiles", []),
    ],
)
def test_the_user_narrows_devices(
    machine: Path, monkeypatch: pytest.MonkeyPatch, visible: str, devices: list[str]
) -> None:
    install_nvidia_smi(machine, status=0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert detect_devices("auto") == devices
    assert detect_devices("cpu") == []


@pytest.mark.parametrize(
    ("workers", "num_devices", "workers_per_device", "expected"),
    [
        (None, 0, 3, (2, 4)),
        (None, 2, 3, (6, 1)),
        (None, 1, 1, (1, 8)),
        (3, 2, 1, (3, 2)),
        (20, 0, 1, (20, 1)),
        (0, 0, 1, (0, 8)),
    ],
)
def test_cores_are_divided(
    machine: Path, workers: int | None, num_devices: int, workers_per_device: int, expected: tuple[int, int]
) -> None:
    assert divide_workers(workers, num_devices, workers_per_device) == expected


def test_one_core_has_one_worker(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5}, raising=False)
    assert divide_workers(None, 0, 1) == (1, 1)


@pytest.mark.parametrize(("given", "threads"), [("3", 3), ("1,2", 1), ("64", 4), ("0", 4), ("many", 4)])
def test_the_user_bounds_threads(machine: Path, monkeypatch: pytest.MonkeyPatch, given: str, threads: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert divide_workers(2, 0, 1) == (2, threads)


@pytest.mark.parametrize(("workers", "per_device", "key"), [(-1, 1, "workers=-1"), (2, 0, "workers_per_device=0")])
def test_counts_too_small_are_refused(machine: Path, workers: int, per_device: int, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^hydra\.sweeper\.{key}: must be >= .*$"):
        divide_workers(workers, 1, per_device)


@pytest.mark.parametrize(
    ("left", "workers", "share"), [(2**30 + 1, 2, 2**29), (2**29, 2, 2**28), (1001, 1, None), (None, 2, None)]
)
def test_memory_is_divided(left: int | None, workers: int, share: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "measure_free_memory", lambda: left)
    assert divide_memory(workers) == share


def test_so_many_workers_that_no_memory_is_left_for_one_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 256 MiB each five take 1.25 GiB."""
    monkeypatch.setattr(memory, "measure_free_memory", lambda: 2**30)
    with pytest.raises(
        ConfigError, match=r"^hydra\.sweeper\.workers=5: leaves .* 256 MiB of the 1\.0 GiB .*must be <= 4$"
    ):
        divide_memory(5)
