"""Everything around the work of a process: requests to end, faults of the environment, progress, exit status."""
