"""A sweep in sentences: the best setting, which keys matter, how wide the optimum is."""

from collections.abc import Sequence

from analysis.records.runs import Floats
from analysis.sweep.analysis import ViewAnalysis
from analysis.sweep.axes import label_choices, label_position, label_positions
from analysis.sweep.importance import Importance, KeyImportance
from analysis.sweep.margin import Lead
from analysis.sweep.optimum import Optimum, Profile, explain_too_few
from analysis.sweep.settings import Setting, View
from analysis.sweep.thresholds import POSSIBLE
from analysis.wording.statements import Statement, format_count, join_words
from rlhf_sweeps.figures import format_number, format_percent, format_share
from rlhf_sweeps.record import Axis
from rlhf_sweeps.verdicts.error_rate import DECIDED, SIGNIFICANCE_LEVEL, UNDECIDED
from rlhf_sweeps.verdicts.estimates import are_equal
from rlhf_sweeps.verdicts.left_out_seeds import LeftOut, is_test_mean_to_report, write_left_out
from rlhf_sweeps.verdicts.noise import Noise


def write_view_statements(analysis: ViewAnalysis) -> list[Statement]:
    """The best setting, importance, how wide the optimum is, failures, in this order."""
    view = analysis.view
    statements = write_best_statements(view, analysis.front, analysis.lead, analysis.left_out)
    for importance in analysis.importances:
        prefix = "" if view.is_single else f"{importance.name}: "
        statements += [Statement(prefix + each.text, each.evidence) for each in write_importance_statements(importance)]
    return [*statements, *write_flatness_statements(view, analysis.optimum), *analysis.failures]


def write_best_statements(
    view: View, front: Sequence[Setting], lead: Lead | None, left_out: LeftOut | None = None
) -> list[Statement]:
    """The setting that leads, and the figure to report; with several objectives the range of each on the front.

    Args:
        left_out: this figure; None where it is unknown.
    """
    num = len(view.settings)
    if not num:
        return [Statement("no trial is complete, so there is no best setting")]
    if not view.is_single:
        return [_write_front_statement(view, front)]
    best = view.best
    if best is None:
        return [Statement(f"none of {num} complete settings is known to keep all constraints")]
    value = float(best.objectives[0])
    evidence = {"objective": value, "settings": float(num)}
    if best.tested is None:
        worth = format_number(value)
    else:
        worth = f"{format_number(best.tested[0])} on {format_count(len(best.by_test), 'test seed')}"
        num_tested = sum(setting.tested is not None for setting in view.ranked)
        worth += " (the number to report)" if is_test_mean_to_report(num_tested, len(view.directions)) else ""
        worth += f", chosen by {format_number(value)}"
        evidence["on test seeds"] = best.tested[0]
    standing = "" if lead is None else f" ({DECIDED if lead.is_decided else UNDECIDED})"
    title = f"best {view.names[0]}" if lead is None or lead.is_decided else f"leading {view.names[0]}"
    text = f"{title} {worth}{standing}: trial {best.numbers[0]}, {write_settings(best, view)}"
    reported = [] if left_out is None else [Statement(write_left_out(left_out, view.names[0]), {"mean": left_out.mean})]
    return [Statement(text, evidence), *reported]


def _write_front_statement(view: View, front: Sequence[Setting]) -> Statement:
    num = len(view.settings)
    if not front:
        return Statement("no setting is known to keep all constraints", {"settings": float(num)})
    values = [[setting.objectives[place] for setting in front] for place in range(len(view.metrics))]
    ranges = [
        f"{metric} {format_number(min(column))} to {format_number(max(column))}"
        for metric, column in zip(view.metrics, values, strict=True)
    ]
    text = f"{len(front)} of {num} settings are on the Pareto front: {', '.join(ranges)}"
    return Statement(text, {"settings": float(num)})


def write_settings(setting: Setting, view: View) -> str:
    """`ppo.lr=0.0005708, ppo.kl_coef=0.0136`."""
    values = setting.values
    texts = [f"{axis.key}={view.label_value(axis.key, values[axis.key])}" for axis in view.axes if axis.key in values]
    return ", ".join(texts) or "only the seed was swept"


def write_importance_statements(importance: Importance) -> list[Statement]:
    """Which keys matter more than chance explains, and which may not."""
    num = importance.num_settings
    if importance.problem:
        return [Statement(f"importance is not shown: {importance.problem}", {"settings": float(num)})]
    clear = [key for key in importance.keys if key.is_clear]
    unclear = [key for key in importance.keys if not key.is_clear]
    p_values = {f"p of {key.key}": key.p_value for key in unclear}
    if not clear:
        text = (
            f"importance is not shown: over {num} settings no key by itself stands out from chance"
            f" (p > {SIGNIFICANCE_LEVEL:g} for all by permutation)"
        )
        return [Statement(text, p_values)]
    statements = [_write_key_statement(key) for key in clear]
    if unclear:
        verb = "does" if len(unclear) == 1 else "do"
        text = f"{join_words([key.key for key in unclear])} {verb} not stand out from chance"
        statements.append(Statement(text, p_values))
    return statements


def _write_key_statement(key: KeyImportance) -> Statement:
    share = key.fanova or key.ped_anova
    if share is None:
        return Statement(f"{key.key} matters", {"p value": key.p_value})
    method = "fANOVA" if key.fanova else "PED-ANOVA"
    shares = f"{format_percent(share.low)} to {format_percent(share.high)} over resampled settings"
    text = f"{key.key} matters: {format_share(share.value)} by {method} ({shares})"
    evidence = {"p value": key.p_value, "share": share.value, "lowest share": share.low, "highest share": share.high}
    return Statement(text, evidence)


def write_flatness_statements(view: View, optimum: Optimum | None) -> list[Statement]:
    """Over which part of each axis the objective stays within noise of the best."""
    if not view.is_single:
        return []
    if optimum is None:
        return _explain_unknown_width(view)
    noise = optimum.noise
    text = (
        f"noise of one run: {format_number(noise.deviation)} (standard deviation), from {name_noise_source(noise)}; "
        f"below, each key is varied alone from trial {optimum.anchor.numbers[0]}, the best setting by the fit"
    )
    evidence = {"noise": noise.deviation, "degrees of freedom": noise.freedom, "explained": optimum.explained}
    evidence["repetitions"] = float(noise.repetitions)
    return [Statement(text, evidence), *map(_write_width_statement, optimum.profiles)]


def name_noise_source(noise: Noise) -> str:
    """What the noise was estimated from, as in `from ...`."""
    parts = [f"{format_count(noise.repetitions, 'repetition')} on other seeds"] if noise.repetitions else []
    return " and ".join([*parts, *(["the scatter about a smooth fit"] if noise.is_fitted else [])])


def _explain_unknown_width(view: View) -> list[Statement]:
    num = sum(setting.is_feasible for setting in view.settings)
    if not view.axes or not num:
        return []
    reason = explain_too_few(view, num, num + len(view.pruned))
    if reason is None and are_equal(view.compute_gains()):
        reason = "all settings have the same objective"
    reason = reason or "no key stands out from chance, so a surface would be fitted to noise"
    return [Statement(f"the width of the optimum cannot be estimated: {reason}", {"settings": float(num)})]


def _write_width_statement(profile: Profile) -> Statement:
    axis = profile.axis
    evidence = {"least probability of being within noise": float(profile.within.min())}
    start = f"{axis.key}: the objective stays within noise of the best"
    if profile.is_flat:
        ends = " to ".join(label_positions(axis, [0, 1]))
        everywhere = f"from {ends}" if axis.is_numeric else f"for all of {', '.join(axis.choices)}"
        return Statement(f"{start} {everywhere}", evidence)
    evidence["p by permutation"] = profile.p_value
    if profile.is_unknown or not profile.is_clear:
        text = f"{axis.key}: the data exclude no value, but do not show that all values are equally good"
        return Statement(text, evidence)
    likely = profile.likely
    if axis.choices:
        good = label_positions(axis, likely.tolist())
        names = label_choices(axis)
        bad = [name for name, within in zip(names, profile.within, strict=True) if within < POSSIBLE]
        worse = f"; {', '.join(bad)} {'is' if len(bad) == 1 else 'are'} worse" if bad else ""
        return Statement(f"{start} for {', '.join(good) or 'no choice with certainty'}{worse}", evidence)
    if len(likely):
        evidence |= {"from": axis.value(float(likely[0])), "to": axis.value(float(likely[-1]))}
    return Statement(f"{start} {_write_range(axis, likely)}{_write_worse_ends(axis, profile.possible)}", evidence)


def _write_range(axis: Axis, positions: Floats) -> str:
    if len(positions) == 0:
        return "in no range with certainty"
    low, high = label_positions(axis, [float(positions[0]), float(positions[-1])])
    return f"at {low}" if low == high else f"between {low} and {high}"


def _write_worse_ends(axis: Axis, possible: Floats) -> str:
    """The ends of an axis that the data exclude."""
    first, last = (float(possible[0]), float(possible[-1])) if len(possible) else (0.0, 1.0)
    parts = [f"below {label_position(axis, first)}"] if first > 0 else []
    parts += [f"above {label_position(axis, last)}"] if last < 1 else []
    return f"; {' and '.join(parts)} it is worse" if parts else "; neither end of the axis can be excluded"
