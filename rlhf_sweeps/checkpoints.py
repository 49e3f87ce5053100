"""What a run continues from: weights and optimizer as safetensors, the rest as JSON, written atomically.

A checkpoint is a folder named for its update. It is filled under another name and renamed once complete, and only then
is the one before it removed: a process may be killed at any moment. Random generators and the data position are
functions of seed and update (see ppo/seeds.py), so the update number stands for them.
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rlhf_sweeps.placing import FORMER, place

_UNFINISHED = "unfinished"
_NAME = re.compile("[0-9]{7,}")
_STATE = "state.json"


def latest(root: Path) -> Path | None:
    """The newest complete checkpoint."""
    return max((path for path in root.glob("[0-9]*") if _NAME.fullmatch(path.name) and path.is_dir()), default=None)


def remove(root: Path) -> None:
    """Remove all checkpoints, and the folder where nothing else is in there: what a user has put there stays."""
    for path in _own(root):
        _discard(path)
    shutil.rmtree(root / _UNFINISHED, ignore_errors=True)
    with contextlib.suppress(OSError):
        root.rmdir()


def _own(root: Path) -> list[Path]:
    """The checkpoints in a folder, those that have made way included: what is called like one and has the JSON part."""
    named = [path for path in root.glob("*") if _NAME.fullmatch(path.name.removeprefix(FORMER))]
    return [path for path in named if (path / _STATE).is_file()]


def _discard(checkpoint: Path) -> None:
    """Remove a checkpoint, what shows that it is ours last: this process may be killed meanwhile."""
    for path in checkpoint.iterdir():
        if path.suffix == ".safetensors":
            path.unlink()
    shutil.rmtree(checkpoint)


def save(
    root: Path,
    update: int,
    models: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    best: Path | None,
) -> None:
    """Write the checkpoint of `update` and remove the older ones.

    Args:
        best: where the best policy's weights lie so far; None if the best is the policy of this update.
    """
    folder = root / _UNFINISHED
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, model in models.items():
        save_file(_trained(model), folder / f"{name}.safetensors")
    save_file(_flat_optimizer_state(optimizer), folder / "optimizer.safetensors")
    (folder / _STATE).write_text(json.dumps({"update": update, **state}, indent=2), encoding="utf-8")
    _link(best or folder / "policy.safetensors", folder / "best.safetensors")
    target = root / f"{update:07d}"
    older = [path for path in _own(root) if path != target]
    place(folder, target)
    for path in older:
        _discard(path)


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The JSON part: update, and what `save` was given as state."""
    state: dict[str, Any] = json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    return state


def load(checkpoint: Path, models: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> None:
    """Put weights and optimizer state back in place."""
    for name, model in models.items():
        load_weights(checkpoint / f"{name}.safetensors", model)
    flat = load_file(checkpoint / "optimizer.safetensors")
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in flat.items():
        index, name = key.split(".")
        # Cloned, because a tensor of a mapped file may lie at an address that vector code sums in another order.
        state.setdefault(int(index), {})[name] = tensor.clone()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


@torch.no_grad()
def load_weights(file: Path, model: nn.Module) -> None:
    """Copy a file's weights into a model's trained parameters."""
    tensors = load_file(file)
    for name, parameter in _trained(model).items():
        parameter.copy_(tensors[name])


def _trained(model: nn.Module) -> dict[str, Tensor]:
    """What training changes; tied weights stand there once, frozen ones not at all."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _flat_optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    entries: Iterable[tuple[int, dict[str, Tensor]]] = optimizer.state_dict()["state"].items()
    return {f"{index}.{name}": tensor for index, entry in entries for name, tensor in entry.items()}


def _link(source: Path, target: Path) -> None:
    """A hard link costs no disk; where the file system has none, a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
