"""What to try next, each step with what speaks for it and, where there is one, the override to type."""

import math

import numpy as np

from analysis.records import COMPLETE, Source
from analysis.statements import Statement, number
from analysis.sweep.edges import Edge, edges, override_text
from analysis.sweep.ledger import Ledger
from analysis.sweep.optimum import Optimum, Profile
from analysis.sweep.settings import Setting, View, noise

_SURE = 0.95
_NARROW = 0.5  # of an axis: what is left of it is worth searching on its own
_GAP = 0.25  # of an axis
_MAX_SEEDS = 10


def next_steps(source: Source, view: View, found: Optimum | None, costs: Ledger) -> list[Statement]:
    """Suggestions for a view with one objective, the most useful first; empty where the data speak for none."""
    if not view.is_single or view.best is None:
        return []
    won = edges(view, found)
    steps = [_edge_step(edge) for edge in won]
    widened = {edge.axis.key for edge in won}
    if found is not None:
        for profile in found.profiles:
            if profile.axis.key not in widened:
                steps += _profile_steps(view, found, profile)
    return [*steps, *_seed_steps(view, found), *_budget_steps(source, view, found, costs)]


def _edge_step(edge: Edge) -> Statement:
    what = "list" if edge.axis.choices else "interval"
    side = "upper" if edge.is_high else "lower"
    value = edge.axis.label(edge.axis.position(edge.value))
    text = f"best {edge.axis.key} {value} lies at the {side} end of its {what}, and the objective still rises there"
    text += f": try {edge.override}" if edge.override else "; it can go no further"
    return Statement(text, {"probability that it rises": edge.probability, "rise of the objective": edge.rise})


def _profile_steps(view: View, found: Optimum, profile: Profile) -> list[Statement]:
    axis = profile.axis
    evidence = {"noise": found.noise, "least probability of being within noise": float(profile.within.min())}
    if profile.is_flat and not profile.is_clear:
        value = found.anchor.values.get(axis.key)
        text = f"{axis.key} does not matter here: leave it out of the next search"
        return [Statement(text + (f", with {axis.key}={_short(value)}" if value is not None else ""), evidence)]
    if not profile.is_clear:
        return []
    if not axis.is_numeric:
        top = int(profile.is_highest.argmax())
        share = float(profile.is_highest[top])
        if share < _SURE:
            return []
        text = f"{axis.key}={axis.choices[top]} is the best choice: keep it in the next search"
        return [Statement(text, {"probability": share})]
    return _gap_steps(view, profile) or _narrow_steps(profile)


def _narrow_steps(profile: Profile) -> list[Statement]:
    axis, possible = profile.axis, profile.possible
    width = float(possible[-1] - possible[0])
    if not axis.is_interval or width > _NARROW or width <= 0:
        return []
    low, high = axis.value(float(possible[0])), axis.value(float(possible[-1]))
    text = f"nothing outside of {axis.label(possible[0])} to {axis.label(possible[-1])} comes near the best {axis.key}"
    return [Statement(f"{text}: narrow it to {override_text(axis, low, high)}", {"share of the axis": width})]


def _gap_steps(view: View, profile: Profile) -> list[Statement]:
    """The widest part of an interval that no setting lies in, where the best may lie."""
    axis = profile.axis
    if not axis.is_interval:
        return []
    tried = [setting.values for setting in (*view.settings, *view.pruned)]
    places = np.array([axis.position(values.get(axis.key)) for values in tried])
    places = np.unique(np.clip(places[np.isfinite(places)], 0, 1))
    bounds = np.concatenate([[0.0], places, [1.0]])
    widest = int(np.diff(bounds).argmax())
    low, high = float(bounds[widest]), float(bounds[widest + 1])
    inside = (profile.positions > low) & (profile.positions < high)
    if high - low < _GAP or not inside.any() or profile.within[inside].max() < 0.5:
        return []
    override = override_text(axis, axis.value(low), axis.value(high))
    text = f"no trial has {axis.key} between {axis.label(low)} and {axis.label(high)}, where the best may lie"
    return [Statement(f"{text}: try {override}", {"share of the axis": high - low})]


def _seed_steps(view: View, found: Optimum | None) -> list[Statement]:
    best = view.best
    deviation, freedom = noise(view.settings)
    if best is None or len(view.settings) < 2:
        return []
    if not freedom:
        text = "no setting has run on two seeds, so that luck and merit cannot be told apart: use sweep.test_seeds=3"
        scatter = {"scatter about the fitted surface": found.noise} if found else {}
        return [
            Statement(text + ", or sweep.seeds=3 from the start", {"settings": float(len(view.settings)), **scatter})
        ]
    rivals = _rivals(view, best, deviation, freedom)
    if not rivals or deviation <= 0:
        return []
    sign = view.sign()
    gaps = [sign * float(best.objectives[0] - rival.objectives[0]) for rival in rivals]
    # As many that the difference is two of its standard errors; of those beyond reach, none.
    needed = [math.ceil(8 * (deviation / gap) ** 2) if gap > 0 else math.inf for gap in gaps]
    reachable = [seeds for seeds in needed if seeds <= _MAX_SEEDS]
    text = f"{_count(len(rivals), 'setting')} cannot be told from the best, trial {best.numbers[0]}, by noise alone"
    if reachable:
        text += f": sweep.seeds={max(max(reachable), 2)} would tell {_count(len(reachable), 'of them')} apart"
    else:
        text += f"; more than {_MAX_SEEDS} seeds each would be needed, so take the cheapest or safest"
    return [Statement(text, {"noise": deviation, "repetitions": float(freedom), "smallest difference": min(gaps)})]


def _rivals(view: View, best: Setting, deviation: float, freedom: int) -> list[Setting]:
    from scipy.special import stdtrit

    sign = view.sign()
    quantile = float(stdtrit(freedom, 0.975))
    found = []
    for one in view.settings:
        error = deviation * math.sqrt(1 / len(one.by_run) + 1 / len(best.by_run))
        if one is not best and one.is_feasible and sign * (best.objectives[0] - one.objectives[0]) < quantile * error:
            found.append(one)
    return found


def _budget_steps(source: Source, view: View, found: Optimum | None, costs: Ledger) -> list[Statement]:
    """Whether more trials of the same search are worth it: what its last third has brought."""
    complete = [trial for trial in view.trials if trial.state == COMPLETE and trial.objectives]
    is_search = any(axis.is_interval for axis in view.axes)
    if not is_search or found is None or len(complete) < 9 or view.label:
        return []
    sign = view.sign()
    gains = [sign * float((trial.objectives or [math.nan])[0]) for trial in complete]
    cut = 2 * len(gains) // 3
    rise = max(gains[cut:]) - max(gains[:cut])
    evidence = {"rise in the last third": max(rise, 0.0), "noise": found.noise}
    each = costs.total.seconds / max(len(source.trials), 1)
    price = f"about {_hours(each * len(source.trials))} of one worker for as many again" if each > 0 else ""
    if rise > found.noise:
        again = 2 * len(source.trials)
        text = f"the last third of the trials still found better settings: raise hydra.sweeper.n_trials to {again}"
        return [Statement(f"{text} ({price})" if price else text, evidence)]
    text = "the last third of the trials found nothing better beyond noise: more of this search is unlikely to help"
    return [Statement(text, evidence)]


def _count(num: int, what: str) -> str:
    return f"{num} {what}" if num == 1 or what.startswith("of") else f"{num} {what}s"


def _hours(seconds: float) -> str:
    return f"{number(seconds / 3600, 2)} hours" if seconds >= 3600 else f"{number(max(seconds / 60, 0.1), 2)} minutes"


def _short(text: str) -> str:
    try:
        return number(float(text))
    except ValueError:
        return text
