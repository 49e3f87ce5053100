"""Training curves, and what happened in them."""
