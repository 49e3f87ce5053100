"""Checkpoints: weights and optimizer as safetensors, everything else as JSON, written atomically.

A checkpoint is a folder named after its update. Since a process may be killed at any moment, the folder is filled under
another name, read back, and renamed when it is complete. `state.json` holds the digest of each file, which reveals
damage when the checkpoint is loaded; for that case the checkpoint before the newest is kept, too. Random generators and
the position in the data are functions of the seed and the update (see ppo/seeds.py), so they need not be saved.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from errno import EACCES, EIO
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rlhf_sweeps.files.placing import FORMER, place
from rlhf_sweeps.process.environment import find_fault
from rlhf_sweeps.record import digest_file, find_differences, salvage_object, write_object

_UNFINISHED = "unfinished"
_STATE = "state.json"
_NAME = re.compile(r"\d{7,}")


class DamagedError(Exception):
    """A checkpoint cannot be used; the message names the file."""


def list_checkpoints(root: Path) -> list[Path]:
    """The complete checkpoints, newest first.

    Raises:
        PermissionError: if the folder may not be read, which does not mean that it is empty.
    """
    paths = root.iterdir() if root.is_dir() else iter(())
    return sorted((path for path in paths if _NAME.fullmatch(path.name) and path.is_dir()), reverse=True)


def remove(root: Path) -> None:
    """Remove all checkpoints, and then their folder if it is empty: files of the user stay."""
    for path in _list_own(root):
        _discard(path)
    shutil.rmtree(root / _UNFINISHED, ignore_errors=True)
    with contextlib.suppress(OSError):
        root.rmdir()


def _list_own(root: Path) -> list[Path]:
    """The checkpoints in a folder that we wrote, also those that were renamed to make way for a new one.

    Such a folder has a checkpoint's name, and holds state.json. An empty one counts, too: a process died while it
    removed the checkpoint.
    """
    named = [path for path in root.glob("*") if _NAME.fullmatch(path.name.removeprefix(FORMER))]
    return [path for path in named if (path / _STATE).is_file() or (path.is_dir() and not any(path.iterdir()))]


def _discard(checkpoint: Path) -> None:
    """Remove a checkpoint; state.json, which proves that it is ours, goes last, since this process may be killed."""
    for path in checkpoint.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _STATE:
            path.unlink()
    shutil.rmtree(checkpoint)


def save(
    root: Path,
    update: int,
    models: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    before: Path | None = None,
    is_best: bool = True,
    records: Sequence[Path] = (),
) -> Path:
    """Write the checkpoint of `update` and read it back; all older ones except `before` are removed.

    Args:
        before: the previous undamaged checkpoint, which is kept; None: there is none.
        is_best: whether the best policy so far is that of this update; if not, it is copied from `before`.
        records: files that are copied into the checkpoint.

    Returns:
        its folder.

    Raises:
        OSError: if a file does not contain what was written; `before` is unchanged then.
    """
    assert is_best or before is not None  # the best update always has a checkpoint
    if before is not None:
        remove_others(root, [before])  # first, so that there are never more than two on the disk
    target = root / f"{update:07d}"
    parts = {f"{name}.safetensors": _list_trained(model) for name, model in models.items()}
    parts["optimizer.safetensors"] = _flatten_optimizer_state(optimizer)
    with _new_folder(root / _UNFINISHED) as folder:
        for name, tensors in parts.items():
            save_file(tensors, folder / name)
            if not _holds(folder / name, tensors):
                raise OSError(EIO, "does not hold what was written", str(folder / name))
        if is_best or before is None:
            _link(folder / "policy.safetensors", folder)
        else:
            _copy_best(before, folder)
        for file in records:
            if file.exists():
                shutil.copyfile(file, folder / file.name)
        manifest = {"update": update, **state, "files": _take_digests(folder)}
        write_object(folder / _STATE, manifest, is_kept_twice=False)
    place(folder, target)
    remove_others(root, [target, before])
    return target


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to write into; it is removed if writing fails, for example because the disk is full."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    except Exception:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def remove_others(root: Path, keep: Sequence[Path | None]) -> None:
    """Remove all checkpoints except these."""
    for path in _list_own(root):
        if path not in keep:
            _discard(path)


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The content of state.json: update, the `state` of `save`, and the digests of the files, which are checked.

    A checkpoint of an earlier version has no digests; it is not checked.

    Raises:
        DamagedError: if a file is damaged.
        OSError: if the environment, or missing permission, prevents reading; that is no damage.
    """
    for path in checkpoint.iterdir():
        if not os.access(path, os.R_OK):
            raise PermissionError(EACCES, os.strerror(EACCES), str(path))
    problems: list[str] = []
    state = salvage_object(checkpoint / _STATE, problems)
    if not state:
        raise DamagedError(f"{checkpoint.name}/{next(iter(problems), f'{_STATE}: missing')}")
    digests = state.get("files", {})
    with ThreadPoolExecutor() as threads:
        for wrong in threads.map(lambda name: find_differences(checkpoint, {name: digests[name]}), digests):
            problems += wrong
    if problems:
        raise DamagedError(f"{checkpoint.name}/{problems[0]}")
    return state


def load(checkpoint: Path, models: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> None:
    """Load weights and optimizer state.

    Raises:
        DamagedError: if a file cannot be read, or does not fit the models; nothing is changed then.
    """
    weights = {name: _read_weights(checkpoint / f"{name}.safetensors", model) for name, model in models.items()}
    flat = _load_file(checkpoint / "optimizer.safetensors")
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in flat.items():
        index, name = key.split(".")
        # Cloned: vector code may add up a tensor of a mapped file in another order, depending on its address.
        state.setdefault(int(index), {})[name] = tensor.clone()
    for name, model in models.items():
        _copy_weights(weights[name], model)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def load_weights(file: Path, model: nn.Module) -> None:
    """Copy a file's weights into a model's trained parameters.

    Raises:
        DamagedError: if it cannot be read, or has other parameters.
    """
    _copy_weights(_read_weights(file, model), model)


def _read_weights(file: Path, model: nn.Module) -> dict[str, Tensor]:
    tensors = _load_file(file)
    for name, old in _list_trained(model).items():
        if name not in tensors or tensors[name].shape != old.shape:
            raise DamagedError(f"{file.parent.name}/{file.name}: {name} is missing or of another shape")
    return tensors


@torch.no_grad()
def _copy_weights(tensors: Mapping[str, Tensor], model: nn.Module) -> None:
    for name, parameter in _list_trained(model).items():
        parameter.copy_(tensors[name])


def _list_trained(model: nn.Module) -> dict[str, Tensor]:
    """The trained parameters by name; tied weights occur once, frozen ones do not occur."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _flatten_optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    entries: Iterable[tuple[int, dict[str, Tensor]]] = optimizer.state_dict()["state"].items()
    return {f"{index}.{name}": tensor for index, entry in entries for name, tensor in entry.items()}


def _load_file(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        if find_fault(error) is not None:  # a fault of the environment: the file may be undamaged
            raise
        raise DamagedError(f"{file.parent.name}/{file.name}: cannot be read ({error})") from error


def _holds(file: Path, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a file has these tensors, bit for bit."""
    try:
        read = _load_file(file)
    except DamagedError:
        return False
    return read.keys() == tensors.keys() and all(
        torch.equal(_as_bits(read[name]), _as_bits(tensor.cpu())) for name, tensor in tensors.items()
    )


def _as_bits(tensor: Tensor) -> Tensor:
    """The bits of a tensor as integers, since nan is not equal to itself; three times as fast as comparing bytes."""
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return tensor.detach().contiguous().reshape(-1).view(whole)


def _take_digests(folder: Path) -> dict[str, str]:
    """File name -> digest; a file with two names (hard links) is read once."""
    names = sorted(path.name for path in folder.iterdir())
    inodes = {name: (folder / name).stat().st_ino for name in names}
    first = {inode: name for name, inode in inodes.items()}
    with ThreadPoolExecutor() as threads:
        digests = dict(zip(first, threads.map(lambda name: digest_file(folder / name), first.values()), strict=True))
    return {name: digests[inodes[name]] for name in names}


def _copy_best(before: Path, folder: Path) -> None:
    """Copy the best weights of the previous checkpoint; with a hard link, damage would affect both checkpoints."""
    name = "best.safetensors"
    shutil.copyfile(before / name, folder / name)
    digests = salvage_object(before / _STATE, []).get("files", {})
    if find_differences(folder, {key: digest for key, digest in digests.items() if key == name}):
        raise OSError(EIO, "does not hold what was written", str(before / name))


def _link(source: Path, folder: Path) -> None:
    """Store the policy's weights as the best ones, too: as a hard link, or as a copy if the file system has none."""
    try:
        os.link(source, folder / "best.safetensors")
    except OSError:
        shutil.copyfile(source, folder / "best.safetensors")
