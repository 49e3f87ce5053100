"""Findings as text for the terminal, grouped over the runs."""

from collections.abc import Mapping, Sequence

from analysis.health import answers as health_answers
from analysis.health import hacking as health_hacking
from analysis.health import learning as health_learning
from analysis.health import optimizer as health_optimizer
from analysis.health import policy as health_policy
from analysis.health import states as health_states
from analysis.health.patterns import Pattern
from analysis.health.signals import Finding
from analysis.records.runs import RunRecord, Source

_NAMES_SHOWN = 8
# The most severe first; how runs failed comes before all of them.
_ORDER = (
    health_learning.CONSTANT_SCORES,
    health_policy.KL_BLOW_UP,
    health_hacking.HACKING,
    health_policy.ENTROPY_COLLAPSE,
    health_policy.ENTROPY_RISE,
    health_optimizer.UPDATES_TOO_LARGE,
    health_answers.TRUNCATED,
    health_policy.NEVER_WITHIN,
    health_policy.OVER_BUDGET,
    health_learning.NO_LEARNING,
    health_learning.SCORE_FALLS,
    health_answers.LENGTH,
    health_answers.MARKER,
    health_hacking.HELD_OUT_FALLS,
    health_learning.NO_GAIN,
    health_policy.NEGATIVE_KL,
    health_policy.TARGET_MISSED,
    health_optimizer.LOSS_RUNS_AWAY,
    health_optimizer.GRADIENTS_GROW,
    health_optimizer.VALUE_MODEL,
    health_optimizer.ALWAYS_CLIPS,
    health_optimizer.NEVER_CLIPS,
    health_states.MEMORY,
)


def health_text(source: Source, found: Mapping[str, Sequence[Finding]], sound: Sequence[Pattern]) -> str:
    """All kinds of findings, each with the runs that have it, one of these in its own words, and what helps."""
    num_runs = len(found)
    if not num_runs:
        return "health: there are no runs"
    empty = [run.name for run in source.runs if not len(run.updates)]
    sick = sum(bool(one) for one in found.values())
    lines = [f"health of {_runs(num_runs)}: {f'{sick} with findings' if sick else 'nothing found'}"]
    if empty:
        lines.append(f"without any update, so little can be said of: {_names(empty)}")
    for kind, by_run in grouped(found).items():
        where = "" if num_runs == 1 else f" in {len(by_run)} of {_runs(num_runs)} ({_names(list(by_run))})"
        lines.append(f"{kind}{where}")
        name, finding = next(iter(by_run.items()))
        since = f"from update {finding.update}: " if finding.update is not None else ""
        lines.append(f"    {'' if num_runs == 1 else f'{name}: '}{since}{finding.text}")
        lines += [f"    pattern: {pattern.text}" for pattern in sound if pattern.kind == kind]
        lines.append(f"    helps: {finding.advice}")
    unread = _without_metrics(source.runs)
    return "\n".join([*lines, *unread])


def grouped(found: Mapping[str, Sequence[Finding]]) -> dict[str, dict[str, Finding]]:
    """Kind -> run -> its finding, the most severe kinds first."""
    groups: dict[str, dict[str, Finding]] = {}
    for name, one in found.items():
        for finding in one:
            groups.setdefault(finding.kind, {})[name] = finding
    rank = {kind: place for place, kind in enumerate(_ORDER)}
    return dict(sorted(groups.items(), key=lambda item: (rank.get(item[0], -1), item[0])))


def _names(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"


def _without_metrics(runs: Sequence[RunRecord]) -> list[str]:
    """What could not be looked at, because no run has recorded it."""
    wanted = {
        "KL": ("objective/kl",),
        "entropy": ("policy/entropy_avg", "objective/entropy"),
        "clipping": ("policy/clipfrac_avg",),
        "value model": ("val/explained_variance",),
        "truncation": ("objective/truncated_rate", "objective/eos_rate", "eval/eos_rate", "val/num_eos_tokens"),
    }
    known = {name for run in runs for name in run.metrics}
    missing = [what for what, names in wanted.items() if not known.intersection(names)]
    if not any(name.startswith("judge/") for name in known):
        missing.append("judges (eval.judges), without which reward hacking shows in length and surface markers only")
    has_updates = any(len(run.updates) for run in runs)
    return [f"not looked at, for it is not in the record: {', '.join(missing)}"] if missing and has_updates else []
