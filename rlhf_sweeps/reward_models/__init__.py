"""Reward models: anything that gives a response to a prompt a score. Loads no torch."""
