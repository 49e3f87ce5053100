"""W&B's dashboard."""
