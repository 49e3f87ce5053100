"""A record, a setting and a table in the repository, which anyone can check."""
