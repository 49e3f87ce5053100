"""Groups of runs compared."""
