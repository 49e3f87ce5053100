"""What other held-out prompts would add to the noise of a difference of two groups.

All runs answer the same prompts. What a prompt does to all groups alike cancels in a difference. But one group may be
better on just these prompts, on every seed: seeds do not show that, and with other prompts the difference would be
another one. So prompts are a random effect beside the seeds. In a table of differences with a row for each seed and a
column for each prompt, they add max(0, mean square of prompts - mean square of the residual) / seeds / prompts to the
variance (Cornfield and Tukey 1956). The residual is in the variance between seeds already.
"""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlhf_sweeps.verdicts.student import Floats, satterthwaite
from rlhf_sweeps.verdicts.two_way import measure_squares

# Held-out prompt -> the score of a run: see `prompt_scores`.
Scores = Mapping[str, float]
# Label -> other settings -> the scores of each run, in the order of its values.
ScoresOfGroups = Mapping[str, Mapping[Hashable, Sequence[Scores]]]
# Other settings -> the scores of the runs, (runs, prompts); nan where a prompt has none.
PromptTables = Mapping[Hashable, Floats]


@dataclass(frozen=True)
class PromptNoise:
    """How much the difference of two groups varies with the prompts.

    Attributes:
        whole, freedom: the variance of the mean over the prompts, the residual's part included, and its degrees of
            freedom.
        residuals: the parts of it that come from single answers, each with its degrees of freedom; empty where no
            setting has two runs, so that nothing shows them.
    """

    whole: float
    freedom: int
    residuals: Sequence[tuple[float, int]] = ()

    @property
    def variance(self) -> float:
        """What other prompts add to the variance that other seeds show."""
        return max(0.0, self.whole - sum(variance for variance, _ in self.residuals))

    def widen(self, error: float, freedom: float) -> tuple[float, float]:
        """The standard error over other seeds and other prompts, and its degrees of freedom after Satterthwaite.

        The degrees of freedom count the residual even where it hides the variance between prompts.

        Args:
            error: the standard error over other seeds.
            freedom: its degrees of freedom; 0 where the noise between seeds is unknown, which then stays so.
        """
        if freedom <= 0:
            return error, freedom
        variance = error**2 + self.variance
        parts = [(error**2, freedom), (self.whole, float(self.freedom)), *self.residuals]
        variances, freedoms = [part for part, _ in parts], [float(degrees) for _, degrees in parts]
        fewest = min(freedom, self.freedom)
        return math.sqrt(variance), max(satterthwaite(variances, freedoms, variance), fewest)


def measure_prompt_noise(first: Sequence[Floats], second: Sequence[Floats] = ()) -> PromptNoise:
    """The noise of prompts in the difference of two means over runs and prompts.

    Args:
        first, second: for each setting of a group its runs, (runs, prompts); all have the same two prompts or more.
            Without a second group, the values are the differences.
    """
    sides = [np.concatenate(tables) for tables in (first, second) if tables]
    difference = sides[0].mean(0) - (sides[1].mean(0) if len(sides) > 1 else 0.0)
    num_prompts, residuals = len(difference), []
    for tables in (first, second):
        num_runs = sum(len(table) for table in tables)
        for table in tables:
            squares = measure_squares(table)
            if squares.residual_freedom:
                share = len(table) / num_runs**2 / num_prompts  # of the variance of an answer in that of the mean
                residuals.append((share * squares.residual, squares.residual_freedom))
    return PromptNoise(float(difference.var(ddof=1)) / num_prompts, num_prompts - 1, residuals)


def tabulate_scores(groups: ScoresOfGroups) -> dict[str, PromptTables]:
    """Label -> the scores of its runs on the prompts that most runs have; empty if no run has any."""
    scores_of_runs = [scores for strata in groups.values() for runs in strata.values() for scores in runs]
    counts = Counter(frozenset(scores) for scores in scores_of_runs if scores)
    if not counts:
        return {}
    prompts = sorted(counts.most_common(1)[0][0])
    return {
        label: {
            key: np.array([[scores.get(prompt, math.nan) for prompt in prompts] for scores in runs], dtype=np.float64)
            for key, runs in strata.items()
        }
        for label, strata in groups.items()
    }


def compare_on_prompts(first: Sequence[Floats], second: Sequence[Floats] = ()) -> PromptNoise | None:
    """As `measure_prompt_noise`, of the runs that have scores, over the prompts on which all of these have some.

    Other prompts add as much for every number of runs, so that a few runs show it. A single run of each group does not
    show the residual: then the noise is too large rather than too small.

    Args:
        first, second: see `measure_prompt_noise`; a score may be missing (nan), and a setting may have no run.

    Returns:
        None if no run of a group has scores, or if runs share fewer than two prompts, or fewer than half of them.
    """
    tables = [*first, *second]
    is_scored = np.isfinite(np.concatenate(tables))
    by_scores = np.argsort(-is_scored.sum(1), kind="stable")  # the runs with the most scores first
    shared = np.logical_and.accumulate(is_scored[by_scores])  # the prompts that so many runs have in common
    num_runs = int((shared.sum(1) >= max(2, is_scored.shape[1] / 2)).sum())
    if not num_runs:
        return None
    is_used = np.isin(np.arange(len(is_scored)), by_scores[:num_runs])
    parts = np.split(is_used, np.cumsum([len(table) for table in tables])[:-1])
    used = [table[part][:, shared[num_runs - 1]] for table, part in zip(tables, parts, strict=True)]
    ours, theirs = ([scores for scores in side if len(scores)] for side in (used[: len(first)], used[len(first) :]))
    return measure_prompt_noise(ours, theirs) if ours and (theirs or not second) else None
