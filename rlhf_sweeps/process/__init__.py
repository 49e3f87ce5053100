"""What surrounds the work in a process: requests to end, faults of the environment, progress, exit status."""
