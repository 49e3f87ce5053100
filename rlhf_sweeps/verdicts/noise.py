"""How much runs of one setting differ, with one standard deviation for all settings."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rlhf_sweeps.verdicts.error_rate import SHARE_OF_PAIRS, SIGNIFICANCE_LEVEL
from rlhf_sweeps.verdicts.student import Floats, student_quantile


@dataclass(frozen=True)
class Noise:
    """The noise of one run.

    Attributes:
        deviation: standard deviation of the objective among runs of the same setting; nan where it is unknown.
        freedom: degrees of freedom of that estimate; 0 where it is unknown.
        repetitions: number of runs on further seeds that the estimate uses.
        is_fitted: whether the estimate also uses the residuals of a smooth fit.
    """

    deviation: float = math.nan
    freedom: float = 0.0
    repetitions: int = 0
    is_fitted: bool = False

    @property
    def is_known(self) -> bool:
        """Whether there is an estimate above 0; runs that are all equal do not show how much others would differ."""
        return self.freedom > 0 and self.deviation > 0

    def margin(self, num_first: int, num_second: int, num_pairs: int = 1, share: float = 1.0) -> float:
        """The least difference of two means that is significant at 5 %, by Student's test.

        The comparison of the best setting with the second needs no adjustment: among equal settings, the best two are
        closer to each other than two settings drawn at random.

        Args:
            num_first, num_second: the number of runs in each of the two means.
            num_pairs: the number of pairs that could be compared; beyond 1 the margin is adjusted for it, and for the
                other claims about a sweep (see `error_rate`).
            share: of the 5 %, where there are several rankings.
        """
        error = self.deviation * math.sqrt(1 / num_first + 1 / num_second)
        level = SIGNIFICANCE_LEVEL if num_pairs == 1 else SIGNIFICANCE_LEVEL * SHARE_OF_PAIRS / num_pairs
        return student_quantile(self.freedom, 1 - share * level) * error if self.is_known else math.nan


def pool_noise(groups: Iterable[Floats]) -> Noise:
    """The noise, pooled over groups of runs that differ only in their seeds, (runs,) each."""
    squares, freedom = 0.0, 0
    for values in groups:
        if len(values) > 1:
            # The first value is subtracted, so that the rounding of a mean does not count as noise of equal runs.
            others = values - values[0]
            squares += float(((others - others.mean()) ** 2).sum())
            freedom += len(values) - 1
    return Noise(math.sqrt(squares / freedom), freedom, freedom) if freedom else Noise()
