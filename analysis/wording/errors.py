"""The error that a user sees as one line."""


class AnalysisError(Exception):
    """Something given cannot be used; the message names it and what is allowed."""
