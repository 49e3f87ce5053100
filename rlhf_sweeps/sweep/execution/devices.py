"""The CUDA devices and cores of a machine, and how workers share them. Loads no torch."""

import os
import subprocess

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.platforms import memory, system

# Models that are small enough for a CPU gain little from many cores, and each run needs its own memory. Chosen.
WORKERS_ON_CPU = 2
SMALLEST_SHARE = 2**28  # bytes; torch and transformers alone take about this much; chosen


def detect_devices(device: str) -> list[str]:
    """The CUDA devices among which runs with the setting `device` can be divided, named as in CUDA_VISIBLE_DEVICES.

    Empty if there are none, or if the setting leaves no choice: cpu, mps, cuda:1. A graphics card that is divided into
    instances (MIG) counts once, unless CUDA_VISIBLE_DEVICES lists the instances.
    """
    if device not in ("auto", "cuda"):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return _list_installed() if visible is None else _parse_visible(visible)


def divide_workers(workers: int | None, num_devices: int, workers_per_device: int) -> tuple[int, int]:
    """The number of workers and the threads of each; together they use no more cores than this process may use.

    Args:
        workers: the user's setting; 0 means the sweeper's own process, None means `workers_per_device` on every device,
            or two without a device.

    Raises:
        ConfigError: if a count is too small.
    """
    if workers is not None and workers < 0:
        raise ConfigError(f"hydra.sweeper.workers={workers}: must be >= 0, or null for a number that fits the machine")
    if workers_per_device < 1:
        raise ConfigError(f"hydra.sweeper.workers_per_device={workers_per_device}: must be >= 1")
    cores = system.num_cores()
    if workers is None:
        workers = num_devices * workers_per_device or min(WORKERS_ON_CPU, cores)
    threads = max(1, cores // max(1, workers))
    limit = _read_thread_limit()
    return workers, threads if limit is None else min(threads, limit)


def divide_memory(workers: int) -> int | None:
    """Each worker's share of this machine's free memory, in bytes; None: all of it, or it is unknown.

    Without shares, several workers that look at the free memory at the same moment would each count on all of it.

    Raises:
        ConfigError: if a share is too small for a process.
    """
    left = memory.measure_free_memory()
    if left is None or workers <= 1:
        return None
    if left < workers * SMALLEST_SHARE:
        raise ConfigError(
            f"hydra.sweeper.workers={workers}: leaves each of them less than {SMALLEST_SHARE // 2**20} MiB of the "
            f"{left / 2**30:.1f} GiB that are free; must be <= {max(1, left // SMALLEST_SHARE)}"
        )
    return left // workers


def _list_installed() -> list[str]:
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(index) for index in range(sum(line.startswith("GPU ") for line in listing.splitlines()))]


def _parse_visible(visible: str) -> list[str]:
    """Parse CUDA_VISIBLE_DEVICES, which ends at the first entry that names no device, such as -1."""
    devices = []
    for name in visible.split(","):
        name = name.strip()
        if not (name.isdigit() or name.startswith(("GPU-", "MIG-"))):
            break
        devices.append(name)
    return devices


def _read_thread_limit() -> int | None:
    """The user's OMP_NUM_THREADS; of a list such as 4,2 (for nested regions) the first number."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(given) if given.isdigit() and int(given) > 0 else None
