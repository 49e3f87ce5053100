"""What was made under another name gets its own: whole and on the disk, or not at all. Loads no torch."""

import shutil
from pathlib import Path

from rlhf_sweeps.platforms import system


def place(made: Path, target: Path) -> None:
    """Give a file or folder its name, in the same file system; a folder that has it already makes way.

    A process or a whole machine may die at any moment: what then has the name is what was made, what had it before, or,
    where a folder makes way, nothing for a moment; never a part.
    """
    for path in (made, *made.rglob("*")):
        system.sync(path)
    former = target.with_name(f"former_{target.name}")
    shutil.rmtree(former, ignore_errors=True)
    if target.is_dir():
        # Not removed piece by piece under its name, which a reader or the next start would take for the whole.
        system.patiently(lambda: target.replace(former))
    system.patiently(lambda: made.replace(target))
    system.sync(target.parent)
    shutil.rmtree(former, ignore_errors=True)
