"""How much runs of one setting differ, where one noise stands for all settings."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rlhf_sweeps.verdicts.student import Floats, student_quantile


@dataclass(frozen=True)
class Noise:
    """The noise of one run.

    Attributes:
        deviation: standard deviation of a run's objective among runs of its setting; nan where nothing tells it.
        freedom: degrees of freedom that it is known with; 0 where nothing tells it.
        repetitions: runs on other seeds that have a part in it.
        is_fitted: whether the scatter about a smooth fit has a part in it, too.
    """

    deviation: float = math.nan
    freedom: float = 0.0
    repetitions: int = 0
    is_fitted: bool = False

    @property
    def is_known(self) -> bool:
        """Whether anything tells it; runs that are all alike do not show how much others would differ."""
        return self.freedom > 0 and self.deviation > 0

    def margin(self, num_first: int, num_second: int) -> float:
        """What the difference of two means must be above to be more than noise at 5 %: Student's, for this pair.

        It is not adjusted for being one of many pairs. To say that the best setting beats the second, it need not be:
        of settings that are equal, the best two are closer to each other than any two.

        Args:
            num_first, num_second: how many runs each of the two is the mean of.
        """
        error = self.deviation * math.sqrt(1 / num_first + 1 / num_second)
        return student_quantile(self.freedom) * error if self.is_known else math.nan


def noise_within(groups: Iterable[Floats]) -> Noise:
    """What repetitions alone tell, pooled over groups of runs that differ in nothing but their seeds, (runs,) each."""
    squares, freedom = 0.0, 0
    for values in groups:
        if len(values) > 1:
            # From the first value on, so that the rounding of a mean is no noise of runs that are all alike.
            others = values - values[0]
            squares += float(((others - others.mean()) ** 2).sum())
            freedom += len(values) - 1
    return Noise(math.sqrt(squares / freedom), freedom, freedom) if freedom else Noise()
