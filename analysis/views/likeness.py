"""Why runs are not ranked together: their objectives, and the keys in which they differ."""

from typing import Any

from analysis.output.parts import Part, Sentences
from analysis.records.likeness import select_separating
from analysis.records.runs import Source
from analysis.wording.statements import format_count, join_words


def explain_apart(source: Source) -> list[str]:
    """The reasons why runs are ranked apart, or why scores have no common scale; after `since`; empty without any."""
    reasons = []
    objectives = dict.fromkeys(part.objective for part in source.apart)
    if len(objectives) > 1:
        counts = {each: sum(len(part.runs) for part in source.apart if part.objective == each) for each in objectives}
        several = [f"{objective.text} ({format_count(count, 'run')})" for objective, count in counts.items()]
        reasons.append(f"the runs have different objectives: {join_words(several)}")
    separating = select_separating(source.unlike)
    return reasons + [f"the runs are unlike: {each.text}" for each in source.unlike if each.key in separating]


def make_unlike_parts(source: Source) -> list[Part]:
    """A sentence for each key that keeps runs from being ranked together; nothing where all of them can be."""
    separating = select_separating(source.unlike)
    lines = [f"not ranked together: {reason}" for reason in explain_apart(source)]
    lines += [
        f"scores have no common scale, so that only judges can rank these runs: {each.text}"
        for each in source.unlike
        if each.key not in separating and each.key == "reward_model.name"
    ]
    return [Sentences(lines, tone="warn")] if lines else []


def list_unlike_keys(source: Source) -> list[dict[str, Any]]:
    """The keys in which runs differ that have to agree in them, with the runs of each value; for JSON."""
    return [
        {"key": each.key, "values": {value: list(names) for value, names in each.runs.items()}}
        for each in source.unlike
    ]
