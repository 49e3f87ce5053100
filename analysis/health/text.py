"""Findings as text for the terminal, grouped over the runs."""

from collections.abc import Sequence

from analysis.health.findings import Found, grouped
from analysis.health.patterns import Pattern
from analysis.records.runs import RunRecord, Source

_NAMES_SHOWN = 8


def health_text(source: Source, found: Found, sound: Sequence[Pattern]) -> str:
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
