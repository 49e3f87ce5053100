"""How much a reward model can teach: how much its scores differ between the answers to one prompt.

A policy learns from differences between answers to the same prompt. A reward model with little variance there teaches
slowly, however accurate it is (Razin et al., arXiv 2503.15477); what differs between prompts teaches nothing.
"""

from dataclasses import dataclass

import numpy as np

from rlhf_sweeps.verdicts.student import Floats


@dataclass(frozen=True)
class Teaching:
    """What the scores of answers say about a reward model as a teacher.

    Attributes:
        within: the variance of scores within a prompt, mean over prompts, in squared units of the score.
        between: the variance of the prompts' expected scores, in the same units; what the answers add is subtracted.
        tie_share: the share of pairs of answers to the same prompt that get the same score.
        silent_share: the share of prompts to which all answers get the same score.
    """

    within: float
    between: float
    tie_share: float
    silent_share: float

    @property
    def within_share(self) -> float | None:
        """The part of the variance that lies within prompts, which does not depend on units; None without variance."""
        total = self.within + self.between
        return self.within / total if total > 0 else None


def measure_teaching(scores: Floats) -> Teaching:
    """What one reward model's scores say.

    Args:
        scores: (prompts, answers), at least two of each.
    """
    num_answers = scores.shape[1]
    is_silent = np.ptp(scores, axis=1) == 0
    # Rounding must not make a variance of scores that are all the same.
    within = float(np.where(is_silent, 0.0, scores.var(axis=1, ddof=1)).mean())
    between = float(scores.mean(axis=1).var(ddof=1)) - within / num_answers
    num_tied = sum(float(np.sum(own[:, None] == own)) - num_answers for own in scores)
    tie_share = num_tied / (len(scores) * num_answers * (num_answers - 1))
    return Teaching(within, max(between, 0.0), tie_share, float(is_silent.mean()))
