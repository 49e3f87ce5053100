"""How often the analysis of one sweep may claim anything that is not so: one rate for all of its claims together.

Where no setting differs, at most 5 % of sweeps get any false claim: of a winner, of a setting that is behind, of a key
that matters, of an edge beyond which better values lie. This holds for one objective. The claims have shares of these
5 %. The winner's has no share: it has to be better than every other setting by a test of each pair alone, which equal
settings pass in 5 % of sweeps over 2 settings, 2 % over 3 and less than 1 % from 6 settings on. Edges, ranges and
choices are only spoken of for keys that matter, or for settings that are behind, so they have no share either. Where
each reward model has a view of its own, the views share the 5 % evenly. tests/benchmarks/verdicts.py measures all this.

Four other kinds of claims have 5 % each: comparisons of groups by single axes, which all axes share; the ranking of
reward models; the parts of an axis on which trials fail, which all causes and views share; and the parts of an axis on
which runs have a finding of health, which all findings share.

Claims about pairs of settings, the winner's among them, hold for other seeds and other held-out prompts where the runs
have scores by prompt (`other_prompts`). Without these, and for axes and edges, the rate is one for other seeds on the
same prompts.
"""

from collections.abc import Sequence

import numpy as np

from rlhf_sweeps.verdicts.estimates import adjust_by_holm
from rlhf_sweeps.verdicts.student import Floats

SIGNIFICANCE_LEVEL = 0.05  # the largest p value of any claim; the usual one
# How the best setting stands: it leads until its claim is decided, with p <= SIGNIFICANCE_LEVEL.
DECIDED, UNDECIDED = "decided at 95 %", "not decided"
SHARE_OF_PAIRS = 0.4  # of the 5 %, for pairs of settings beside the winner's; chosen
SHARE_OF_KEYS = 0.5  # of the 5 %, for keys that matter; chosen


def share_p_values(p_values: Floats, share: float) -> Floats:
    """P values of one kind of claim, to be compared with SIGNIFICANCE_LEVEL as those of all claims are."""
    return np.asarray(np.minimum(p_values / share, 1.0), dtype=np.float64)


def adjust_pairs(p_values: Floats, are_of_best: Sequence[bool], are_ahead: Sequence[bool], num_pairs: int) -> Floats:
    """The p values of pairs of settings, adjusted for all claims about a sweep.

    Args:
        p_values: of a test of each pair alone, (pairs,); nan where the noise is unknown.
        are_of_best: whether the first setting of each pair is the best, and the second one that it has to beat to win,
            (pairs,).
        are_ahead: whether the first setting of each pair has the better mean in this test, (pairs,).
        num_pairs: the number of all pairs, where only some are given.

    Returns:
        (pairs,). If the best setting wins, its claim has one p value, the largest of its pairs; each of its pairs has
        this one or its own adjusted one, whichever is lower.
    """
    if len(p_values) < 2:
        return p_values
    adjusted = share_p_values(adjust_by_holm(p_values, num_pairs), SHARE_OF_PAIRS)
    of_best = np.array(are_of_best)
    claim = float(p_values[of_best].max())  # nan where a noise is unknown
    if claim <= SIGNIFICANCE_LEVEL and np.array(are_ahead)[of_best].all():
        adjusted[of_best] = np.minimum(adjusted[of_best], claim)
    return adjusted
