"""Carries an exception through another's code, which would take it for one of its own, or print a line about it."""


class Carried(BaseException):
    """The exception on its way.

    Attributes:
        error: what is raised again on the other side.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error
