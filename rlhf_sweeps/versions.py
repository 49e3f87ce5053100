"""The versions that a bug report needs, read from what is installed; nothing is imported for it."""

import platform
from importlib import metadata

from rlhf_sweeps import __version__

_PACKAGES = ("torch", "transformers", "trl", "datasets", "hydra-core", "optuna", "wandb")


def describe_versions() -> str:
    """Our version, Python's, and those of the packages that decide what a run does, a line each."""
    lines = [f"rlhf_sweeps {__version__}", f"python {platform.python_version()}"]
    return "\n".join([*lines, *(f"{name} {_find_version(name)}" for name in _PACKAGES)])


def _find_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "is not installed"
