"""The judges of trained policies: near-copies share one vote, and none is an independent judge of another."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from rlhf_sweeps.verdicts.head_to_head import vote
from rlhf_sweeps.verdicts.intervals import Outcomes
from rlhf_sweeps.verdicts.near_copies import correlate_beyond_policies, find_clusters
from rlhf_sweeps.verdicts.student import Floats

# Judge -> its scores of the answers of a policy, or of the base policy, (prompts,).
Answers = Mapping[str, Floats]


@dataclass(frozen=True)
class JudgeGroup:
    """Judges that are near-copies of each other, or a single judge.

    Attributes:
        judges: their names.
        correlation: the mean of every two of them, see `correlate_beyond_policies`; 1 for a single judge.
    """

    judges: Sequence[str]
    correlation: float


def list_answers(
    evaluations: Iterable[tuple[int, Mapping[str, Mapping[Any, Sequence[float]]]]], prompts: Sequence[Any]
) -> Iterator[Answers]:
    """Yield the scores of each policy's answers, then those of the base policy's, which are the same for one seed.

    Args:
        evaluations: seed, and judge -> prompt -> score and base score, of each policy.
        prompts: the prompts that all policies have answered.
    """
    of_base: dict[int, dict[str, Floats]] = {}
    for seed, scores in evaluations:
        pairs = {judge: np.array([own[prompt] for prompt in prompts]) for judge, own in scores.items()}
        yield {judge: both[:, 0] for judge, both in pairs.items()}
        of_base.setdefault(seed, {}).update({judge: both[:, 1] for judge, both in pairs.items()})
    yield from of_base.values()


def group_judges(judges: Sequence[str], answers: Sequence[Answers]) -> list[JudgeGroup]:
    """The judges in groups of near-copies, by the answers that each two of them have scored.

    Args:
        judges: their names.
        answers: of each policy and of the base policy.
    """
    correlations = np.zeros((len(judges), len(judges)))
    for first, second in combinations(range(len(judges)), 2):
        both = judges[first], judges[second]
        shared = [own for own in answers if set(both) <= own.keys()]
        if shared:
            ours, theirs = (np.array([own[judge] for own in shared]).T for judge in both)
            # Where no answers show whether two judges agree, they do not count as near-copies.
            correlations[first, second] = np.nan_to_num(correlate_beyond_policies(ours, theirs))
    correlations += correlations.T
    return [_make_group(judges, cluster, correlations) for cluster in find_clusters(correlations)]


def _make_group(judges: Sequence[str], cluster: Sequence[int], correlations: Floats) -> JudgeGroup:
    pairs = [float(correlations[pair]) for pair in combinations(cluster, 2)]
    return JudgeGroup([judges[number] for number in cluster], float(np.mean(pairs)) if pairs else 1.0)


def average_votes(own: str, wins: Mapping[str, Outcomes], groups: Iterable[JudgeGroup]) -> Outcomes | None:
    """The mean wins of a reward model's policies under its independent judges, each group of which has one vote.

    Args:
        own: the reward model.
        wins: judge -> wins, (seeds, prompts), of the same seeds.
        groups: all judges, in groups of near-copies.

    Returns:
        (seeds, prompts); None without an independent judge.
    """
    names = list(wins)
    independent = [
        [names.index(judge) for judge in group.judges if judge in wins] for group in groups if own not in group.judges
    ]
    voting = [cluster for cluster in independent if cluster]
    return vote(np.array(list(wins.values())), voting) if voting else None
