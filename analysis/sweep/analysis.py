"""All that is found out about a sweep, computed once for its text, tables and figures."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.records.constraints import write_constraint_sentences
from analysis.records.runs import Source
from analysis.sweep.failures import find_bad_regions
from analysis.sweep.importance import Importance, measure_importance
from analysis.sweep.ledger import Ledger, make_ledger
from analysis.sweep.left_out import measure_view_left_out
from analysis.sweep.margin import Lead, measure_lead
from analysis.sweep.next_steps import suggest_next_steps
from analysis.sweep.optimum import Optimum, find_optimum
from analysis.sweep.settings import Setting, View, are_incomparable, make_views
from analysis.sweep.slices import Slice, cut_slices
from analysis.wording.statements import Statement, join_words
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.verdicts.left_out_seeds import LeftOut
from rlhf_sweeps.verdicts.settings import compute_losses, find_front

# Nobody reads about more reward models than these; each takes seconds.
_MAX_VIEWS = 12


@dataclass(frozen=True, eq=False)
class ViewAnalysis:
    """What is known of one view.

    Attributes:
        importances, slices: one for each objective.
        optimum: of a single objective; None where it cannot be told.
        lead: of the best setting over the others, by the first objective; None where there are none.
        front: the settings that no other beats in all objectives, by the first objective.
        steps: what to try next.
        failures: where trials came to nothing.
        left_out: the figure to report; None where it is unknown.
    """

    view: View
    importances: Sequence[Importance]
    slices: Sequence[Sequence[Slice]]
    optimum: Optimum | None
    lead: Lead | None
    front: Sequence[Setting]
    steps: Sequence[Statement]
    failures: Sequence[Statement]
    left_out: LeftOut | None = None


@dataclass(frozen=True, eq=False)
class SweepAnalysis:
    """What is known of a sweep.

    Attributes:
        views: one, or one for each reward model where these were compared.
        ledger: what it cost.
        notes: what is not shown, and why.
    """

    views: Sequence[ViewAnalysis]
    ledger: Ledger
    notes: Sequence[str]


def analyse_sweep(source: Source, views: Sequence[View] | None = None, costs: Ledger | None = None) -> SweepAnalysis:
    """Everything about a sweep; of a source without trials only what it cost.

    Args:
        views, costs: its views and its ledger, where they have been made before.
    """
    costs = make_ledger(source) if costs is None else costs
    notes = []
    views = make_views(source) if views is None else views
    if not source.trials:
        notes.append("this is no sweep, so there are no settings to compare")
    elif are_incomparable(source):
        notes.append(
            "the trials have different reward models, whose objectives have no common scale: there is no best trial "
            "overall and no importance of reward_model"
        )
        notes.append(_say_what_follows(views))
    if len(views) > _MAX_VIEWS:
        notes.append(f"{len(views)} reward models; only the first {_MAX_VIEWS} are analysed here")
    violations = [
        ([str(number) for number in each.numbers], each.violations) for view in views for each in view.settings
    ]
    notes += [f"{line[0].lower()}{line[1:]}" for line in write_constraint_sentences(violations, "trial")]
    tied = {key: leader for view in views for key, leader in view.tied.items()}
    notes += [f"{key} always changes with {leader}, so their effects are one" for key, leader in tied.items()]
    num_pruned = sum(len(view.pruned) for view in views)
    if num_pruned:
        notes.append(
            f"{num_pruned} pruned trials are used in the fits: each with its last value plus the median later gain of "
            "complete trials; the spread of these gains is its uncertainty"
        )
    return SweepAnalysis([_analyse_view(source, view, costs) for view in views[:_MAX_VIEWS]], costs, notes)


def _say_what_follows(views: Sequence[View]) -> str:
    """What the rest is about; or the values of the settings, if each reward model has only one."""
    if any(view.axes for view in views):
        return "the rest is for each reward model separately"
    worths = [f"{view.label} {format_number(float(view.best.objectives[0]))}" for view in views if view.best]
    listed = f". The objectives, each under its own reward model: {join_words(worths, _MAX_VIEWS)}" if worths else ""
    return f"each reward model has one setting{listed}"


def _analyse_view(source: Source, view: View, costs: Ledger) -> ViewAnalysis:
    objectives = range(len(view.directions))
    importances = [measure_importance(view, objective) for objective in objectives]
    optimum = find_optimum(view) if view.is_single else None
    lead = measure_lead(view, optimum.noise if optimum is not None else view.estimate_noise())
    steps = suggest_next_steps(source, view, optimum, lead, costs)
    cuts = [cut_slices(view, objective) for objective in objectives]
    failures, left_out = find_bad_regions(view), measure_view_left_out(view)
    return ViewAnalysis(view, importances, cuts, optimum, lead, select_front(view), steps, failures, left_out)


def select_front(view: View) -> list[Setting]:
    """The Pareto front: settings that keep all constraints, and than which none is better in all objectives.

    Of settings that are equal in all objectives only the first is among them. By the first objective, the best first.
    """
    settings = [setting for setting in view.settings if setting.is_feasible]
    all_losses = [compute_losses(setting.objectives.tolist(), view.directions) for setting in settings]
    return [settings[place] for place in find_front(all_losses)]
