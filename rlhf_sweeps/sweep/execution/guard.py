"""A fork server imports this first, and then ends with the sweeper, even during its other imports."""

import os

from rlhf_sweeps.platforms import system

SWEEPER = "RLHF_SWEEPS_SWEEPER"  # holds the id of the sweeper's process

if SWEEPER in os.environ:
    system.end_with_parent(int(os.environ[SWEEPER]))
