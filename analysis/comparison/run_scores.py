"""The held-out scores by prompt of the runs of groups, where groups are compared by them."""

from collections.abc import Hashable, Iterator, Mapping, Sequence

from analysis.comparison.groups import Grouping
from analysis.comparison.run_values import EVAL_SCORE, OBJECTIVE
from analysis.records.prompt_scores import read_best_scores_of_run, read_scores_of_run
from analysis.records.runs import RunRecord
from rlhf_sweeps.verdicts.estimates import Strata
from rlhf_sweeps.verdicts.other_prompts import Scores


def are_by_prompt(name: str, strata: Mapping[str, Strata]) -> bool:
    """Whether prompts are in the noise of a measure, and two groups at least have the runs that show noise at all."""
    num_runs = [sum(len(values) for values in of_group.values()) for of_group in strata.values()]
    return name in (OBJECTIVE, EVAL_SCORE) and sum(number > 1 for number in num_runs) > 1


class GroupScores(Mapping[str, Mapping[Hashable, Sequence[Scores]]]):
    """Label -> other settings -> the scores of a group's runs that have a value, in the order of `groups.stratify`.

    The samples of a group's runs are read when its scores are looked up, since only the best groups are compared.
    """

    def __init__(
        self, grouped: Grouping, runs: Mapping[str, Sequence[RunRecord]], values: Mapping[str, float], name: str
    ) -> None:
        """Store what the scores are read from.

        Args:
            grouped: the groups, which know the other settings of a run.
            runs: label -> the runs of the group.
            values: run's name -> value; runs without one are left out.
            name: of the measure. The objective says which evaluations give its value; the metric `eval/score` is taken
                at each run's best evaluation.
        """
        self._grouped, self._runs, self._values = grouped, runs, values
        self._read = read_best_scores_of_run if name == EVAL_SCORE else read_scores_of_run

    def __getitem__(self, label: str) -> Mapping[Hashable, Sequence[Scores]]:
        """Read the scores of a group.

        Raises:
            KeyError: if there is no such group.
        """
        by_setting: dict[Hashable, list[Scores]] = {}
        for run in self._runs[label]:
            if run.name in self._values:
                by_setting.setdefault(self._grouped.make_setting_key(run), []).append(self._read(run))
        return by_setting

    def __iter__(self) -> Iterator[str]:
        """Over the labels."""
        return iter(self._runs)

    def __len__(self) -> int:
        """The number of groups."""
        return len(self._runs)

    def __contains__(self, label: object) -> bool:
        """Whether there is such a group; its scores are not read."""
        return label in self._runs
