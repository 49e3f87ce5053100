"""Causes: the setting to blame for what went wrong in a run, each with evidence in the metrics.

An unusual value of a key alone is no cause: the run must be sick as well, in the way in which that key makes runs sick.
"""

from collections.abc import Callable, Collection, Sequence

from analysis.health import answers, drift_causes, learning, optimizer, phrases, standstill_causes, value_causes
from analysis.health.signals import Finding
from analysis.health.states import MEMORY
from analysis.records.runs import RunRecord

# A rule takes a run and the kinds of its other findings.
CauseRule = Callable[[RunRecord, Collection[str]], Finding | None]

# Each rule and its kind, the most specific first: only the first cause of a run is named.
_RULES: dict[str, CauseRule] = {
    value_causes.VALUE_LOSS: value_causes.check_value_loss,
    value_causes.VALUE_STEPS: value_causes.check_value_steps,
    drift_causes.WIDE_CLIP: drift_causes.check_clip_range,
    drift_causes.MANY_EPOCHS: drift_causes.check_epochs,
    drift_causes.HIGH_LR: drift_causes.check_high_lr,
    drift_causes.MANY_MINIBATCHES: drift_causes.check_minibatches,
    drift_causes.NO_DECAY: drift_causes.check_schedule,
    drift_causes.ENTROPY_BONUS: drift_causes.check_entropy_bonus,
    drift_causes.HOT: drift_causes.check_high_temperature,
    standstill_causes.STRONG_PENALTY: standstill_causes.check_strong_penalty,
    standstill_causes.LOW_LR: standstill_causes.check_low_lr,
    standstill_causes.NO_STEPS: standstill_causes.check_steps,
    standstill_causes.SHORT_DISCOUNT: standstill_causes.check_discount,
    standstill_causes.LOW_GAE_LAMBDA: standstill_causes.check_lambda,
    standstill_causes.COLD: standstill_causes.check_low_temperature,
    value_causes.VALUE_STILL: value_causes.check_still_value,
    drift_causes.VAIN_PENALTY: drift_causes.check_vain_penalty,
    drift_causes.WEAK_PENALTY: drift_causes.check_weak_penalty,
    standstill_causes.SMALL_BATCH: standstill_causes.check_batch,
}
CAUSES = tuple(_RULES)
# Findings on what the policy writes and on its speed, which no setting of the optimizer has to explain.
_NO_SIGNS = {phrases.STOCK_PHRASE, phrases.ALIKE, answers.MARKER, answers.LENGTH, MEMORY}
# What a cause that was named has said already.
_SAID = {learning.FLAT, learning.NO_LEARNING, optimizer.NEVER_CLIPS}


def find_cause(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """The setting to blame; None where no setting is unusual enough, or nothing is wrong.

    Args:
        kinds: of the run's other findings.
    """
    signs = [kind for kind in kinds if kind not in _NO_SIGNS]
    return next((cause for rule in _RULES.values() if (cause := rule(run, signs)) is not None), None)


def put_first(cause: Finding, findings: Sequence[Finding]) -> list[Finding]:
    """The cause, then the findings that it does not repeat; the end of a failed run stays before it."""
    ends = [finding for finding in findings if finding.kind.startswith("failed")]
    others = [finding for finding in findings if finding not in ends and finding.kind not in _SAID]
    return [*ends, cause, *others]
