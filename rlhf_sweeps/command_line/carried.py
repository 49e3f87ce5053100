"""Carry an exception through code of another package, which would treat it as its own or print a line about it."""


class Carried(BaseException):
    """A wrapper of an exception, which that code does not catch.

    Attributes:
        error: the exception, which the caller of that code raises again.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error
