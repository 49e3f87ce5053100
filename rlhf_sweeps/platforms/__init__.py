"""Only what differs between operating systems: two files with the same functions, one of which is used."""

import sys

if sys.platform == "win32":
    from rlhf_sweeps.platforms import windows as system
else:
    from rlhf_sweeps.platforms import posix as system

__all__ = ["system"]
