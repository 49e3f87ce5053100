"""Give a finished file or folder its final name: whole and on the disk, or not at all. Loads no torch."""

import secrets
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rlhf_sweeps.platforms import system

FORMER = "rlhf_sweeps_former_"  # prefix of a replaced folder's name, which no user would choose


def place(made: Path, target: Path, take_over: Callable[[Path, Path], None] = lambda former, made: None) -> None:
    """Rename a file or folder to its final name in the same file system; a folder with that name is replaced.

    A process or the whole machine may die at any moment. Then the name belongs to the new content or to the former one,
    or, while a folder is replaced, to nothing until the next call; it never belongs to a part.

    Args:
        made: the new file or folder.
        target: its final path.
        take_over: called with a folder that will be replaced and the new one; moves files that must stay into the new.
    """
    share(made)
    former = target.with_name(f"{FORMER}{target.name}")
    if former.is_dir() and not target.exists():  # an earlier process has died between the two renames below
        system.patiently(lambda: former.replace(target))
    if target.is_dir():
        take_over(target, made)
    for path in (made, *made.rglob("*")):
        if not path.is_symlink() and (path.is_file() or path.is_dir()):
            system.sync(path)
    _remove(former)
    if target.is_dir():
        # It is renamed first: a reader or the next start would take a half removed folder for the whole.
        system.patiently(lambda: target.replace(former))
    system.patiently(lambda: made.replace(target))
    system.sync(target.parent)
    _remove(former)


def move_into(folder: Path, made: Path, last: str) -> None:
    """Move the files of one folder into another, which may hold other files; files with the same names are replaced.

    Args:
        folder: where the files go.
        made: the folder that they come from; removed in the end.
        last: the file that is moved last and shows that all files are complete.
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
    """Give a file, or all files in a folder, the mode of new files, so that others may read them as the umask allows.

    Libraries write weights by way of a temporary file, which only its owner may read, and do not change that.
    """
    usual = _find_mode_of_new_file(made if made.is_dir() else made.parent)
    for path in [made, *made.rglob("*")]:
        if path.is_file() and not path.is_symlink() and path.stat().st_mode != usual:
            path.chmod(usual)


def _find_mode_of_new_file(folder: Path) -> int:
    """The mode of a new file: a process can read its umask only by changing it, which affects all of its threads."""
    new = folder / f"{secrets.token_hex(8)}.unfinished"
    new.touch(exist_ok=False)
    try:
        return new.stat().st_mode
    finally:
        new.unlink()


def _remove(former: Path) -> None:
    """Remove a file or folder; of a link only the link."""
    if former.is_symlink() or former.is_file():
        former.unlink()
    else:
        shutil.rmtree(former, ignore_errors=True)
