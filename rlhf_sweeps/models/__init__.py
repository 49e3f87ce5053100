"""Policies, reference policies and value models: loaded always the same way, and described when exported."""
