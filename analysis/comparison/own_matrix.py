"""The comparison that a sweep over reward models has written: win rates under every judge, and verdicts on pairs.

The sweep compares the best setting of each reward model, over its seeds and prompts, and prints it in its last lines.
The analysis takes the same runs and the same rule.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np

from analysis.comparison.groups import Group, Grouping
from analysis.comparison.run_values import OTHER_JUDGES, measure_values
from analysis.records.runs import COMPLETE, Source
from analysis.wording.statements import format_count, join_words
from rlhf_sweeps.figures import format_share
from rlhf_sweeps.verdicts.estimates import Strata, estimate_probability
from rlhf_sweeps.verdicts.pairs import BY_PROMPT, MEAN, GroupPair, GroupRanking

REWARD_MODEL = "reward_model"
NOT_BEST = "not of the best setting"
_SEED = "seed"


@dataclass(frozen=True)
class WinRate:
    """The mean win rate of a group under a judge, with its 95 % interval (nan for one seed).

    Attributes:
        is_own: whether the judge is the group's own reward model.
    """

    win_rate: float
    low: float
    high: float
    num_runs: int
    is_own: bool


@dataclass(frozen=True)
class WinRateMatrix:
    """Win rates against the base policy.

    Attributes:
        labels: of the groups, the rows; see `order_rows`.
        judges: the columns.
        cells: (label, judge) -> cell; some may be missing.
        text: what the intervals cover.
    """

    labels: Sequence[str]
    judges: Sequence[str]
    cells: Mapping[tuple[str, str], WinRate]
    text: str

    def order_rows(self, labels: Sequence[str]) -> "WinRateMatrix":
        """The matrix with its rows in another order; labels that are not given come last."""
        unlisted = [label for label in self.labels if label not in labels]
        return replace(self, labels=[*(label for label in labels if label in self.labels), *unlisted])


@dataclass(frozen=True)
class OwnPairs:
    """The comparison of reward models as the sweep has made it.

    Attributes:
        runs: label of a group -> the names of the runs that were compared.
        rates: label of a group -> its win rate under the other judges with its interval.
        trials: label of a group -> the numbers of its best setting's trials.
        pairs: the difference of every two, the better one first, in the order of the ranking; see `crossed.Difference`.
    """

    runs: Mapping[str, frozenset[str]]
    rates: Mapping[str, tuple[float, float, float]]
    trials: Mapping[str, Sequence[int]]
    pairs: Sequence[Mapping[str, Any]]

    def select_compared(self, grouping: Grouping) -> Grouping:
        """The groups with the compared runs only; the other runs count as excluded."""
        return replace(grouping, groups=[self._select_compared_runs(group) for group in grouping.groups])

    def _select_compared_runs(self, group: Group) -> Group:
        compared = [run for run in group.chosen if run.name in self.runs.get(group.label, ())]
        num_others = len(group.chosen) - len(compared)
        excluded = {**group.excluded, NOT_BEST: num_others} if num_others else group.excluded
        return replace(group, chosen=compared, is_test=False, excluded=excluded)

    def write_notes(self, source: Source) -> list[str]:
        """Notes on the seeds behind the values, and on the values on test seeds, which the sweep has not compared."""
        sentences = [
            "order, intervals and verdicts are those of the sweep's end: over the seeds that choose, and over prompts"
        ]
        tests = [run for run in source.runs if run.is_test and run.state == COMPLETE]
        measured = measure_values(source, tests)
        means = []
        for label, numbers in self.trials.items():
            own = [run.name for run in tests if run.trial in numbers]
            values = [measured.values[name] for name in own if name in measured.values]
            if values:
                means.append(f"{format_share(fmean(values))} for {label} ({format_count(len(values), 'run')})")
        if means and measured.name == OTHER_JUDGES:
            sentences.append(
                "on test seeds, which had no part in choosing the tested settings, "
                f"the {OTHER_JUDGES} is {join_words(means)}"
            )
        return sentences

    def rank_groups(self, ranking: GroupRanking, values: Mapping[str, Strata]) -> GroupRanking:
        """A ranking of these groups by their runs, with the sweep's order, rates and verdicts.

        Args:
            values: of the runs of each group.
        """
        labels = list(dict.fromkeys(str(pair[side]) for side in ("first", "second") for pair in self.pairs))
        pairs = [_make_pair(pair, values) for pair in self.pairs]
        estimates = {
            label: replace(estimate, value=mean, low=low, high=high)
            for label, estimate in ranking.estimates.items()
            for mean, low, high in [self.rates[label]]
        }
        return GroupRanking(labels, estimates, pairs, MEAN)


def read_own_pairs(source: Source, grouping: Grouping, values: Mapping[str, float]) -> OwnPairs | None:
    """The pairs in comparison.json; None without the file, without pairs in it, or where some of its runs are gone.

    Args:
        values: run's name -> its win rate under the other judges.
    """
    if list(grouping.keys) != [REWARD_MODEL]:
        return None
    settings = {trial.number: {k: v for k, v in trial.settings.items() if k != _SEED} for trial in source.trials}
    labels = {str(group.chosen[0].look_up(REWARD_MODEL)): group for group in grouping.groups if group.chosen}
    try:
        comparison = source.comparison or {}
        named = {str(pair[side]) for pair in comparison["pairs"] for side in ("first", "second")}
        runs, rates, trials, names = {}, {}, {}, {}
        for entry in comparison["reward_models"]:
            if str(entry["reward_model"]) not in named:
                continue
            group = labels[str(entry["reward_model"])]
            numbers = [number for number, own in settings.items() if own == settings[int(entry["trial"])]]
            compared = [run for run in group.chosen if run.trial in numbers and run.seed in entry["seeds"]]
            compared = [run for run in compared if run.name in values]
            if len(compared) != int(entry["num_seeds"]):
                return None
            runs[group.label] = frozenset(run.name for run in compared)
            rates[group.label] = (float(entry["others"]["mean"]), *_read_bounds(entry["others"]))
            trials[group.label] = numbers
            names[str(entry["reward_model"])] = group.label
        pairs = [
            {**pair, "first": names[pair["first"]], "second": names[pair["second"]]} for pair in comparison["pairs"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return OwnPairs(runs, rates, trials, pairs) if pairs else None


def _make_pair(own: Mapping[str, Any], values: Mapping[str, Strata]) -> GroupPair:
    first, second = (str(own[side]) for side in ("first", "second"))
    (low, high), p_value = _read_bounds(own), _convert_to_float(own["p_value"])
    ours, theirs = ([np.concatenate(list(values[label].values()))] for label in (first, second))
    chance = estimate_probability(ours, theirs)
    return GroupPair(first, second, float(own["value"]), low, high, chance, p_value, str(own["verdict"]), BY_PROMPT)


def _read_bounds(written: Mapping[str, Any]) -> tuple[float, float]:
    """An interval that the sweep has written; nan where it has none."""
    return _convert_to_float(written["low"]), _convert_to_float(written["high"])


def _convert_to_float(value: Any) -> float:
    return math.nan if value is None else float(value)


def read_written_matrix(comparison: Mapping[str, Any] | None) -> WinRateMatrix | None:
    """The matrix in comparison.json; None without the file, or where its form is wrong."""
    try:
        entries = list((comparison or {})["reward_models"])
        labels = [str(entry["reward_model"]) for entry in entries]
        judges = [str(judge) for judge in (comparison or {})["judges"]]
        cells = {}
        for label, entry in zip(labels, entries, strict=True):
            for judge, cell in entry["judges"].items():
                rate, num_seeds = cell["win_rate"], int(cell["num_seeds"])
                cells[label, str(judge)] = WinRate(float(rate["mean"]), *_read_bounds(rate), num_seeds, judge == label)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if not cells or len(set(labels)) < len(labels):
        return None
    return WinRateMatrix(labels, judges, cells, "intervals cover the variation over seeds and prompts")
