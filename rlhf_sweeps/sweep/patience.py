"""How long a sweep waits where the environment is at fault: a bit longer each time, for some minutes in all."""

PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0)  # seconds
LONG_AGO = 3600.0  # seconds after a pause, from which on another fault is another one


class Patience:
    """What is left of it. Times are seconds of any clock that goes on.

    Attributes:
        fault: what was at fault last; None once a run has come to its end again.
        is_over: whether there was a fault after the last pause, too.
    """

    def __init__(self) -> None:
        self.fault: str | None = None
        self.is_over = False
        self._num_pauses = 0
        self._until = 0.0

    def note(self, fault: str, now: float) -> float:
        """Know of a fault; for how many seconds nothing is to be begun. Runs that meet it in one pause count once."""
        self.fault = fault
        if now >= self._until + LONG_AGO:
            self.forget()
            self.fault = fault
        if now >= self._until:
            if self._num_pauses == len(PAUSES):
                self.is_over = True
                return 0.0
            self._until = now + PAUSES[self._num_pauses]
            self._num_pauses += 1
        return self._until - now

    def is_pausing(self, now: float) -> bool:
        """Whether nothing is to be begun yet."""
        return not self.is_over and now < self._until

    def forget(self) -> None:
        """A run has come to its end: whatever was at fault is mended."""
        self.fault, self.is_over, self._num_pauses, self._until = None, False, 0, 0.0
