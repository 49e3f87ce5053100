"""What was made under another name gets its own: whole and on the disk, or not at all. Loads no torch."""

import secrets
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rlhf_sweeps.platforms import system

FORMER = "rlhf_sweeps_former_"  # how the names begin of what has made way: no user takes such a one


def place(made: Path, target: Path, take_over: Callable[[Path, Path], None] = lambda former, made: None) -> None:
    """Give a file or folder its name, in the same file system; a folder that has it already makes way.

    A process or a whole machine may die at any moment: what then has the name is what was made, what had it before, or,
    where a folder makes way, nothing until the next call; never a part.

    Args:
        take_over: called with a folder that is to make way, and what was made: puts into this what is to stay.
    """
    share(made)
    former = target.with_name(f"{FORMER}{target.name}")
    if former.is_dir() and not target.exists():  # a process has died in between
        system.patiently(lambda: former.replace(target))
    if target.is_dir():
        take_over(target, made)
    for path in (made, *made.rglob("*")):
        if not path.is_symlink() and (path.is_file() or path.is_dir()):
            system.sync(path)
    _remove(former)
    if target.is_dir():
        # Not removed piece by piece under its name, which a reader or the next start would take for the whole.
        system.patiently(lambda: target.replace(former))
    system.patiently(lambda: made.replace(target))
    system.sync(target.parent)
    _remove(former)


def move_into(folder: Path, made: Path, last: str) -> None:
    """Move what was made into a folder that holds other things, too; what is called alike there makes way.

    Args:
        last: the file that shows that all are there: of a process that dies meanwhile, nobody finds it.
    """
    share(made)
    for path in (made, *made.rglob("*")):
        system.sync(path)
    (folder / last).unlink(missing_ok=True)
    for names in (sorted(path.name for path in made.iterdir() if path.name != last), [last]):
        for name in names:
            _remove(folder / name)
            system.patiently(partial((made / name).replace, folder / name))
        system.sync(folder)
    made.rmdir()


def share(made: Path) -> None:
    """Let others read a file, or all files in a folder, as the user's umask has it.

    What writes weights makes them by way of a temporary file, which is its owner's alone, and leaves them so.
    """
    usual = _usual_mode(made if made.is_dir() else made.parent)
    for path in [made, *made.rglob("*")]:
        if path.is_file() and not path.is_symlink() and path.stat().st_mode != usual:
            path.chmod(usual)


def _usual_mode(folder: Path) -> int:
    """The mode of a new file: a process can ask for its umask only by changing it, under all its threads."""
    new = folder / f"{secrets.token_hex(8)}.unfinished"
    new.touch(exist_ok=False)
    try:
        return new.stat().st_mode
    finally:
        new.unlink()


def _remove(former: Path) -> None:
    """Remove what makes way; of a link the link alone."""
    if former.is_symlink() or former.is_file():
        former.unlink()
    else:
        shutil.rmtree(former, ignore_errors=True)
