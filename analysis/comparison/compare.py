"""Groups of runs compared by a config key: values with intervals, and for each pair which group is better."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from analysis.comparison.groups import Group, Grouping, group_runs, list_seeds, stratify, write_seed_notes
from analysis.comparison.judge_matrix import make_matrix
from analysis.comparison.near_copies import write_near_copy_sentences
from analysis.comparison.own_matrix import NOT_BEST, WinRateMatrix, read_own_pairs
from analysis.comparison.run_scores import GroupScores, are_by_prompt
from analysis.comparison.run_values import OTHER_JUDGES, Measure, measure_runs
from analysis.comparison.thresholds import MAX_KEYS
from analysis.records.runs import Source
from analysis.wording.short_labels import list_labels, make_short_names
from rlhf_sweeps.verdicts.estimates import Estimate, Strata, bound_as_rate
from rlhf_sweeps.verdicts.pairs import BY_PROMPT, GroupPair, GroupRanking, rank

NO_VALUE = "without a value"


@dataclass(frozen=True, eq=False)
class ComparedGroup:
    """A group with its values.

    Attributes:
        label: the values that its runs share.
        place: 1 for the best; 0 for a group without any value.
        estimate: the mean, plain or interquartile (see `choose_statistic`), and its intervals; None without any value.
        values: run's name -> value.
        num_settings: number of different settings of the other keys among its runs.
        excluded: reason -> number of runs that do not count.
    """

    label: str
    place: int
    estimate: Estimate | None
    values: Mapping[str, float]
    num_settings: int
    excluded: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class GroupComparison:
    """Groups of runs compared.

    Attributes:
        by: the config keys, joined with commas.
        measure: the value that runs are compared by.
        groups: best first; those without any value last.
        ranking: of the groups that have one; None if no group has.
        matrix: win rates under every judge; None where there are no judges.
        grouping: the runs behind the groups.
        notes: sentences for readers.
    """

    by: str
    measure: Measure
    groups: Sequence[ComparedGroup]
    ranking: GroupRanking | None
    matrix: WinRateMatrix | None
    grouping: Grouping
    notes: Sequence[str]

    @cached_property
    def names(self) -> Mapping[str, str]:
        """The groups' labels -> short names, which differ as the labels do."""
        return make_short_names(group.label for group in self.groups)

    @property
    def valued_groups(self) -> Sequence[ComparedGroup]:
        """The groups that have a value, best first."""
        return [group for group in self.groups if group.estimate is not None]

    @property
    def is_own(self) -> bool:
        """Whether the sweep itself has made the comparison; see `own_matrix`."""
        return bool(self.pairs) and all(pair.design == BY_PROMPT for pair in self.pairs)

    @property
    def winner(self) -> str | None:
        """The group that is better than every other by more than noise; None if there is none."""
        return self.ranking.winner if self.ranking else None

    @property
    def pairs(self) -> Sequence[GroupPair]:
        """Every two groups, the better one first."""
        return self.ranking.pairs if self.ranking else ()


def compare_groups(source: Source, by: str | None = None, metric: str | None = None) -> GroupComparison:
    """Compare the runs of a source by config keys.

    A run counts if it came to its end; runs that were pruned, failed, diverged, wait, were interrupted or go on are
    counted apart. Where the sweep itself has compared its reward models, that comparison is taken (see `own_matrix`).

    Args:
        source: what was read.
        by: a config key, or several joined with commas; by default the swept key if there is one only.
        metric: the metric to compare by; by default the objective, or, where there are several reward models, the mean
            win rate under the judges that are not a run's own.

    Raises:
        AnalysisError: if no run has such a key or metric.
    """
    grouped = group_runs(source, by)
    runs = {run.name: run for group in grouped.groups for run in (*group.chosen, *group.runs)}
    measured = measure_runs(source, list(runs.values()), metric)
    grouped = grouped.drop_tests_without_values(measured.values)
    own = read_own_pairs(source, grouped, measured.values) if metric is None and measured.name == OTHER_JUDGES else None
    if own:
        grouped = grouped.of_choice
    compared = own.select_compared(grouped) if own else grouped
    strata = {group.label: stratify(grouped, group.runs, measured.values) for group in compared.groups}
    ranking = _rank_groups(compared, strata, measured, _choose_share(source, grouped.keys))
    if own and ranking:
        ranking = own.rank_groups(ranking, strata)
    places = {label: place for place, label in enumerate(ranking.labels if ranking else (), start=1)}
    groups = [
        _make_compared_group(
            group, places.get(group.label, 0), ranking, measured, len(strata[group.label]), own is not None
        )
        for group in compared.groups
    ]
    groups.sort(key=lambda group: group.place or math.inf)
    seeds = own.write_notes(source) if own else write_seed_notes(source, grouped)
    copies = write_near_copy_sentences(source.comparison) if measured.name == OTHER_JUDGES else []
    notes = [*measured.warnings, *copies, *grouped.notes, *seeds, *_write_notes(grouped, groups, strata)]
    if any(NOT_BEST in group.excluded for group in groups):
        notes.append("each reward model is represented by its best setting, as at the end of the sweep")
    is_estimated = not own  # not taken from what the sweep has written
    if is_estimated and measured.num_prompts and any(len(group.values) > 1 for group in groups):
        notes.append(f"intervals are at least as wide as that of a rate over {measured.num_prompts} held-out prompts")
    elif (
        is_estimated
        and measured.is_rate
        and ranking is not None
        and (alike := _list_without_interval(ranking.estimates))
    ):
        subject = (
            f"the number of prompts behind the rates is unknown: for {list_labels(alike)}, whose runs are all alike,"
        )
        notes.append(f"{subject} each run counts as one prompt")
    judged = make_matrix(source, grouped.alike)
    if judged is not None:
        judged = judged.order_rows([group.label for group in groups])
    return GroupComparison(", ".join(grouped.keys), measured, groups, ranking, judged, grouped.alike, notes)


def _choose_share(source: Source, keys: Sequence[str]) -> float:
    """Of the rate of false claims: comparisons by single axes of a sweep have it in common (see `error_rate`)."""
    is_by_axis = len(keys) == 1 and keys[0] in source.axes
    return 1 / min(len(source.axes), MAX_KEYS) if is_by_axis else 1.0


def _rank_groups(
    compared: Grouping, strata: Mapping[str, Strata], measured: Measure, share: float
) -> GroupRanking | None:
    """The groups that have a value, of equal ones the first trial first; None where none has."""
    groups = [group for group in compared.groups if strata[group.label]]
    if not groups:
        return None
    groups.sort(key=lambda group: min(math.inf if run.trial is None else run.trial for run in group.runs))
    chosen = {group.label: stratify(compared, group.chosen, measured.values) for group in groups}
    tested = {group.label: strata[group.label] for group in groups if group.is_test}
    by_choice = {label: own_strata or strata[label] for label, own_strata in chosen.items()}
    runs = {group.label: group.chosen if chosen[group.label] else group.runs for group in groups}
    test_runs = {group.label: group.runs for group in groups if group.is_test}
    seeds, test_seeds = (
        {label: list_seeds(runs_of_group, measured.values) for label, runs_of_group in each.items()}
        for each in (runs, test_runs)
    )
    scores, test_scores = (
        GroupScores(compared, each, measured.values, measured.name) if are_by_prompt(measured.name, values) else None
        for each, values in ((runs, by_choice), (test_runs, tested))
    )
    return rank(by_choice, measured.is_lower_better, tested, seeds, test_seeds, share, scores, test_scores)


def _make_compared_group(
    group: Group, place: int, ranking: GroupRanking | None, measured: Measure, num_settings: int, is_own: bool
) -> ComparedGroup:
    values = {run.name: measured.values[run.name] for run in group.runs if run.name in measured.values}
    excluded = Counter(group.excluded)
    if len(values) < len(group.runs):
        excluded[NO_VALUE] += len(group.runs) - len(values)
    estimated = ranking.estimates.get(group.label) if ranking else None
    if estimated is not None and measured.is_rate and not is_own:
        estimated = bound_as_rate(estimated, measured.num_prompts)
    return ComparedGroup(group.label, place, estimated, values, num_settings, dict(excluded))


def _list_without_interval(estimates: Mapping[str, Estimate]) -> list[str]:
    """The groups that have no interval, although they have several runs."""
    return [label for label, estimate in estimates.items() if estimate.num_runs > 1 and math.isnan(estimate.low)]


def _write_notes(grouped: Grouping, groups: Sequence[ComparedGroup], strata: Mapping[str, Strata]) -> list[str]:
    notes = []
    counts = Counter[str]()
    for group in groups:
        counts.update(group.excluded)
    if counts:
        parts = ", ".join(f"{number} {reason}" for reason, number in sorted(counts.items()))
        notes.append(f"not counted: {parts}; a group without its bad runs looks better than it is")
    filled = [group_strata for group_strata in strata.values() if group_strata]
    settings = [set(group_strata) for group_strata in filled]
    keys = ", ".join(key for key in grouped.others if key not in grouped.keys)
    if keys and any(group_settings != settings[0] for group_settings in settings):
        notes.append(
            f"the runs also differ in {keys}, and not in the same way in every group: this may cause a difference"
        )
    is_seeded = any(len(values) > 1 for group_strata in filled for values in group_strata.values())
    if not is_seeded and any(len(group_strata) > 1 for group_strata in filled):
        notes.append("no setting has two seeds, so intervals cover the variation over settings and seeds together")
    if alike := _list_without_interval({group.label: group.estimate for group in groups if group.estimate}):
        subject = f"no interval for {list_labels(alike)}, whose runs are all alike"
        notes.append(f"{subject}: they do not show how much other runs would differ")
    return notes
