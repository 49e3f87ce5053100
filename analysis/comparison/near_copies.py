"""Near-copies among judges, as the sweep has found them: they share one vote, and none judges the runs of another."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.records.runs import Floats
from rlhf_sweeps.verdicts.judge_votes import JudgeGroup, average_votes
from rlhf_sweeps.verdicts.near_copies import NEAR_COPY, describe_near_copies


def read_near_copies(comparison: Mapping[str, Any] | None) -> list[JudgeGroup]:
    """The groups of near-copies in comparison.json; empty without the file, or where its form is wrong."""
    try:
        groups = [
            JudgeGroup([str(judge) for judge in entry["judges"]], float(entry["correlation"]))
            for entry in (comparison or {})["near_copies"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        return []
    return [group for group in groups if len(group.judges) > 1]


def write_near_copy_sentences(comparison: Mapping[str, Any] | None) -> list[str]:
    """A sentence for each group of near-copies in comparison.json."""
    threshold = (comparison or {}).get("near_copy_from", NEAR_COPY)
    return [describe_near_copies(group.judges, group.correlation, threshold) for group in read_near_copies(comparison)]


def average_other_judges(
    own: str, rates: Mapping[str, Floats], near_copies: Sequence[JudgeGroup] = ()
) -> Floats | None:
    """The mean win rate under the independent judges of a reward model; None without one.

    Args:
        own: the reward model.
        rates: judge -> win rates, (points,) or a single one.
        near_copies: groups of judges; every other judge has a vote of its own.
    """
    in_groups = {judge for group in near_copies for judge in group.judges}
    single = [JudgeGroup([judge], 1.0) for judge in rates if judge not in in_groups]
    return average_votes(own, rates, [*near_copies, *single])
