"""The results of a sweep: the best settings, and how settings, values and counts are written."""

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from rlhf_sweeps.figures import format_number
from rlhf_sweeps.record.quantities import name_objectives
from rlhf_sweeps.record.trials import format_counts
from rlhf_sweeps.sweep.study.tested import select_measured
from rlhf_sweeps.sweep.study.trials import COMPLETE, FAILED, PRUNED, SweepTrial
from rlhf_sweeps.verdicts.left_out_seeds import is_test_mean_to_report
from rlhf_sweeps.verdicts.settings import compute_losses, find_front, rank_key


def rank(trials: Sequence[SweepTrial], directions: Sequence[str]) -> list[SweepTrial]:
    """Complete trials that keep the constraints, sorted by `rank_key`, best first; equal ones by their numbers.

    Args:
        directions: "maximize" or "minimize" for each objective.
    """
    return sorted(
        _find_candidates(trials, directions),
        key=lambda trial: rank_key(trial.objectives or [], trial.test_mean, directions),
    )


def find_best(trials: Sequence[SweepTrial], directions: Sequence[str]) -> list[SweepTrial]:
    """The best complete trial, if there is one; with several objectives the Pareto front, in the order of `rank`.

    Of trials that are equal in every objective, the list has only that with the lowest number.
    """
    ranked = rank(trials, directions)
    if len(directions) == 1:
        return ranked[:1]
    return [ranked[place] for place in find_front([compute_losses(trial.objectives, directions) for trial in ranked])]


def choose_finalists(
    trials: Sequence[SweepTrial], directions: Sequence[str], number: int, is_comparison: bool = False
) -> list[SweepTrial]:
    """The trials whose settings are run on the test seeds: the best on the seeds that choose.

    Args:
        number: at most so many.
        is_comparison: whether objectives of different reward models cannot be compared; then the best setting of each
            reward model is chosen.
    """
    if is_comparison:
        groups = group_by_reward_model(trials).values()
        return [trial for group in groups for trial in choose_finalists(group, directions, 1)][:number]
    if len(directions) > 1:
        return find_best(trials, directions)[:number]
    candidates = _find_candidates(trials, directions)
    return sorted(candidates, key=lambda trial: (compute_losses(trial.objectives, directions), trial.number))[:number]


def group_by_reward_model(trials: Sequence[SweepTrial]) -> dict[str, list[SweepTrial]]:
    """Reward model -> the trials that were trained on it, in the order of their first trials."""
    groups: dict[str, list[SweepTrial]] = {}
    for trial in trials:
        if trial.reward_model is not None:
            groups.setdefault(trial.reward_model, []).append(trial)
    return groups


def find_complete(trials: Sequence[SweepTrial], directions: Sequence[str]) -> list[SweepTrial]:
    """The complete trials that are compared, by their numbers; of trials with the same setting only the one that ran.

    Args:
        directions: "maximize" or "minimize" for each objective.
    """
    complete = [trial for trial in trials if trial.state == COMPLETE and trial.is_compared and trial.has_run]
    measured = [trial for trial in complete if compute_losses(trial.objectives, directions)]
    return sorted(measured, key=lambda trial: trial.number)


def _find_candidates(trials: Sequence[SweepTrial], directions: Sequence[str]) -> list[SweepTrial]:
    """The trials that can be the best, by their numbers."""
    return [trial for trial in find_complete(trials, directions) if trial.is_feasible]


def read_setting_values(trial: SweepTrial) -> dict[str, Any]:
    """Hydra key -> plain value, for every setting; parsed by Hydra, since 1e-5 is no number in YAML 1.1."""
    parser = OverridesParser.create()
    return {key: parser.parse_override(f"key={text}").value() for key, text in trial.settings.items()}


def format_settings(trial: SweepTrial) -> str:
    """The settings as overrides, without quotes for a shell."""
    return " ".join(f"{key}={text}" for key, text in trial.settings.items()) or "the config as it is"


def format_objectives(values: Sequence[float], metrics: Sequence[str]) -> str:
    """`objective 1.23`; with several objectives `eval/score 1.23, eval/kl 4.5`."""
    return ", ".join(
        f"{name} {format_number(value)}" for name, value in zip(name_objectives(metrics), values, strict=True)
    )


def describe_worth(trial: SweepTrial, metrics: Sequence[str]) -> str:
    """`objective 1.23`; for a trial with test seeds `objective 1.1 on 3 test seeds, chosen by objective 1.23`."""
    chosen = format_objectives(trial.objectives or [], metrics)
    if (tested := trial.test_mean) is None:
        return chosen
    seeds = format_count(len(select_measured(trial.tested)), "test seed")
    return f"{format_objectives(tested, metrics)} on {seeds}, chosen by {chosen}"


def describe_counts(trials: Sequence[SweepTrial]) -> str:
    """The states of trials; impossible settings are no failures: `9 complete; 4 settings impossible`."""
    impossible = [trial for trial in trials if trial.state == FAILED and not trial.has_run]
    text = format_counts((trial.state, trial.remark) for trial in trials if trial not in impossible)
    return "; ".join(
        filter(None, [text, f"{format_count(len(impossible), 'setting')} impossible" if impossible else ""])
    )


def count_candidates(trials: Sequence[SweepTrial], directions: Sequence[str]) -> int:
    """The number of settings that the best one was chosen from by the runs that are reported."""
    # By test seeds the best is the best of those that ran on them; with several objectives they change no order.
    tested = [] if len(directions) > 1 else [trial for trial in rank(trials, directions) if trial.test_mean is not None]
    return len(tested) or count_settings(trials)


def has_test_mean_to_report(trials: Sequence[SweepTrial], directions: Sequence[str]) -> bool:
    """Whether the mean of a best setting on the test seeds is the number to report (see `is_test_mean_to_report`)."""
    num_tested = sum(trial.test_mean is not None for trial in rank(trials, directions))
    return is_test_mean_to_report(num_tested, len(directions))


def count_settings(trials: Sequence[SweepTrial]) -> int:
    """The number of settings that the best was chosen from, including pruned ones."""
    tried = [trial.settings for trial in trials if trial.state in (COMPLETE, PRUNED) and trial.is_compared]
    return len({tuple(settings.items()) for settings in tried})


def format_count(number: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
