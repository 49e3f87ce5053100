"""Runs and sweeps as the analysis sees them, wherever they were read from."""
