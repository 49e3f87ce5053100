"""What is wrong with runs: each finding with the update where it begins, its evidence, and what usually helps.

Silent on sound runs: how often it is not, test_health_false_alarms.py counts.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from analysis.health import answers as health_answers
from analysis.health import causes as health_causes
from analysis.health import hacking as health_hacking
from analysis.health import learning as health_learning
from analysis.health import optimizer as health_optimizer
from analysis.health import phrases as health_phrases
from analysis.health import policy as health_policy
from analysis.health import states as health_states
from analysis.health.signals import Finding
from analysis.records.runs import RunRecord, Source

Rule = Callable[[RunRecord], Finding | None]
# Run's name, or the number of a trial that has none -> what is wrong with it, the most severe first.
FindingsByRun = Mapping[str, Sequence[Finding]]

# Each rule and the kinds that it finds, the most severe first: the end of a run (every cause is a kind of its own),
# then faults of the answers, faults of the training, and losses of time.
_RULES: Mapping[Rule, Sequence[str]] = {
    health_states.check_end: (),
    health_policy.check_first_kl: (health_policy.FIRST_KL,),
    health_learning.check_constant_scores: (health_learning.CONSTANT_SCORES,),
    health_policy.check_kl_blow_up: (health_policy.KL_BLOW_UP,),
    health_hacking.check_reward_hacking: (health_hacking.HACKING,),
    health_policy.check_entropy_collapse: (health_policy.ENTROPY_COLLAPSE,),
    health_policy.check_entropy_rise: (health_policy.ENTROPY_RISE,),
    health_optimizer.check_update_size: (health_optimizer.UPDATES_TOO_LARGE,),
    health_answers.check_truncation: (health_answers.TRUNCATED,),
    health_policy.check_kl_budget: (health_policy.NEVER_WITHIN, health_policy.OVER_BUDGET),
    health_learning.check_learning: (health_learning.NO_LEARNING,),
    health_learning.check_flat_score: (health_learning.FLAT,),
    health_learning.check_score_fall: (health_learning.SCORE_FALLS,),
    health_answers.check_length: (health_answers.LENGTH,),
    health_answers.check_markers: (health_answers.MARKER,),
    health_phrases.check_phrases: (health_phrases.STOCK_PHRASE, health_phrases.ALIKE),
    health_hacking.check_held_out_score: (health_hacking.HELD_OUT_FALLS,),
    health_learning.check_gain: (health_learning.NO_GAIN,),
    health_policy.check_negative_kl: (health_policy.NEGATIVE_KL,),
    health_policy.check_kl_target: (health_policy.TARGET_MISSED,),
    health_optimizer.check_losses: (health_optimizer.LOSS_RUNS_AWAY,),
    health_optimizer.check_gradients: (health_optimizer.GRADIENTS_GROW,),
    health_optimizer.check_value_model: (health_optimizer.VALUE_MODEL,),
    health_optimizer.check_clipping: (health_optimizer.ALWAYS_CLIPS, health_optimizer.NEVER_CLIPS),
    health_states.check_memory: (health_states.MEMORY,),
}
_ORDER = [*health_causes.CAUSES, *(kind for kinds in _RULES.values() for kind in kinds)]
# A finding -> the kinds of findings that follow from it, which are left out then.
_EXPLAINS: Mapping[str, Sequence[str]] = {
    health_learning.CONSTANT_SCORES: (
        health_learning.NO_LEARNING,
        health_learning.FLAT,
        health_learning.NO_GAIN,
        health_optimizer.VALUE_MODEL,
        health_optimizer.NEVER_CLIPS,
    ),
    health_learning.NO_LEARNING: (
        health_learning.FLAT,
        health_optimizer.VALUE_MODEL,
        health_optimizer.NEVER_CLIPS,
    ),
    health_policy.KL_BLOW_UP: (
        health_policy.OVER_BUDGET,
        health_policy.TARGET_MISSED,
        health_learning.NO_GAIN,
        health_hacking.HELD_OUT_FALLS,
    ),
    health_learning.SCORE_FALLS: (health_learning.FLAT, health_hacking.HELD_OUT_FALLS),
    health_answers.TRUNCATED: (health_learning.NO_GAIN, health_learning.FLAT, health_optimizer.VALUE_MODEL),
    health_hacking.HACKING: (health_answers.MARKER,),
    health_optimizer.UPDATES_TOO_LARGE: (health_optimizer.ALWAYS_CLIPS, health_optimizer.NEVER_CLIPS),
}


def diagnose_run(run: RunRecord) -> list[Finding]:
    """What is wrong with a run: the setting to blame, if one is, then the most severe first.

    There is nothing for a sound run, and only how it ended for one without updates.
    """
    # A record from elsewhere may hold numbers that overflow; what is not finite is never a finding.
    with np.errstate(all="ignore"):
        all_findings = [finding for finding in (rule(run) for rule in _RULES) if finding is not None]
        explained = {kind for finding in all_findings for kind in _EXPLAINS.get(finding.kind, ())}
        findings = [finding for finding in all_findings if finding.kind not in explained]
        cause = health_causes.find_cause(run, [finding.kind for finding in findings])
    return findings if cause is None else health_causes.put_first(cause, findings)


def diagnose_source(source: Source) -> dict[str, list[Finding]]:
    """What is wrong with each run of a source, and with trials that ended before a run could write why."""
    by_run = {run.name: diagnose_run(run) for run in source.runs}
    for trial in source.trials:
        if trial.cause and not any(run.cause for run in trial.runs):
            lost = health_states.describe_failure(trial.cause, None, str(trial.message or ""))
            name = trial.runs[0].name if trial.runs else str(trial.number)
            by_run[name] = [lost, *by_run.get(name, [])]
    return by_run


def group_by_kind(by_run: FindingsByRun) -> dict[str, dict[str, Finding]]:
    """Kind -> run -> its finding, the most severe kinds first; how runs failed comes before all of them."""
    groups: dict[str, dict[str, Finding]] = {}
    for name, own_findings in by_run.items():
        for finding in own_findings:
            groups.setdefault(finding.kind, {})[name] = finding
    rank = {kind: place for place, kind in enumerate(_ORDER)}
    return dict(sorted(groups.items(), key=lambda item: (rank.get(item[0], -1), item[0])))
