"""The settings that a sweep tries: axes, their relations, the search space, samplers."""
