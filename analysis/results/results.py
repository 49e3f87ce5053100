"""All results of a source: each is computed once, when it is first asked for, and lives as long as its Results."""

from collections.abc import Sequence
from functools import cached_property

from analysis.comparison.compare import GroupComparison, compare_groups
from analysis.comparison.groups import Grouping, group_runs
from analysis.health.findings import FindingsByRun, diagnose_source
from analysis.health.patterns import Pattern, find_patterns
from analysis.records.runs import Source
from analysis.results.ranking import SourceRanking, rank_beside, rank_source
from analysis.sweep.analysis import SweepAnalysis, analyse_sweep
from analysis.sweep.ledger import Ledger, make_ledger
from analysis.sweep.settings import REWARD_MODEL, View, make_views
from analysis.wording.errors import AnalysisError


class Results:
    """The results of a source, for the views.

    Attributes:
        source: the record; it must not change any more.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._comparisons: dict[tuple[str | None, str | None], GroupComparison] = {}

    @cached_property
    def parts(self) -> "Sequence[Results]":
        """The results for each objective of the runs, itself alone where there is one only; see `Source.apart`."""
        return [self] if len(self.source.apart) == 1 else [Results(part) for part in self.source.apart]

    @cached_property
    def views(self) -> list[View]:
        """The settings of its trials: in one view, or in one for each reward model; none without trials."""
        return make_views(self.source) if self.source.trials else []

    @cached_property
    def ranking(self) -> SourceRanking:
        """The ranking, with the comparison of the reward models where these have no common scale."""
        if len(self.parts) > 1:
            return rank_beside(self.source, [(part.source, part.ranking) for part in self.parts])
        return rank_source(self.source, self.views or None, self._compare_reward_models)

    def compare_by(self, by: str | None = None, metric: str | None = None) -> GroupComparison:
        """Its runs compared by a config key; the arguments, and what is raised, are those of `compare_groups`."""
        if (by, metric) not in self._comparisons:
            self._comparisons[by, metric] = compare_groups(self.source, by, metric)
        return self._comparisons[by, metric]

    def group_by(self, by: str) -> Grouping:
        """Its runs by a config key, as in a comparison; made without one where runs have different objectives."""
        return self.compare_by(by).grouping if len(self.parts) == 1 else group_runs(self.source, by)

    @cached_property
    def sweep(self) -> SweepAnalysis:
        """What mattered, how flat the best setting is, what to try next."""
        return analyse_sweep(self.source, self.views, self.costs)

    @cached_property
    def costs(self) -> Ledger:
        """Seconds, tokens and the like, by the state of the trials."""
        return make_ledger(self.source)

    @cached_property
    def findings(self) -> FindingsByRun:
        """The findings on each run, and on trials without a run."""
        return diagnose_source(self.source)

    @cached_property
    def patterns(self) -> Sequence[Pattern]:
        """The settings in which findings occur more often than by chance."""
        return find_patterns(self.source, self.findings)

    def _compare_reward_models(self) -> GroupComparison | None:
        try:
            return self.compare_by(REWARD_MODEL)
        except AnalysisError:  # the study alone knows of reward models
            return None
