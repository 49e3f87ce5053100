"""Imported first of all by a fork server, which then ends at once with the sweeper, also while it imports the rest."""

from rlhf_sweeps.platforms import system

system.end_with_parent()
