"""A run's model/: what from_pretrained loads, written whole or not at all, and beside it what a user has put there."""

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
# As transformers calls weights: those of an earlier export must not lie beside, or be loaded in place of, new ones.
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json")

log = logging.getLogger("rlhf_sweeps")


def export(target: Path, save: Callable[[Path], None], card: str) -> list[str]:
    """Write model/; files of an earlier export are replaced.

    Args:
        save: writes weights and tokenizer into a folder.
        card: the text of README.md; another one that lies there may be a user's, and gets another name.

    Returns:
        The names of the files that were written, the card's apart, since people write in that.
    """
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    save(unfinished)
    saved = {path for path in unfinished.rglob("*") if path.is_file()}
    (unfinished / CARD).write_text(card, encoding="utf-8")
    if os.path.lexists(target) and not target.is_dir():  # a file, or a link that leads to none or to nothing
        aside = target.rename(name_aside(target))
        log.warning("%s: is no folder; stays, and is now called %s", target.name, aside.name)
    place(unfinished, target, take_over=partial(_take_over, saved))
    return sorted(path.relative_to(unfinished).as_posix() for path in saved)


def _take_over(saved: Set[Path], former: Path, new: Path) -> None:
    """Put what an earlier export has not written into the new one, whose own files are those that were saved."""
    if former.is_symlink():
        return  # the folder that it leads to stays as it is
    for path in former.iterdir():
        target = new / path.name
        if path.is_dir() and target.is_dir() and not path.is_symlink():
            _take_over(saved, path, target)
        elif not _is_replaced(saved, path, target):
            _keep(path, name_aside(target, former) if target.exists() else target)


def _is_replaced(saved: Set[Path], path: Path, target: Path) -> bool:
    """Whether a file is one of an earlier export; a card is if nobody has written in it."""
    if path.name == CARD and path.is_file() and target.is_file():
        return path.read_bytes() == target.read_bytes()
    return path.is_file() and (target in saved or _WEIGHTS.fullmatch(path.name) is not None)


def _keep(path: Path, target: Path) -> None:
    """The same file under a second name, so that a process may die before the first one goes; of links the link."""
    if path.name != target.name:
        log.warning("%s/%s: stays, and is now called %s", path.parent.name, path.name, target.name)
    if path.is_dir() and not path.is_symlink():
        shutil.copytree(path, target, symlinks=True, copy_function=_link)
    else:
        _link(path, target)


def _link(path: str | Path, target: str | Path) -> None:
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(path, target, follow_symlinks=False)
