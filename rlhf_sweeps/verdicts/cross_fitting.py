"""The gain of the best evaluation without the luck of its choice.

The best of several evaluations looks better than it is, since the prompts that chose it are those that measure it. So
each prompt is measured in the evaluation that the other prompts would choose: then no prompt has a part in its own
choice, and the mean over all of them is the gain to be expected on prompts that nobody has seen (cross-fitting, as in
Chernozhukov et al., "Double/debiased machine learning", arXiv 1608.00060).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from rlhf_sweeps.verdicts.intervals import Outcomes

NUM_FOLDS = 5  # parts of the prompts; chosen: four fifths of them choose nearly as well as all
FEWEST_PROMPTS = 10  # below which nothing is cross-fitted; chosen: two in each part
# Times the standard error of independent prompts. The parts choose by prompts that they share, so that their means are
# not independent: the variance is 1 + NUM_FOLDS / (NUM_FOLDS - 1) times as large at most (Nadeau and Bengio 2003,
# Machine Learning 52, 239-281). test_cross_fitting.py measures the coverage.
WIDENING = (1 + NUM_FOLDS / (NUM_FOLDS - 1)) ** 0.5


def choose_for_each(
    evaluations: Sequence[Mapping[str, float]], costs: Sequence[float] | None = None
) -> dict[str, int] | None:
    """Prompt -> the place of the evaluation with the highest mean over the prompts of the other parts.

    None if there is nothing to choose from, if there are too few prompts, or if the evaluations' prompts differ.

    Args:
        evaluations: prompt -> score minus the base policy's score in each of them, in the order of their updates.
        costs: what the choice subtracts from each mean, the price of its KL; None: nothing.
    """
    if len(evaluations) < 2 or len(evaluations[0]) < FEWEST_PROMPTS:
        return None
    if any(differences.keys() != evaluations[0].keys() for differences in evaluations):
        return None
    prompts = list(evaluations[0])
    values: Outcomes = np.array([[differences[prompt] for prompt in prompts] for differences in evaluations])
    part_of_prompt = np.arange(len(prompts)) % NUM_FOLDS
    paid = np.zeros(len(values)) if costs is None else np.array(costs)
    choice = [int((values[:, part_of_prompt != part].mean(axis=1) - paid).argmax()) for part in range(NUM_FOLDS)]
    return {prompt: choice[n % NUM_FOLDS] for n, prompt in enumerate(prompts)}
