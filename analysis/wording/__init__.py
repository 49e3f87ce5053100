"""How values, labels and sentences are written."""
