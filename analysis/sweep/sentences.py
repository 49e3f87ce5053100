"""A sweep in sentences: what it found, which keys matter, how flat the optimum is."""

from collections.abc import Sequence

from analysis.records.runs import Floats
from analysis.sweep.axes import tell_choices, tell_value, tell_values
from analysis.sweep.importance import Importance
from analysis.sweep.optimum import Optimum, Profile, problem
from analysis.sweep.settings import Setting, View
from analysis.sweep.thresholds import CHANCE
from analysis.wording.statements import Statement, counted, listed, number
from rlhf_sweeps.record import Axis
from rlhf_sweeps.verdicts.estimates import are_equal
from rlhf_sweeps.verdicts.noise import Noise


def best_statements(view: View, front: Sequence[Setting]) -> list[Statement]:
    """The best setting, or with several objectives those that none other beats in all."""
    if not view.settings:
        return [Statement("no trial is complete, so that nothing is best")]
    if not view.is_single:
        ends = ", ".join(
            f"{metric} {number(min(s.objectives[i] for s in front))} to {number(max(s.objectives[i] for s in front))}"
            for i, metric in enumerate(view.metrics)
            if front
        )
        text = f"{len(front)} of {len(view.settings)} settings are on the Pareto front: {ends}" if front else ""
        return [
            Statement(text or "no setting is known to keep all constraints", {"settings": float(len(view.settings))})
        ]
    best = view.best
    if best is None:
        return [Statement(f"none of {len(view.settings)} complete settings is known to keep all constraints")]
    value = float(best.objectives[0])
    which = f"trial {best.numbers[0]}, {shown_values(best, view)}"
    evidence = {"objective": value, "settings": float(len(view.settings))}
    if best.tested is None:
        return [Statement(f"best {view.metrics[0]} {number(value, 4)}: {which}", evidence)]
    told = f"{number(best.tested[0], 4)} on {counted(len(best.by_test), 'test seed')} (the number to report)"
    text = f"best {view.metrics[0]} {told}, chosen by {number(value, 4)}: {which}"
    return [Statement(text, {**evidence, "on test seeds": best.tested[0]})]


def shown_values(setting: Setting, view: View) -> str:
    """`ppo.lr=0.0005708, ppo.kl_coef=0.0136`."""
    values = setting.values
    found = [f"{axis.key}={view.shown(axis.key, values[axis.key])}" for axis in view.axes if axis.key in values]
    return ", ".join(found) or "nothing but the seed was swept"


def importance_statements(found: Importance) -> list[Statement]:
    """Which keys matter beyond chance, and which may not."""
    if found.problem:
        return [Statement(f"importance is not shown: {found.problem}", {"settings": float(found.num_settings)})]
    clear = [one for one in found.keys if one.is_clear]
    rest = [one.key for one in found.keys if not one.is_clear]
    if not clear:
        text = (
            f"importance is not shown: over {found.num_settings} settings no key by itself stands out from chance"
            f" (p > {CHANCE:g} for all by permutation)"
        )
        return [Statement(text, {f"p of {one.key}": one.p_value for one in found.keys})]
    statements = []
    for one in clear:
        share = one.fanova or one.ped_anova
        text = f"{one.key} matters"
        evidence = {"p value": one.p_value}
        if share is not None:
            method = "fANOVA" if one.fanova else "PED-ANOVA"
            text += f": {_percent(share.value)} % by {method} ({_percent(share.low)} to {_percent(share.high)}"
            text += " over resampled settings)"
            evidence |= {"share": share.value, "lowest share": share.low, "highest share": share.high}
        statements.append(Statement(text, evidence))
    if rest:
        p_values = {f"p of {one.key}": one.p_value for one in found.keys if not one.is_clear}
        verb = "does" if len(rest) == 1 else "do"
        statements.append(Statement(f"{listed(rest)} {verb} not stand out from chance", p_values))
    return statements


def flatness_statements(view: View, found: Optimum | None) -> list[Statement]:
    """Over which part of each axis the objective stays within noise of the best."""
    if not view.is_single:
        return []
    if found is None:
        return _why_not(view)
    noise = found.noise
    anchor = f"trial {found.anchor.numbers[0]}"
    text = f"noise of one run: {number(noise.deviation)}, from {noise_source(noise)}"
    text += f"; along each key the others are as in {anchor}, the best by the fit"
    evidence = {"noise": noise.deviation, "degrees of freedom": noise.freedom, "explained": found.explained}
    evidence["repetitions"] = float(noise.repetitions)
    return [Statement(text, evidence), *map(_flatness, found.profiles)]


def noise_source(noise: Noise) -> str:
    """What tells the noise, as in `from ...`."""
    parts = [f"{counted(noise.repetitions, 'repetition')} on other seeds"] if noise.repetitions else []
    return " and ".join([*parts, *(["the scatter about a smooth fit"] if noise.is_fitted else [])])


def _why_not(view: View) -> list[Statement]:
    num = sum(setting.is_feasible for setting in view.settings)
    if not view.axes or not num:
        return []
    reason = problem(view, num, num + len(view.pruned))
    if reason is None and are_equal(view.gains()):
        reason = "all settings are worth the same"
    reason = reason or "no key stands out from chance, so that a fit would be one of noise"
    return [Statement(f"how flat the optimum is cannot be said: {reason}", {"settings": float(num)})]


def _flatness(profile: Profile) -> Statement:
    axis = profile.axis
    evidence = {"least probability of being within noise": float(profile.within.min())}
    if profile.is_flat:
        where = (
            f"from {' to '.join(tell_values(axis, [0, 1]))}"
            if axis.is_numeric
            else f"for all of {', '.join(axis.choices)}"
        )
        return Statement(f"{axis.key}: the objective stays within noise of the best {where}", evidence)
    likely, possible = profile.likely, profile.possible
    evidence["p by permutation"] = profile.p_value
    if profile.is_unknown:
        return Statement(f"{axis.key}: the data rule out no value, and do not show it to be flat either", evidence)
    if axis.choices:
        good = tell_values(axis, likely.tolist())
        bad = [tell_choices(axis)[i] for i in range(len(axis.choices)) if profile.within[i] < 0.1]
        text = f"{axis.key}: the objective stays within noise of the best for {', '.join(good) or 'none surely'}"
        return Statement(
            text + (f"; {', '.join(bad)} {'is' if len(bad) == 1 else 'are'} worse" if bad else ""), evidence
        )
    evidence |= {"from": axis.value(float(likely[0])), "to": axis.value(float(likely[-1]))} if len(likely) else {}
    text = f"{axis.key}: the objective stays within noise of the best {_between(axis, likely)}{_worse(axis, possible)}"
    return Statement(text, evidence)


def _between(axis: Axis, places: Floats) -> str:
    if len(places) == 0:
        return "nowhere surely"
    low, high = tell_values(axis, [float(places[0]), float(places[-1])])
    return f"at {low}" if low == high else f"between {low} and {high}"


def _worse(axis: Axis, possible: Floats) -> str:
    """What the data rule out."""
    first, last = (float(possible[0]), float(possible[-1])) if len(possible) else (0.0, 1.0)
    parts = [f"below {tell_value(axis, first)}"] if first > 0 else []
    parts += [f"above {tell_value(axis, last)}"] if last < 1 else []
    return f"; {' and '.join(parts)} it is worse" if parts else "; no end can be ruled out"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"
