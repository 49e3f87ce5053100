"""What to try next: each step with its evidence and, where there is one, the override to type."""

import itertools
import math
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from analysis.records.runs import COMPLETE, Source
from analysis.sweep.axes import label_position, label_positions
from analysis.sweep.edges import Edge, find_edges, write_axis
from analysis.sweep.ledger import Ledger
from analysis.sweep.margin import Lead
from analysis.sweep.optimum import Optimum, Profile
from analysis.sweep.settings import View
from analysis.sweep.thresholds import GAP, MAX_SEEDS, MIN_COMPLETE_TRIALS, NARROW, SURE_CHOICE
from analysis.wording.numbers import convert_seed
from analysis.wording.statements import Statement, format_count, format_duration
from rlhf_sweeps.record import Sweep, SweepPlan, as_mapping, salvage_hydra

_NOT_APART = "a lucky setting cannot be distinguished from a better one"


def suggest_next_steps(
    source: Source, view: View, optimum: Optimum | None, lead: Lead | None, costs: Ledger
) -> list[Statement]:
    """Suggestions for a view with one objective, the most useful first; empty where the data support none.

    Args:
        optimum: the fit around the best setting.
        lead: the best setting against the others.
        costs: of the sweep.
    """
    if not view.is_single or view.best is None:
        return []
    edges = find_edges(view, optimum, lead)
    steps = [_suggest_widening(source, edge) for edge in edges]
    widened = {edge.axis.key for edge in edges}
    if optimum is not None:
        for profile in optimum.profiles:
            if profile.axis.key not in widened:
                steps += _suggest_by_profile(source, view, optimum, profile)
    return [*steps, *_suggest_seeds(source, lead), *_suggest_budget(source, view, optimum, costs)]


def _suggest_widening(source: Source, edge: Edge) -> Statement:
    axis_noun = "list" if edge.axis.choices else "interval"
    side = "upper" if edge.is_high else "lower"
    value = label_position(edge.axis, edge.axis.position(edge.value))
    text = (
        f"best {edge.axis.key} {value} lies at the {side} end of its {axis_noun}, and the objective still rises there"
    )
    text += f": try {edge.override}" if edge.override else "; the value can go no further"
    evidence = {"probability that it rises": edge.probability, "rise of the objective": edge.rise}
    return Statement(text, evidence, _write_new_sweep(source, edge.override) if edge.override else "")


def _write_new_sweep(source: Source, override: str) -> str:
    """The command of the sweep with another override, which is quoted for a shell.

    It is empty for a swept key that others are tied to, since their lists would have to change with it.
    """
    key = override.partition("=")[0].lstrip("+")
    if any(axis.tied_to is not None and key in (axis.key, axis.tied_to.lstrip("+")) for axis in source.plan.axes):
        return ""
    return source.plan.changed_command(*shlex.split(override))


def _write_continued_sweep(source: Source, override: str) -> str:
    """The command that continues the sweep in its folder with another override."""
    return source.plan.changed_command(override, folder=_name_folder(source.folder)) if source.folder else ""


def _name_folder(folder: Path) -> Path:
    """The folder by the word that began the sweep, where it still names it: the command is one, however it is typed."""
    begun = as_mapping(salvage_hydra(Sweep(folder), []).get("sweep")).get("dir")
    return Path(begun) if isinstance(begun, str) and Path(begun).resolve() == folder.resolve() else folder


def _suggest_by_profile(source: Source, view: View, optimum: Optimum, profile: Profile) -> list[Statement]:
    axis = profile.axis
    evidence = {
        "noise": optimum.noise.deviation,
        "least probability of being within noise": float(profile.within.min()),
    }
    if profile.is_flat and not profile.is_clear:
        value = optimum.anchor.values.get(axis.key)
        text = f"{axis.key} does not matter here: leave it out of the next search"
        return [
            Statement(
                text + (f", with {axis.key}={view.label_value(axis.key, value)}" if value is not None else ""), evidence
            )
        ]
    if not profile.is_clear:
        return []
    if not axis.is_numeric:
        top = int(profile.is_highest.argmax())
        share = float(profile.is_highest[top])
        if share < SURE_CHOICE:
            return []
        text = f"{axis.key}={axis.choices[top]} is the best choice: keep it in the next search"
        return [Statement(text, {"probability": share})]
    return _suggest_filling_gap(source, view, profile) or _suggest_narrowing(source, profile)


def _suggest_narrowing(source: Source, profile: Profile) -> list[Statement]:
    axis, possible = profile.axis, profile.possible
    width = float(possible[-1] - possible[0])
    if not axis.is_interval or width > NARROW or width <= 0:
        return []
    low, high = axis.value(float(possible[0])), axis.value(float(possible[-1]))
    ends = " to ".join(label_positions(axis, [float(possible[0]), float(possible[-1])]))
    text = f"no {axis.key} outside of {ends} comes near the best"
    override = write_axis(axis, low, high)
    command = _write_new_sweep(source, override)
    return [Statement(f"{text}: narrow it to {override}", {"share of the axis": width}, command)]


def _suggest_filling_gap(source: Source, view: View, profile: Profile) -> list[Statement]:
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
    if high - low < GAP or not inside.any() or profile.within[inside].max() < 0.5:
        return []
    override = write_axis(axis, axis.value(low), axis.value(high))
    text = f"no trial has {axis.key} between {' and '.join(label_positions(axis, [low, high]))}, where the best may lie"
    return [Statement(f"{text}: try {override}", {"share of the axis": high - low}, _write_new_sweep(source, override))]


def _suggest_seeds(source: Source, lead: Lead | None) -> list[Statement]:
    """More seeds than there are, where they would separate settings. `lead`: the best setting against the others."""
    if lead is None:
        return []
    noise = lead.noise
    if not noise.repetitions:
        apart = "only the scatter about a smooth fit shows the noise" if noise.is_known else _NOT_APART
        is_tested = any(len(setting.by_test) for setting in lead.ranked)
        evidence = {"settings": float(len(lead.ranked))}
        if (planned := len(source.plan.test_seeds)) and not is_tested:
            text = f"no setting has run on two seeds, so {apart}: its sweep.test_seeds={planned} have not been run yet"
            command = source.plan.command(_name_folder(source.folder)) if source.folder else None
            return [Statement(text, evidence, command or "")]
        remedy = "raise sweep.test_seeds from 1 to 3" if is_tested else "use sweep.test_seeds=3"
        text = f"no setting has run on two seeds, so {apart}: {remedy}, or sweep.seeds=3 from the start"
        command = _write_continued_sweep(source, "sweep.test_seeds=3")
        return [Statement(text, evidence, command)]
    rivals = lead.rivals
    if not rivals or not noise.is_known:
        return []
    places = [lead.ranked.index(rival) for rival in rivals]
    gaps = [lead.gaps[place] for place in places]
    least = 1 + max(max(lead.sizes[place - 1]) for place in places)  # more than there are
    needed = [max(lead.count_seeds(place), least) for place, gap in zip(places, gaps, strict=True) if gap > 0]
    is_tested = all(lead.are_tested[place] for place in places)
    reachable = [seeds for seeds in needed if seeds <= MAX_SEEDS]
    best = lead.best.numbers[0]
    verb = "is" if len(rivals) == 1 else "are"
    text = f"{format_count(len(rivals), 'setting')} {verb} within noise of the best, trial {best}"
    command = ""
    if reachable:
        seeds = int(max(reachable))
        override = f"sweep.test_seeds={seeds}" if is_tested else choose_seeds(source.plan, seeds)
        command = (_write_continued_sweep if is_tested else _write_new_sweep)(source, override)
        # A difference as large as its margin has p = 0.05, and half of the sweeps come to a smaller one.
        subject = "each" if len(reachable) == len(rivals) else _largest(len(reachable))
        text += f": if the differences are as large as they look, {override} has about an even chance to "
        text += f"show {subject}"
    else:
        text += f"; {_write_limit(needed)}"
    evidence = {"noise": noise.deviation, "repetitions": float(noise.repetitions), "smallest difference": min(gaps)}
    return [Statement(text, evidence, command)]


def _write_limit(needed: Sequence[float]) -> str:
    """Why no number of seeds that people run shows a difference.

    Args:
        needed: the number of seeds for each difference, above MAX_SEEDS; infinite where prompts alone hide it.
    """
    num_hidden = sum(math.isinf(seeds) for seeds in needed)
    if not num_hidden:
        return f"more than {MAX_SEEDS} seeds each would be needed to show a difference, so take the cheapest or safest"
    too_few = "with so few held-out prompts no number of seeds can decide"
    if num_hidden == len(needed):
        return f"{too_few} this: raise eval.num_prompts"
    num_seen = len(needed) - num_hidden
    return (
        f"{num_seen} of the differences would need more than {MAX_SEEDS} seeds a setting, and {too_few} "
        f"the other {'one' if num_hidden == 1 else num_hidden}: raise eval.num_prompts"
    )


def choose_seeds(plan: SweepPlan, number: int) -> str:
    """The override for so many seeds of each setting: a grid that lists its seeds takes no other one."""
    pairs = [word.lstrip("+").partition("=") for word in plan.arguments or ()]
    values = [value for key, _, value in pairs if key in ("seed", "hydra.sweeper.params.seed")]
    if all(convert_seed(value) is not None for value in values):  # a list or a range of seeds is no number
        return f"sweep.seeds={number}"
    more = itertools.count(max(plan.seeds) + 1)
    seeds = [*plan.seeds, *itertools.islice(more, max(0, number - len(plan.seeds)))]
    return f"seed={','.join(map(str, seeds))}"


def _largest(count: int) -> str:
    return "the largest" if count == 1 else f"each of the {count} largest"


def _suggest_budget(source: Source, view: View, optimum: Optimum | None, costs: Ledger) -> list[Statement]:
    """Whether more trials of the same search are worth it, by the gain in its last third."""
    complete = [trial for trial in view.trials if trial.state == COMPLETE and trial.objectives]
    is_search = any(axis.is_interval for axis in view.axes)
    if not is_search or optimum is None or len(complete) < MIN_COMPLETE_TRIALS or view.label:
        return []
    sign = view.get_sign()
    gains = [sign * float((trial.objectives or [math.nan])[0]) for trial in complete]
    cut = 2 * len(gains) // 3
    rise = max(gains[cut:]) - max(gains[:cut])
    evidence = {"rise in the last third": max(rise, 0.0), "noise": optimum.noise.deviation}
    each = costs.total.seconds / max(len(source.trials), 1)
    price = (
        f"about {format_duration(each * len(source.trials))} of one worker for as many trials again" if each > 0 else ""
    )
    if rise > optimum.noise.deviation:
        again = 2 * len(source.trials)
        text = f"the last third of the trials still found better settings: raise hydra.sweeper.n_trials to {again}"
        command = _write_continued_sweep(source, f"hydra.sweeper.n_trials={again}")
        return [Statement(f"{text} ({price})" if price else text, evidence, command)]
    text = "the last third of the trials found nothing better beyond noise: more trials are unlikely to help"
    return [Statement(text, evidence)]
