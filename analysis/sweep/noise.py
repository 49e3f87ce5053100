"""How much runs of one setting differ, in one place for all who call something noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.comparison.statistics import student_quantile
from analysis.statements import counted
from analysis.sweep.settings import Setting


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

    @property
    def source(self) -> str:
        """What tells it, as in `from ...`."""
        parts = [f"{counted(self.repetitions, 'repetition')} on other seeds"] if self.repetitions else []
        return " and ".join([*parts, *(["the scatter about a smooth fit"] if self.is_fitted else [])])

    def margin(self, first: Setting, second: Setting) -> float:
        """What the difference of two settings must be above to be more than noise at 5 %: Student's, for this pair.

        It is not adjusted for being one of many pairs. To say that the best setting beats the second, it need not be:
        of settings that are equal, the best two are closer to each other than any two.
        """
        error = self.deviation * math.sqrt(1 / len(first.by_run) + 1 / len(second.by_run))
        return student_quantile(self.freedom) * error if self.is_known else math.nan


def repeated(settings: Sequence[Setting], objective: int = 0) -> Noise:
    """What repetitions alone tell, pooled over all settings with several runs; runs on test seeds are a group apart."""
    squares, freedom = 0.0, 0
    for setting in settings:
        for values in (setting.by_run, setting.by_test):
            if len(values) > 1:
                # From the first value on, so that the rounding of a mean is no noise of runs that are all alike.
                others = values[:, objective] - values[0, objective]
                squares += float(((others - others.mean()) ** 2).sum())
                freedom += len(values) - 1
    return Noise(math.sqrt(squares / freedom), freedom, freedom) if freedom else Noise()
