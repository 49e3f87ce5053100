"""Whether this machine can have a GPU, without loading torch, which takes seconds."""

import ctypes
import importlib.util
import os
import re
import sys
from pathlib import Path

# The driver's library, which every CUDA program loads; it comes with the driver, not with torch.
_DRIVERS = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}


def explain_missing_device(device: str) -> str | None:
    """The reason why this machine certainly lacks a device; None if it may have it: then torch decides.

    Args:
        device: as in the config: auto, cpu, cuda, cuda:1, mps.
    """
    if device == "mps":
        return None if sys.platform == "darwin" else "only a Mac has it"
    if not device.startswith("cuda"):
        return None
    if is_without(read_torch_build(), "cuda", "hip"):
        return "the installed torch is built without CUDA"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']} hides all cards"
    if is_without(read_torch_build(), "hip") and not can_load(_DRIVERS.get(sys.platform)):
        return "there is no NVIDIA driver"
    return None


def read_torch_build() -> str:
    """The file in which torch says how it was built; empty if it cannot be read."""
    spec = importlib.util.find_spec("torch")
    try:
        return Path(str(spec.origin)).with_name("version.py").read_text(encoding="utf-8") if spec else ""
    except OSError:
        return ""


def is_without(build: str, *platforms: str) -> bool:
    """Whether torch says of all of these platforms that it was built without them."""
    return all(re.search(rf"^{platform}\b[^=\n]*= None$", build, re.MULTILINE) for platform in platforms)


def can_load(library: str | None) -> bool:
    """Whether the system finds a shared library; also where none is named."""
    if library is None:
        return True  # an unknown system
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
