"""What a run continues from: weights and optimizer as safetensors, the rest as JSON, written atomically.

A checkpoint is a folder named for its update. It is filled under another name, read back, and renamed once complete:
a process may be killed at any moment. `state.json` has the digest of each file in it, by which damage is found when it
is loaded; so the checkpoint before the newest is kept, too. Random generators and the data position are functions of
seed and update (see ppo/seeds.py), so the update number stands for them.
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
from rlhf_sweeps.process.environment import fault
from rlhf_sweeps.record import differing, digest_of, salvage_object, write_object

_UNFINISHED = "unfinished"
_STATE = "state.json"
_NAME = re.compile(r"\d{7,}")


class DamagedError(Exception):
    """A checkpoint cannot be used; the message names the file."""


def found(root: Path) -> list[Path]:
    """The complete checkpoints, newest first.

    Raises:
        PermissionError: if nobody may look whether there are any: that is not the same as that there are none.
    """
    paths = root.iterdir() if root.is_dir() else iter(())
    return sorted((path for path in paths if _NAME.fullmatch(path.name) and path.is_dir()), reverse=True)


def remove(root: Path) -> None:
    """Remove all checkpoints, and the folder where nothing else is in there: what a user has put there stays."""
    for path in _own(root):
        _discard(path)
    shutil.rmtree(root / _UNFINISHED, ignore_errors=True)
    with contextlib.suppress(OSError):
        root.rmdir()


def _own(root: Path) -> list[Path]:
    """The checkpoints in a folder, those that have made way included: what is called like one and has the JSON part.

    Or nothing at all: a process has died that removed one.
    """
    named = [path for path in root.glob("*") if _NAME.fullmatch(path.name.removeprefix(FORMER))]
    return [path for path in named if (path / _STATE).is_file() or (path.is_dir() and not any(path.iterdir()))]


def _discard(checkpoint: Path) -> None:
    """Remove a checkpoint, what shows that it is ours last: this process may be killed meanwhile."""
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
    """Write the checkpoint of `update` and read it back; beside it the one before stays, and no other.

    Args:
        before: the sound checkpoint before this one, which stays; None: there is none.
        is_best: whether the best policy is that of this update, and not that of the checkpoint before.
        records: files that are to be kept with it as they are now.

    Returns:
        its folder.

    Raises:
        OSError: if it does not hold what was written; the one before is as it was.
    """
    assert is_best or before is not None  # the best update always has a checkpoint
    if before is not None:
        remove_others(root, [before])  # now, so that never more than two are on the disk
    target = root / f"{update:07d}"
    parts = {f"{name}.safetensors": _trained(model) for name, model in models.items()}
    parts["optimizer.safetensors"] = _flat_optimizer_state(optimizer)
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
        manifest = {"update": update, **state, "files": _digests(folder)}
        write_object(folder / _STATE, manifest, is_kept_twice=False)
    place(folder, target)
    remove_others(root, [target, before])
    return target


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to write into, which is removed if that fails: it would keep the disk full."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    except Exception:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def remove_others(root: Path, keep: Sequence[Path | None]) -> None:
    """Remove all checkpoints of ours but these."""
    for path in _own(root):
        if path not in keep:
            _discard(path)


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The JSON part: update, what `save` was given as state, and the files' digests, which are compared.

    Raises:
        DamagedError: if a file is not what was written. A checkpoint of an earlier version has no digests.
        OSError: if the environment keeps it from being read, or there is no right to, which is no damage.
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
        for wrong in threads.map(lambda name: differing(checkpoint, {name: digests[name]}), digests):
            problems += wrong
    if problems:
        raise DamagedError(f"{checkpoint.name}/{problems[0]}")
    return state


def load(checkpoint: Path, models: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> None:
    """Put weights and optimizer state back in place.

    Raises:
        DamagedError: if a file cannot be read, or does not fit; all is as it was then.
    """
    weights = {name: _read_weights(checkpoint / f"{name}.safetensors", model) for name, model in models.items()}
    flat = _load_file(checkpoint / "optimizer.safetensors")
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in flat.items():
        index, name = key.split(".")
        # Cloned, because a tensor of a mapped file may lie at an address that vector code sums in another order.
        state.setdefault(int(index), {})[name] = tensor.clone()
    for name, model in models.items():
        _copy_weights(weights[name], model)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def load_weights(file: Path, model: nn.Module) -> None:
    """Copy a file's weights into a model's trained parameters.

    Raises:
        DamagedError: if it cannot be read, or has not the same parameters.
    """
    _copy_weights(_read_weights(file, model), model)


def _read_weights(file: Path, model: nn.Module) -> dict[str, Tensor]:
    tensors = _load_file(file)
    for name, old in _trained(model).items():
        if name not in tensors or tensors[name].shape != old.shape:
            raise DamagedError(f"{file.parent.name}/{file.name}: {name} is missing or of another shape")
    return tensors


@torch.no_grad()
def _copy_weights(tensors: Mapping[str, Tensor], model: nn.Module) -> None:
    for name, parameter in _trained(model).items():
        parameter.copy_(tensors[name])


def _trained(model: nn.Module) -> dict[str, Tensor]:
    """What training changes; tied weights stand there once, frozen ones not at all."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _flat_optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    entries: Iterable[tuple[int, dict[str, Tensor]]] = optimizer.state_dict()["state"].items()
    return {f"{index}.{name}": tensor for index, entry in entries for name, tensor in entry.items()}


def _load_file(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        if fault(error) is not None:  # of the moment: the file may be sound
            raise
        raise DamagedError(f"{file.parent.name}/{file.name}: cannot be read ({error})") from error


def _holds(file: Path, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a file has these tensors, bit for bit."""
    try:
        read = _load_file(file)
    except DamagedError:
        return False
    return read.keys() == tensors.keys() and all(
        torch.equal(_bits(read[name]), _bits(tensor.cpu())) for name, tensor in tensors.items()
    )


def _bits(tensor: Tensor) -> Tensor:
    """As whole numbers, of which nan is equal to itself; three times as fast as bytes."""
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return tensor.detach().contiguous().reshape(-1).view(whole)


def _digests(folder: Path) -> dict[str, str]:
    """File -> digest; a second name for the same file is not read twice."""
    names = sorted(path.name for path in folder.iterdir())
    inodes = {name: (folder / name).stat().st_ino for name in names}
    first = {inode: name for name, inode in inodes.items()}
    with ThreadPoolExecutor() as threads:
        digests = dict(zip(first, threads.map(lambda name: digest_of(folder / name), first.values()), strict=True))
    return {name: digests[inodes[name]] for name in names}


def _copy_best(before: Path, folder: Path) -> None:
    """Not linked: one flipped bit would damage both checkpoints."""
    name = "best.safetensors"
    shutil.copyfile(before / name, folder / name)
    digests = salvage_object(before / _STATE, []).get("files", {})
    if differing(folder, {key: digest for key, digest in digests.items() if key == name}):
        raise OSError(EIO, "does not hold what was written", str(before / name))


def _link(source: Path, folder: Path) -> None:
    """Keep the best weights; a hard link costs no disk, and where the file system has none, a copy."""
    try:
        os.link(source, folder / "best.safetensors")
    except OSError:
        shutil.copyfile(source, folder / "best.safetensors")
