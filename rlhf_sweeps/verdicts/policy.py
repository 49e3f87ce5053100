"""How far a policy is from its reference, and how varied its answers still are: one threshold for each word.

Every state has to last: it holds in 60 % of a whole window (a tenth of the updates, 3 to 50), and then either at the
end or in a quarter of all updates (`Series.where`). The thresholds were set on runs of the embedded model (see
tests/helpers/health_records/README.md): sound runs ended at 0.02 to 0.8 nats a token, runs that wrote nonsense at 1.7
to 14.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from rlhf_sweeps.verdicts.series import Flags, Series, measure_gain

UNDER_CONTROL, CLOSE, OVER_BUDGET = "under control", "close to the budget", "over the budget"
BLOW_UP, NEGATIVE, COLLAPSE, RISE = "blow-up", "negative", "collapse", "rise"
# Evidence, in nats, of a run without an evaluation within the budget.
LOWEST_KL, LOWEST_BOUND = "lowest KL", "lowest upper bound"

USUAL_BUDGET = 15.0  # nats of a whole response; suggested_kl_budget of all models in conf/model but the embedded one
NEAR_BUDGET = 0.8  # of the budget; above it a run is close to the budget
TIMES_BUDGET = 2.0  # budgets; above them the KL blows up
NATS_PER_TOKEN = 1.0  # above it the KL blows up
NATS, NATS_OF_ANY = 100.0, 50.0  # of a whole response: of any length; of unknown length, without a budget
TIMES_BEFORE, LEAST = 10.0, 0.2  # times its earlier level, and nats of a token or of a response
BELOW_ZERO, ERRORS_BELOW_ZERO = 0.1, 5.0  # nats, and standard errors of the level
ENTROPY_LEFT = 0.25  # of the entropy at the start; sound runs keep 0.77 of it, the published run 0.35
SUM_LEFT = 0.5  # of ENTROPY_LEFT, where the entropy is that of whole responses, whose length may fall, too; chosen
ENTROPY_RISEN = 2.5  # times the entropy at the start

_NOTHING = Series(np.empty(0), np.empty(0))


@dataclass(frozen=True)
class Onset:
    """The beginning of a state.

    Attributes:
        update: the first update in that state.
        limit: the value that the metric passes there, in the metric's unit.
        why: a description of the limit, such as `1 nat per token`; empty where the state's word says enough.
        evidence: name -> number.
    """

    update: int
    limit: float
    why: str = ""
    evidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Divergence:
    """The KL of one run, and the words that it gets.

    Attributes:
        kl: in training, nats of a whole response.
        evaluations: the KL of the held-out responses.
        bounds: its upper bound, at the updates of `evaluations`.
        budget: evaluations with a bound above it do not count; None where there is no budget, or it is unknown.
        is_budget_unknown: whether the record names no budget; the usual one is then used.
        length: tokens of a response, as median over the updates; None where it is unknown.
        scores: mean scores of the reward model, at the updates of `kl`.
    """

    kl: Series
    evaluations: Series = _NOTHING
    bounds: Series = _NOTHING
    budget: float | None = None
    is_budget_unknown: bool = False
    length: float | None = None
    scores: Series = _NOTHING

    @property
    def measure(self) -> float | None:
        """The budget that the KL is compared with; None where the run has none."""
        if self.is_budget_unknown:
            return USUAL_BUDGET
        return self.budget if self.budget is not None and self.budget > 0 else None

    @property
    def word(self) -> str | None:
        """The most severe word that is true; None without a KL, or if nothing is wrong and there is no budget."""
        if not len(self.kl) and not len(self.evaluations):
            return None
        if self.blow_up:
            return BLOW_UP
        if self.negative:
            return NEGATIVE
        if self.over_budget or self.lost_evaluations:
            return OVER_BUDGET
        if self.measure is None or not len(self.kl):
            return None
        return CLOSE if self.kl.end > NEAR_BUDGET * self.measure else UNDER_CONTROL

    @cached_property
    def blow_up(self) -> Onset | None:
        """The KL leaves the range in which answers stay language: twice the budget, or one nat per token.

        Independent of the KL's unit (it may be a mean over tokens): ten times its earlier level, without a gain in
        score. If the record names a budget, a KL within it is no blow-up.
        """
        limit, why = self._find_limit()
        update = self.kl.where(self.kl.values > limit)
        if update is None:
            return self._find_runaway()
        evidence = {"limit": limit, "KL at the end": self.kl.ending.mean, "largest KL": float(self.kl.values.max())}
        return Onset(update, limit, why, evidence)

    def _find_limit(self) -> tuple[float, str]:
        limits = [(NATS, "more than is usual for any response")]
        if self.length is not None:
            limits.append((NATS_PER_TOKEN * max(1.0, self.length), "1 nat per token"))
        if self.budget and self.budget > 0:
            limits.append((TIMES_BUDGET * self.budget, f"{TIMES_BUDGET:g} times objective.kl_budget"))
        return min(limits) if len(limits) > 1 else (NATS_OF_ANY, "more than is usual for a response")

    def _find_runaway(self) -> Onset | None:
        kl, scores = self.kl, self.scores
        is_within = self.budget is not None and kl.end <= self.budget
        if len(kl) < 20 or len(scores) != len(kl) or is_within:
            return None
        for share in (0.3, 0.5, 0.7):
            begin, end = int(len(kl) * (share - 0.15)), int(len(kl) * share)
            level = float(np.median(kl.values[begin:end]))
            if not (level > 0 and kl.end > max(TIMES_BEFORE * level, LEAST)):
                continue
            update = kl.where(kl.values > TIMES_BEFORE * level)
            late = measure_gain(Series(scores.updates[begin:], scores.values[begin:]))
            if update is None or late.size > 0:
                continue
            evidence = {"KL before": level, "KL at the end": kl.ending.mean, "gain in score since": late.size}
            return Onset(update, TIMES_BEFORE * level, f"{TIMES_BEFORE:g} times what it was", evidence)
        return None

    @cached_property
    def negative(self) -> Onset | None:
        """A true KL is never negative; an estimate that stays negative is of another distribution than was sampled."""
        kl = self.kl
        is_below = kl.values < -BELOW_ZERO
        if len(kl) < 5 or not is_below.any():
            return None
        width = min(len(kl), 3 * kl.window)
        level, noise = float(kl.values[-width:].mean()), max(kl.noise, float(kl.values[-width:].std()))
        update = kl.where(is_below)
        if update is None or level > -BELOW_ZERO or level > -ERRORS_BELOW_ZERO * noise / math.sqrt(width):
            return None
        return Onset(update, -BELOW_ZERO, evidence={"mean KL at the end": level, "noise": noise})

    @cached_property
    def over_budget(self) -> Onset | None:
        """The KL in training stays above the budget."""
        if self.measure is None:
            return None
        update = _find_begin(self.kl, self.kl.values > self.measure)
        return None if update is None else Onset(update, self.measure)

    @cached_property
    def lost_evaluations(self) -> Onset | None:
        """All evaluations are above the budget, or all since the middle of the run; such evaluations do not count.

        The limit is the budget; the update is that of the first evaluation after which none counts any more.
        """
        kl, bounds = self.evaluations, self.bounds
        if self.budget is None or not len(bounds):
            return None
        is_over = bounds.values > self.budget
        evidence = {"KL at the last evaluation": float(kl.values[-1]), "budget": self.budget}
        if is_over.all():
            evidence[LOWEST_KL] = float(kl.values.min())
            if evidence[LOWEST_KL] <= self.budget:  # then only the bound says why it is not within the budget
                evidence[LOWEST_BOUND] = float(bounds.values.min())
            return Onset(int(kl.updates[0]), self.budget, evidence=evidence)
        last = int(np.flatnonzero(~is_over)[-1])
        if len(kl) < 4 or last + 1 > len(kl) / 2:
            return None
        return Onset(int(kl.updates[last + 1]), self.budget, evidence=evidence)


def _find_begin(values: Series, flags: Flags) -> int | None:
    """The first update of a state that lasts; for fewer values than a window, the first update in that state."""
    if len(values) < values.window:
        return int(values.updates[np.argmax(flags)]) if flags.any() else None
    return values.where(flags)


def find_entropy_collapse(entropy: Series, is_sum: bool = False) -> Onset | None:
    """The policy has less than a quarter of the entropy that it began with: it hardly varies its answers.

    Args:
        entropy: of a token.
        is_sum: whether it is the entropy of whole responses of unknown length. This falls with their length, too; it is
            assumed that the length at most halves it.
    """
    if len(entropy) < 5 or not entropy.start > 0:
        return None
    limit = ENTROPY_LEFT * entropy.start * (SUM_LEFT if is_sum else 1.0)
    update = entropy.where(entropy.values < limit)
    evidence = {"at the start": entropy.start, "at the end": entropy.ending.mean}
    return None if update is None else Onset(update, limit, evidence=evidence)


def find_entropy_rise(entropy: Series) -> Onset | None:
    """The policy gets less and less sure of its next token, as policies that write nonsense do.

    Args:
        entropy: of a token.
    """
    if len(entropy) < 5 or not entropy.start > 0:
        return None
    limit = ENTROPY_RISEN * entropy.start
    update = entropy.where(entropy.values > limit)
    if update is None or entropy.end < limit:
        return None
    return Onset(update, limit, evidence={"at the start": entropy.start, "at the end": entropy.ending.mean})
