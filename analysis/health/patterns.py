"""Where in the search space a finding occurs: only beyond some value of a key, or only with one of its values."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import comb

from analysis.health.signals import Finding
from analysis.health.thresholds import PATTERN_LEVEL
from analysis.records.runs import RunRecord, Source, convert_number
from analysis.wording.labels import label_values, make_identity
from rlhf_sweeps.figures import compare_p_value, format_number


@dataclass(frozen=True)
class Pattern:
    """A finding that occurs in one part of an axis alone.

    Attributes:
        kind: of the finding.
        key: the axis.
        text: a sentence without a full stop.
        p_value: probability that chance alone separates settings as cleanly, corrected for all axes and findings.
    """

    kind: str
    key: str
    text: str
    p_value: float


def find_patterns(source: Source, by_run: Mapping[str, Sequence[Finding]]) -> list[Pattern]:
    """For each kind of finding the clearest axis, where one part of it is free of that finding by more than chance.

    The unit is a setting, which has a finding if at least half of its seeds do. The test is exact: were the k settings
    with the finding drawn at random from all n, the chance that none is among the r on one side is
    C(n - r, k) / C(n, k). It is doubled for two sides (or multiplied by the number of values), multiplied by the number
    of axes and of findings (Bonferroni), and the pattern is shown at 0.05 or below.
    """
    axes = source.axes
    units = _group_by_setting(source.runs, axes)
    kinds = dict.fromkeys(finding.kind for own_findings in by_run.values() for finding in own_findings)
    clearest = []
    for kind in kinds:
        have = {name for name, own_findings in by_run.items() if any(finding.kind == kind for finding in own_findings)}
        is_sick = [2 * sum(run.name in have for run in unit) >= len(unit) for unit in units]
        looks = len(axes) * len(kinds)
        candidates = [
            pattern for key in axes if (pattern := _find_pattern(kind, key, units, is_sick, looks)) is not None
        ]
        if candidates:
            clearest.append(min(candidates, key=lambda pattern: pattern.p_value))
    return clearest


def _group_by_setting(runs: Sequence[RunRecord], axes: Sequence[str]) -> list[list[RunRecord]]:
    units: dict[Hashable, list[RunRecord]] = {}
    for run in runs:
        units.setdefault(make_identity([run.look_up(key) for key in axes]), []).append(run)
    return list(units.values())


def _find_pattern(
    kind: str, key: str, units: Sequence[Sequence[RunRecord]], is_sick: Sequence[bool], num_looks: int
) -> Pattern | None:
    values = [unit[0].look_up(key) for unit in units]
    sick = [value for value, flag in zip(values, is_sick, strict=True) if flag]
    if len(sick) in (0, len(values)):
        return None
    if all(convert_number(value) is not None for value in values):
        free, where = _find_free_side(key, values, sick)
        sides = 2
    else:
        names = label_values(values)
        only = {name for name, flag in zip(names, is_sick, strict=True) if flag}
        if len(only) > 1:
            return None
        (name,) = only
        free, where, sides = len(names) - names.count(name), f"only with {key}={name}", len(set(names))
    p_value = min(1.0, sides * num_looks * comb(len(values) - free, len(sick)) / comb(len(values), len(sick)))
    if p_value > PATTERN_LEVEL:
        return None
    num_inside = len(values) - free
    text = (
        f"{where}: {len(sick)} of {num_inside} settings there have it, and none of the {free} others "
        f"({compare_p_value(p_value)})"
    )
    return Pattern(kind, key, text, p_value)


def _find_free_side(key: str, values: Sequence[float], sick: Sequence[float]) -> tuple[int, str]:
    """How many settings are on the free side, the larger of the two, and the words for the other one."""
    below, above = sum(value < min(sick) for value in values), sum(value > max(sick) for value in values)
    if below >= above:
        return below, f"only where {key} >= {format_number(min(sick))}"
    return above, f"only where {key} <= {format_number(max(sick))}"
