"""Imported first of all by a fork server, which then ends at once with the sweeper, also while it imports the rest."""

import os

from rlhf_sweeps.platforms import system

SWEEPER = "RLHF_SWEEPS_SWEEPER"  # holds the number of the sweeper's process

if SWEEPER in os.environ:
    system.end_with_parent(int(os.environ[SWEEPER]))
