"""What a sweep has found: the best settings, and the last lines that a user reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from rlhf_sweeps.record import run_again
from rlhf_sweeps.record.trials import counts_text
from rlhf_sweeps.sweep.study.tested import measured, test_text
from rlhf_sweeps.sweep.study.trials import COMPLETE, FAILED, PRUNED, Trial
from rlhf_sweeps.verdicts.settings import find_front, losses, rank_key
from rlhf_sweeps.wording import shown

NUM_NEXT = 3  # of the ranking, after the best
FEW = 20  # points that are still printed one by one


def ranking(trials: Sequence[Trial], directions: Sequence[str]) -> list[Trial]:
    """Complete trials that keep the constraints, best first, as `rank_key` has it; of equal ones by the number.

    Args:
        directions: "maximize" or "minimize" for each objective.
    """
    candidates = _candidates(trials, directions)
    return sorted(candidates, key=lambda one: (rank_key(one.objectives or [], one.test_mean, directions), one.number))


def best(trials: Sequence[Trial], directions: Sequence[str]) -> list[Trial]:
    """The best complete trial, if there is one; with several objectives the Pareto front, in the order of `ranking`.

    Of trials that are equal in every objective, only the one with the lowest number is among them.
    """
    ranked = ranking(trials, directions)
    if len(directions) == 1:
        return ranked[:1]
    return [ranked[place] for place in find_front([losses(trial.objectives, directions) for trial in ranked])]


def finalists(
    trials: Sequence[Trial], directions: Sequence[str], number: int, is_comparison: bool = False
) -> list[Trial]:
    """The settings that are run on the test seeds, so many at most: the best on the seeds that choose.

    Args:
        is_comparison: of reward models, under which one objective cannot be compared with another: then it is the best
            setting of each.
    """
    if is_comparison:
        return [one for ones in by_reward_model(trials).values() for one in finalists(ones, directions, 1)][:number]
    if len(directions) > 1:
        return best(trials, directions)[:number]
    candidates = _candidates(trials, directions)
    return sorted(candidates, key=lambda one: (losses(one.objectives, directions), one.number))[:number]


def by_reward_model(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Reward model -> the trials that are known to be trained on it, in the order of each one's first trial."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.reward_model is not None:
            found.setdefault(trial.reward_model, []).append(trial)
    return found


def _candidates(trials: Sequence[Trial], directions: Sequence[str]) -> list[Trial]:
    """The trials that can be best; a copy is the trial that it is one of."""
    known = [trial for trial in trials if trial.is_compared and trial.has_run and trial.is_feasible]
    return [trial for trial in known if trial.state == COMPLETE and losses(trial.objectives, directions)]


def setting_values(trial: Trial) -> dict[str, Any]:
    """Hydra key -> plain value, for every setting; read by Hydra, to which 1e-5 is a number (in YAML 1.1 it is not)."""
    parser = OverridesParser.create()
    return {key: parser.parse_override(f"key={text}").value() for key, text in trial.settings.items()}


def settings_text(trial: Trial) -> str:
    """The settings as a user would type them, without quotes for a shell."""
    return " ".join(f"{key}={text}" for key, text in trial.settings.items()) or "the config as it is"


def objectives_text(values: Sequence[float], metrics: Sequence[str]) -> str:
    """`objective 1.23`; with several objectives `eval/score 1.23, eval/kl 4.5`."""
    return ", ".join(f"{name} {value:.4g}" for name, value in zip(objective_names(metrics), values, strict=True))


def objective_names(metrics: Sequence[str]) -> list[str]:
    """What the objectives are called: a single one is the objective, several go by their metrics."""
    return ["objective"] if len(metrics) == 1 else list(metrics)


def worth_text(trial: Trial, metrics: Sequence[str]) -> str:
    """`objective 1.23`; of a trial that was tested `objective 1.1 on 3 test seeds, chosen by objective 1.23`."""
    chosen = objectives_text(trial.objectives or [], metrics)
    if (tested := trial.test_mean) is None:
        return chosen
    seeds = _count(len(measured(trial.tested)), "test seed")
    return f"{objectives_text(tested, metrics)} on {seeds}, chosen by {chosen}"


def counts_of(trials: Sequence[Trial]) -> str:
    """What has become of trials; settings that cannot be are no failures: `9 complete; 4 settings cannot be`."""
    impossible = [trial for trial in trials if trial.state == FAILED and not trial.has_run]
    text = counts_text((trial.state, trial.cause) for trial in trials if trial not in impossible)
    return "; ".join(filter(None, [text, f"{_count(len(impossible), 'setting')} cannot be" if impossible else ""]))


def last_block(
    trials: Sequence[Trial],
    *,
    metrics: Sequence[str],
    directions: Sequence[str],
    fixed: Sequence[str],
    hydra: Mapping[str, Any],
    folder: Path,
    is_grid: bool,
    num_test_seeds: int = 0,
    is_comparison: bool = False,
) -> str:
    """The last lines that a user reads.

    Args:
        trials: all of the sweep.
        metrics: what each objective is.
        directions: "maximize" or "minimize" for each objective.
        fixed: overrides that every trial has; for the command that runs the best setting again.
        hydra: Hydra's own part of the first best run's config, as plain values, for the same.
        folder: of the sweep.
        is_grid: whether every point was asked for; a few of them are then all printed.
        num_test_seeds: on how many the best settings were to be run.
        is_comparison: of reward models, under which one objective cannot be compared with another.
    """
    winners = best(trials, directions)
    if is_comparison:
        lines = ["objectives, each under the trial's own reward model:"]
    else:
        lines = _best_lines(winners, metrics) or [_nothing_best(trials)]
    lines += _other_lines(trials, winners, metrics, directions, is_grid, is_comparison)
    lines.append(f"{_count(len(trials), 'trial')}: {counts_of(trials)}" if trials else "no trial was run")
    if earlier := [str(trial.number) for trial in trials if not trial.is_compared]:
        which = f"trial {', '.join(earlier)}" if len(earlier) <= FEW else f"{len(earlier)} trials"
        lines.append(f"begun under an earlier configuration, and not compared: {which}")
    if winners and not is_comparison:
        num_settings = _num_settings(trials)
        if num_settings > 1 and not any(trial.tested for trial in winners):
            how = f"its sweep.test_seeds={num_test_seeds} have not been run" if num_test_seeds else ""
            lines.append(
                f"the best of {num_settings} settings looks better than it is on the seeds that it was chosen by; "
                + (how or "sweep.test_seeds=3 measures it on others")
            )
        lines.append(f"run trial {winners[0].number} again: {rerun_command(winners[0], fixed, hydra)}")
    lines.append(f"all in {shown(folder)}")
    return "\n".join(lines)


def rerun_command(trial: Trial, fixed: Sequence[str], hydra: Mapping[str, Any]) -> str:
    """What runs a trial's setting on its own, quoted for a shell."""
    return run_again(hydra, [*fixed, *(f"{key}={text}" for key, text in trial.settings.items())])


def _best_lines(winners: Sequence[Trial], metrics: Sequence[str]) -> list[str]:
    """The number to report first: that of the test seeds, where there is one."""
    lines = []
    for trial in winners[:FEW]:
        title = "best" if len(metrics) == 1 else "on the Pareto front"
        told = [_measured_text(trial, metrics)]
        if trial.tested:
            told.append(test_text(trial.tested, objective_names(metrics)))
        if trial.test_mean is not None:
            told = [told[1], f"chosen by {told[0]}"]
        lines += [f"{title}: trial {trial.number}, {told[0]}", f"    {settings_text(trial)}"]
        lines += [f"    {text}" for text in told[1:]]
    if len(winners) > FEW:
        lines.append(f"and {len(winners) - FEW} more on the Pareto front, in optimization_results.yaml")
    return lines


def _nothing_best(trials: Sequence[Trial]) -> str:
    """Why no trial is the best."""
    broken = [trial for trial in trials if trial.state == COMPLETE and trial.is_compared and not trial.is_feasible]
    if not broken:
        which = "" if all(trial.is_compared for trial in trials) else " of the present configuration"
        return f"no trial{which} is complete, so there is no best setting"
    # Of constraints on several metrics there is no common measure; most sweeps have one.
    nearest = min(broken, key=lambda trial: sum(max(0.0, excess) for excess in trial.violations.values()))
    breaks = ", ".join(f"{name} by {excess:.3g}" for name, excess in nearest.violations.items() if excess > 0)
    return (
        "no complete trial keeps objective.constraints, so there is no best setting; nearest is "
        f"trial {nearest.number}, which breaks {breaks}"
    )


def _measured_text(trial: Trial, metrics: Sequence[str]) -> str:
    text = objectives_text(trial.objectives or [], metrics)
    if len(trial.by_seed) < 2:
        return text
    ranges = [f"{min(values):.4g} to {max(values):.4g}" for values in zip(*trial.by_seed.values(), strict=True)]
    return f"{text} (mean of {len(trial.by_seed)} seeds: {', '.join(ranges)})"


def _other_lines(
    trials: Sequence[Trial],
    winners: Sequence[Trial],
    metrics: Sequence[str],
    directions: Sequence[str],
    is_grid: bool,
    is_comparison: bool,
) -> list[str]:
    """Every point of a small grid; of anything else the next few, where a single objective ranks them.

    In a comparison of reward models no objective does: the points are in their own order, or it is the best of each.
    """
    ranked = ranking(trials, directions)
    if is_grid and 1 < len(trials) <= FEW:
        first = [] if is_comparison else ranked
        numbers = {trial.number for trial in first}
        return [_line(trial, metrics) for trial in [*first, *(t for t in trials if t.number not in numbers)]]
    if is_comparison:
        each = [ranking(ones, directions)[:1] for ones in by_reward_model(trials).values()]
        return [_line(trial, metrics) for ones in each for trial in ones]
    if len(metrics) > 1:
        return []
    return [_line(trial, metrics) for trial in ranked[len(winners) :][:NUM_NEXT]]


def _line(trial: Trial, metrics: Sequence[str]) -> str:
    if trial.state == COMPLETE and trial.objectives is not None:
        outcome = worth_text(trial, metrics)
    elif trial.state == FAILED and not trial.has_run:
        outcome = "cannot be"
    elif trial.state == FAILED:
        outcome = f"failed ({trial.cause})"
    else:
        outcome = f"{trial.state} at update {trial.update}"
    return f"{outcome}  {settings_text(trial)}  {shown(trial.folder)}"


def _num_settings(trials: Sequence[Trial]) -> int:
    """Settings that the best was chosen from; a pruned one was a candidate."""
    tried = [trial.settings for trial in trials if trial.state in (COMPLETE, PRUNED) and trial.is_compared]
    return len({tuple(settings.items()) for settings in tried})


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
