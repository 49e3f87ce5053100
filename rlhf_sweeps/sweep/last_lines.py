"""The last lines of a sweep that a user reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf_sweeps.figures import format_number
from rlhf_sweeps.record import write_rerun
from rlhf_sweeps.record.quantities import name_objectives
from rlhf_sweeps.record.trials import BEYOND
from rlhf_sweeps.sweep.decision import is_decided
from rlhf_sweeps.sweep.results import (
    count_candidates,
    count_settings,
    describe_counts,
    describe_worth,
    find_best,
    format_count,
    format_objectives,
    format_settings,
    group_by_reward_model,
    has_test_mean_to_report,
    rank,
)
from rlhf_sweeps.sweep.study.tested import describe_tests
from rlhf_sweeps.sweep.study.trials import COMPLETE, FAILED, SweepTrial
from rlhf_sweeps.verdicts.error_rate import UNDECIDED
from rlhf_sweeps.verdicts.final_policies import FinalPolicy
from rlhf_sweeps.verdicts.left_out_seeds import LeftOut, write_left_out
from rlhf_sweeps.verdicts.policy_sentences import write_judgement, write_verdict
from rlhf_sweeps.wording import display_path

NUM_NEXT = 3  # settings of the ranking that are printed after the best; chosen
MOST_LISTED = 20  # at most so many points are printed one by one; chosen


def write_last_lines(
    trials: Sequence[SweepTrial],
    *,
    metrics: Sequence[str],
    directions: Sequence[str],
    fixed: Sequence[str],
    hydra: Mapping[str, Any],
    folder: Path,
    is_grid: bool,
    num_test_seeds: int = 0,
    is_comparison: bool = False,
    test_command: str = "",
    left_out: Mapping[str, LeftOut] | None = None,
) -> str:
    """The last lines that a user reads.

    Args:
        trials: all trials of the sweep.
        metrics: the metric of each objective.
        directions: "maximize" or "minimize" for each objective.
        fixed: overrides that all trials share; for the command that runs the best setting again.
        hydra: Hydra's own part of the first best run's config, as plain values; for the same command.
        folder: of the sweep.
        is_grid: whether the sweep is a grid; all points of a small one are printed.
        num_test_seeds: the number of test seeds in the plan.
        is_comparison: whether objectives of different reward models cannot be compared.
        test_command: what runs the best settings on test seeds; empty if that is unknown.
        left_out: the figures to report, as from `measure_left_out_seeds`.
    """
    winners, figures = find_best(trials, directions), left_out or {}
    if is_comparison:
        lines = ["objectives, each under the trial's own reward model:"]
    else:
        ranked = rank(trials, directions)
        is_sure = len(ranked) < 2 or bool(is_decided(ranked, directions))
        is_to_report = has_test_mean_to_report(trials, directions)
        best = _describe_best(winners, metrics, is_sure, figures.get(""), is_to_report)
        lines = best or [_explain_no_best(trials)]
    lines += _describe_others(trials, winners, metrics, directions, is_grid, is_comparison)
    if is_comparison:
        name = name_objectives(metrics)[0]
        lines += [f"best setting of {model}, {write_left_out(figure, name)}" for model, figure in figures.items()]
    lines.append(f"{format_count(len(trials), 'trial')}: {describe_counts(trials)}" if trials else "no trial was run")
    if earlier := [str(trial.number) for trial in trials if not trial.is_compared]:
        names = f"trial {', '.join(earlier)}" if len(earlier) <= MOST_LISTED else f"{len(earlier)} trials"
        lines.append(f"begun under an earlier configuration, so not compared: {names}")
    if winners and not is_comparison:
        if not any(trial.tested for trial in winners):
            lines += _suggest_tests(count_settings(trials), num_test_seeds, test_command, "" in figures)
        lines.append(f"run trial {winners[0].number} again: {make_rerun_command(winners[0], fixed, hydra)}")
    lines.append(f"all in {display_path(folder)}")
    return "\n".join(lines)


def write_answer(
    trials: Sequence[SweepTrial],
    directions: Sequence[str],
    policies: Sequence[FinalPolicy | None],
    kl_budget: float | None,
) -> str:
    """What the judges say of the best setting, and whether it is better than no training at all: the last two lines.

    Args:
        trials: of which one at least is complete.
        directions: "maximize" or "minimize" for each objective.
        policies: of the best one, one for each run.
        kl_budget: in nats; None if there is none.
    """
    winner, num_settings = rank(trials, directions)[0], count_candidates(trials, directions)
    is_said = any(policy is not None and not policy.is_within for policy in policies)
    beyond = f"; it went {BEYOND}" if winner.beyond and not is_said else ""
    name = f"trial {winner.number}"
    judgement = write_judgement(policies, name, num_settings=num_settings)
    verdict = write_verdict(policies, kl_budget, name, num_settings=num_settings)
    return f"{judgement}\n{verdict}{beyond}" if judgement else f"{verdict}{beyond}"


def make_rerun_command(trial: SweepTrial, fixed: Sequence[str], hydra: Mapping[str, Any]) -> str:
    """What runs a trial's setting on its own, quoted for a shell."""
    return write_rerun(hydra, [*fixed, *(f"{key}={text}" for key, text in trial.settings.items())])


def _suggest_tests(num_settings: int, num_test_seeds: int, test_command: str, is_measured: bool) -> list[str]:
    """That the best setting looks better than it is, and what measures it on other seeds.

    Args:
        is_measured: whether the lines about the best one have a figure without that luck.
    """
    if num_settings < 2:
        return []
    remedy = f"its sweep.test_seeds={num_test_seeds} have not been run" if num_test_seeds else ""
    command = [f"run the best settings on test seeds: {test_command}"] if test_command and not remedy else []
    if is_measured:
        return command
    luck = f"the best of {num_settings} settings looks better than it is on the seeds by which it was chosen"
    return [f"{luck}; {remedy or 'sweep.test_seeds=3 measures it on other seeds'}", *command]


def _describe_best(
    winners: Sequence[SweepTrial], metrics: Sequence[str], is_sure: bool, left_out: LeftOut | None, is_to_report: bool
) -> list[str]:
    """Lines about the best settings, beginning with the value on the test seeds, if there is one.

    Args:
        is_sure: whether it is decided that the first is the best.
        left_out: the figure to report; None if it cannot be measured.
        is_to_report: whether the mean on the test seeds is the number to report.
    """
    lines = []
    for trial in winners[:MOST_LISTED]:
        title = ("best" if is_sure else f"leading ({UNDECIDED})") if len(metrics) == 1 else "on the Pareto front"
        texts = [_describe_objectives(trial, metrics)]
        if trial.tested:
            texts.append(describe_tests(trial.tested, name_objectives(metrics), is_to_report))
        if trial.test_mean is not None:
            texts = [texts[1], f"chosen by {texts[0]}"]
        if left_out is not None:
            texts.append(write_left_out(left_out, name_objectives(metrics)[0]))
        lines += [f"{title}: trial {trial.number}, {texts[0]}", f"    {format_settings(trial)}"]
        lines += [f"    {text}" for text in texts[1:]]
    if len(winners) > MOST_LISTED:
        lines.append(f"and {len(winners) - MOST_LISTED} more on the Pareto front, in optimization_results.yaml")
    return lines


def _explain_no_best(trials: Sequence[SweepTrial]) -> str:
    """The reason why no trial is the best."""
    broken = [trial for trial in trials if trial.state == COMPLETE and trial.is_compared and not trial.is_feasible]
    if not broken:
        scope = "" if all(trial.is_compared for trial in trials) else " of the present configuration"
        return f"no trial{scope} is complete, so there is no best setting"
    # Violations of several metrics have no common unit; most sweeps have one constraint.
    nearest = min(broken, key=lambda trial: sum(max(0.0, excess) for excess in trial.violations.values()))
    breaks = ", ".join(
        f"{name} by {format_number(excess)}" for name, excess in nearest.violations.items() if excess > 0
    )
    return (
        "no complete trial keeps objective.constraints, so there is no best setting; the nearest is "
        f"trial {nearest.number}, which breaks {breaks}"
    )


def _describe_objectives(trial: SweepTrial, metrics: Sequence[str]) -> str:
    text = format_objectives(trial.objectives or [], metrics)
    if len(trial.by_seed) < 2:
        return text
    ranges = [
        f"{format_number(min(values))} to {format_number(max(values))}"
        for values in zip(*trial.by_seed.values(), strict=True)
    ]
    return f"{text} (mean of {len(trial.by_seed)} seeds: {', '.join(ranges)})"


def _describe_others(
    trials: Sequence[SweepTrial],
    winners: Sequence[SweepTrial],
    metrics: Sequence[str],
    directions: Sequence[str],
    is_grid: bool,
    is_comparison: bool,
) -> list[str]:
    """Lines about all points of a small grid; else about the next best settings, if a single objective ranks them.

    In a comparison of reward models no objective ranks them: lines are about all points of a small grid in their order,
    else about the best setting of each reward model.
    """
    ranked = rank(trials, directions)
    if is_grid and 1 < len(trials) <= MOST_LISTED:
        first = [] if is_comparison else ranked
        numbers = {trial.number for trial in first}
        return [_describe_trial(trial, metrics) for trial in [*first, *(t for t in trials if t.number not in numbers)]]
    if is_comparison:
        each = [rank(group, directions)[:1] for group in group_by_reward_model(trials).values()]
        return [_describe_trial(trial, metrics) for winner in each for trial in winner]
    if len(metrics) > 1:
        return []
    return [_describe_trial(trial, metrics) for trial in ranked[len(winners) :][:NUM_NEXT]]


def _describe_trial(trial: SweepTrial, metrics: Sequence[str]) -> str:
    if trial.state == COMPLETE and trial.objectives is not None:
        outcome = describe_worth(trial, metrics) + (f", {trial.remark}" if trial.remark else "")
    elif trial.state == FAILED and not trial.has_run:
        outcome = "impossible"
    elif trial.state == FAILED:
        outcome = f"failed ({trial.cause})"
    else:
        outcome = f"{trial.state} at update {trial.update}"
    return f"{outcome}  {format_settings(trial)}  {display_path(trial.folder)}"
