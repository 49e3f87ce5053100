"""Export of a run's policy to model/, for from_pretrained: written atomically, and without losing files of the user."""

import logging
import os
import re
import shutil
from collections.abc import Callable, Set
from functools import partial
from pathlib import Path

from rlhf_sweeps.files.placing import place
from rlhf_sweeps.record import name_aside

CARD = "README.md"
# transformers' names of files with weights. Those of an earlier export must not stay, or they could be loaded.
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json")

log = logging.getLogger("rlhf_sweeps")


def export(target: Path, save: Callable[[Path], None], card: str) -> list[str]:
    """Write model/; the files of an earlier export are replaced.

    Args:
        save: writes weights and tokenizer into a folder.
        card: the text of README.md; an existing README.md with another text is renamed, since the user may have
            edited it.

    Returns:
        The names of the written files, without the card, which users may edit.
    """
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    save(unfinished)
    saved = {path for path in unfinished.rglob("*") if path.is_file()}
    (unfinished / CARD).write_text(card, encoding="utf-8")
    if os.path.lexists(target) and not target.is_dir():  # a file, or a broken link
        aside = target.rename(name_aside(target))
        log.warning("%s: is no folder; kept, and renamed to %s", target.name, aside.name)
    place(unfinished, target, take_over=partial(_take_over, saved))
    return sorted(path.relative_to(unfinished).as_posix() for path in saved)


def _take_over(saved: Set[Path], former: Path, new: Path) -> None:
    """Move the user's files of a former model/ into the new one; `saved` are the new files of the export."""
    if former.is_symlink():
        return  # the linked folder stays unchanged
    for path in former.iterdir():
        target = new / path.name
        if path.is_dir() and target.is_dir() and not path.is_symlink():
            _take_over(saved, path, target)
        elif not _is_replaced(saved, path, target):
            _keep(path, name_aside(target, former) if target.exists() else target)


def _is_replaced(saved: Set[Path], path: Path, target: Path) -> bool:
    """Whether a file of an earlier export is replaced by a new one; an edited card is not."""
    if path.name == CARD and path.is_file() and target.is_file():
        return path.read_bytes() == target.read_bytes()
    return path.is_file() and (target in saved or _WEIGHTS.fullmatch(path.name) is not None)


def _keep(path: Path, target: Path) -> None:
    """Give a file a second name (a hard link), so that it is not lost if the process dies; symbolic links are kept."""
    if path.name != target.name:
        log.warning("%s/%s: kept, and renamed to %s", path.parent.name, path.name, target.name)
    if path.is_dir() and not path.is_symlink():
        shutil.copytree(path, target, symlinks=True, copy_function=_link)
    else:
        _link(path, target)


def _link(path: str | Path, target: str | Path) -> None:
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(path, target, follow_symlinks=False)
