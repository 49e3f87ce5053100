"""What a user is told in one line."""


class AnalysisError(Exception):
    """Something given cannot be used; the message names it and what is allowed."""
