"""Where a record can be read from."""
