"""The plan of a sweep: its settings, seeds and limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.samplers import BaseSampler

from rlhf_sweeps.config.schema import TEST_SEEDS_AFTER, Config
from rlhf_sweeps.record import SweepPlan, write_override
from rlhf_sweeps.sweep.search.samplers import make_sampler
from rlhf_sweeps.sweep.search.search_space import SearchSpace
from rlhf_sweeps.sweep.settings import DEFAULT_TRIALS, SweeperConfig
from rlhf_sweeps.verdicts.objective import is_judged

MOST_CHOICES = 10_000  # a search with at most so many settings tries each once; chosen
FEWEST_COUNTED = 10  # the share of failures is taken of at least so many finished trials; chosen


@dataclass(frozen=True)
class Plan:
    """The plan of one sweep.

    Attributes:
        config: of the first setting; objective, sweep and seed are the same for all settings.
        directions: "maximize" or "minimize" for each objective.
        points: of a grid; None in a search.
        choices: all points of a search with at most MOST_CHOICES; None if there are more, or in a grid.
        reward_models: the names of the compared reward models, which judge each other; empty without a comparison.
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
        """Whether objectives of different reward models cannot be compared, so that no trial is the best of all."""
        return self.is_comparison and not is_judged(self.config.objective.metrics)

    @property
    def num_finalists(self) -> int:
        """The largest number of settings that are run on the test seeds."""
        return len(self.reward_models) if self.has_own_scales else self.config.sweep.num_tested

    @property
    def num_trials(self) -> int | None:
        """The number of trials; None: as many as the time allows."""
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
            # Scores of different reward models cannot be compared.
            return "asha" if self.points is None and not self.is_comparison else "none"
        return self.settings.pruner

    @property
    def seeds(self) -> list[int]:
        """The seeds over which a setting's objectives are averaged."""
        if self.space.seeds is not None:
            return list(self.space.seeds)
        return [self.config.seed + index for index in range(self.config.sweep.seeds)]

    @property
    def test_seeds(self) -> list[int]:
        """The test seeds, which no trial uses."""
        first = self.config.seed + TEST_SEEDS_AFTER
        return [first + index for index in range(self.config.sweep.test_seeds)]

    def recorded(self, arguments: Sequence[str]) -> SweepPlan:
        """The plan for the sweep's record.

        Args:
            arguments: words of the command line that continues the sweep, without the folder.
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
        """The sampler that suggests the trial of this number; raises as `make_sampler`."""
        settings = self.settings
        return make_sampler(settings.sampler, settings.sampler_args, settings.seed, number, len(self.directions))

    @property
    def pruned_by(self) -> int:
        """The index of the objective that the pruner uses."""
        metrics = self.config.objective.metrics
        return 0 if self.settings.prune_on is None else metrics.index(self.settings.prune_on)

    @property
    def sign(self) -> int:
        """1 if the pruner's objective is maximized, -1 if it is minimized."""
        return 1 if self.directions[self.pruned_by] == "maximize" else -1

    def overrides(self, params: Mapping[str, Any], seed: int | None) -> list[str]:
        """The overrides of a run.

        Args:
            params: the setting.
            seed: of the run; None if the setting itself contains it.
        """
        settings = (f"{key}={text}" for key, text in self.space.settings(params).items())
        return [*self.fixed, *settings, *([] if seed is None else [f"seed={seed}"])]

    @property
    def fixed(self) -> list[str]:
        """The overrides that all runs share, including the sweeper's directions."""
        if self.directions == self.config.objective.directions:
            return self.space.fixed
        return [*self.space.fixed, write_override("objective.directions", self.directions)]

    def may_fail(self, num_failed: int, num_finished: int) -> bool:
        """Whether the sweep may continue after so many failures."""
        return num_failed <= self.settings.max_failure_rate * max(num_finished, FEWEST_COUNTED)
