"""What a sweep is to do: which settings, on which seeds, up to which limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.samplers import BaseSampler

from rlhf_sweeps.config.schema import TEST_SEEDS_AFTER, Config
from rlhf_sweeps.record import SweepPlan, override
from rlhf_sweeps.sweep.search.samplers import make_sampler
from rlhf_sweeps.sweep.search.search_space import SearchSpace
from rlhf_sweeps.sweep.settings import DEFAULT_TRIALS, SweeperConfig
from rlhf_sweeps.verdicts.objective import is_judged

MOST_CHOICES = 10_000  # settings of a search up to which each is tried once
FEWEST_COUNTED = 10  # finished trials, for the share that may fail


@dataclass(frozen=True)
class Plan:
    """The plan of one sweep.

    Attributes:
        config: of the first setting; holds what all share: objective, sweep, seed.
        directions: of the objectives.
        points: of a grid; None in a search.
        choices: all points of a search that has but so many; None where there are more, or it is a grid.
        reward_models: the names of those that are compared, and are then judges of each other; none where none are.
    """

    space: SearchSpace
    settings: SweeperConfig
    config: Config
    directions: list[str]
    points: list[dict[str, Any]] | None
    choices: list[dict[str, Any]] | None = None
    reward_models: Sequence[str] = ()

    @property
    def is_comparison(self) -> bool:
        """Whether reward models are compared."""
        return bool(self.reward_models)

    @property
    def has_own_scales(self) -> bool:
        """Whether each reward model has an objective of its own, by which no trial is the best of all."""
        return self.is_comparison and not is_judged(self.config.objective.metrics)

    @property
    def num_finalists(self) -> int:
        """How many settings are run on the test seeds at most."""
        return len(self.reward_models) if self.has_own_scales else self.config.sweep.num_tested

    @property
    def num_trials(self) -> int | None:
        """Trials in all; None: as many as the time allows."""
        if self.points is not None:
            return len(self.points)
        if self.settings.n_trials is None and self.config.sweep.budget_hours is not None:
            return None
        wanted = self.settings.n_trials or DEFAULT_TRIALS
        return wanted if self.choices is None else min(wanted, len(self.choices))

    @property
    def pruner(self) -> str:
        """The pruner's name."""
        if self.settings.pruner == "auto":
            # One reward model's scores say nothing about another's.
            return "asha" if self.points is None and not self.is_comparison else "none"
        return self.settings.pruner

    @property
    def seeds(self) -> list[int]:
        """A setting's value is the mean over these."""
        if self.space.seeds is not None:
            return list(self.space.seeds)
        return [self.config.seed + index for index in range(self.config.sweep.seeds)]

    @property
    def test_seeds(self) -> list[int]:
        """Seeds that no trial has seen."""
        first = self.config.seed + TEST_SEEDS_AFTER
        return [first + index for index in range(self.config.sweep.test_seeds)]

    def recorded(self, arguments: Sequence[str]) -> SweepPlan:
        """As the record has it, for all who look at the sweep.

        Args:
            arguments: words of the command line that goes on with it, but for the folder.
        """
        return SweepPlan(
            self.space.axes(),
            self.config.objective.metrics,
            self.directions,
            self.seeds,
            self.test_seeds,
            self.num_trials,
            num_tests=len(self.test_seeds) * self.num_finalists,
            num_workers=self.settings.wanted_workers or None,
            is_comparison=self.is_comparison,
            arguments=arguments,
        )

    def sampler(self, number: int) -> BaseSampler:
        """What suggests the trial of this number; raises as `make_sampler`."""
        settings = self.settings
        return make_sampler(settings.sampler, settings.sampler_args, settings.seed, number, len(self.directions))

    @property
    def pruned_by(self) -> int:
        """Which of the objectives trials are pruned by."""
        metrics = self.config.objective.metrics
        return 0 if self.settings.prune_on is None else metrics.index(self.settings.prune_on)

    @property
    def sign(self) -> int:
        """Makes the objective that trials are pruned by better where it is higher."""
        return 1 if self.directions[self.pruned_by] == "maximize" else -1

    def overrides(self, params: Mapping[str, Any], seed: int | None) -> list[str]:
        """Of one run; with a seed where that is not the setting's own."""
        settings = (f"{key}={text}" for key, text in self.space.settings(params).items())
        return [*self.fixed, *settings, *([] if seed is None else [f"seed={seed}"])]

    @property
    def fixed(self) -> list[str]:
        """The overrides that every run has, the sweeper's directions among them."""
        if self.directions == self.config.objective.directions:
            return self.space.fixed
        return [*self.space.fixed, override("objective.directions", self.directions)]

    def may_fail(self, num_failed: int, num_finished: int) -> bool:
        """Whether the sweep may go on after so many failures."""
        return num_failed <= self.settings.max_failure_rate * max(num_finished, FEWEST_COUNTED)
