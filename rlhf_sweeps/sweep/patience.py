"""How long a sweep waits after faults of the environment: longer each time, about four minutes in all."""

PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0)  # seconds; chosen
LONG_AGO = 3600.0  # seconds after a pause, after which a fault counts as a new one; chosen


class Patience:
    """Counts faults and pauses. Times are seconds of a monotonic clock.

    Attributes:
        fault: the last fault; None after a run has ended normally since.
        is_over: whether there was a fault even after the last pause.
    """

    def __init__(self) -> None:
        self.fault: str | None = None
        self.is_over = False
        self._num_pauses = 0
        self._until = 0.0

    def note(self, fault: str, now: float) -> float:
        """Note a fault; returns the seconds for which no run may begin. Several faults within a pause count once."""
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
        """Whether no run may begin yet."""
        return not self.is_over and now < self._until

    def forget(self) -> None:
        """Begin anew after a run has ended: the fault is over."""
        self.fault, self.is_over, self._num_pauses, self._until = None, False, 0, 0.0
