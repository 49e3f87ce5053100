"""W&B as a view of the record."""
