"""A live table of a sweep."""
