"""optimization_results.yaml: the results of a sweep for other programs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlhf_sweeps.sweep.decision import is_decided
from rlhf_sweeps.sweep.left_out import make_left_out_entry
from rlhf_sweeps.sweep.results import count_candidates, find_best, rank, read_setting_values
from rlhf_sweeps.sweep.study.tested import make_test_entry, unwrap_single
from rlhf_sweeps.sweep.study.trials import SweepTrial
from rlhf_sweeps.verdicts.final_policies import FinalPolicy, measure_confirmation
from rlhf_sweeps.verdicts.left_out_seeds import LeftOut


def make_results(
    trials: Sequence[SweepTrial],
    directions: Sequence[str],
    comparison: Mapping[str, Any] | None = None,
    is_comparison: bool = False,
    policies: Sequence[FinalPolicy | None] = (),
    left_out: Mapping[str, LeftOut] | None = None,
) -> dict[str, Any]:
    """The content of optimization_results.yaml, in plain values.

    It has the keys of Hydra's Optuna plugin: name, best_params and best_value, or, with several objectives, name and
    solutions (each with params and values). It adds best_trial or trial, a number, and, with test seeds, test: mean,
    standard_error, seeds, and failed (seed -> cause) if some seeds gave no value. best_value
    and values are the objectives on the seeds that chose the setting. best_params, best_value and best_trial are null
    if no trial is complete. best_is_decided says whether the best setting is better than every other one by more than
    noise; false: it only leads; null: there is no other.

    left_out has the figure to report, if it can be measured (`measure_left_out`): mean, seeds, and num_confirming, the
    number of confirming prompts if the mean is that of their scores, else null. Without it, the mean of test is the
    figure to report, if only one setting has values on test seeds or there are several objectives.

    confirmed has what the best setting's policies come to on the confirming prompts (`measure_confirmation`); null if
    they were not measured there.

    If reward models are compared, `comparison` has the best setting of each, in the order of comparison.json.

    Args:
        comparison: of reward models, the result of `compare`; None without a comparison.
        is_comparison: whether objectives of different reward models cannot be compared. Then no setting is the best:
            the keys above are null, or there are no solutions.
        policies: of the best setting, one for each run.
        left_out: the figures to report, as from `measure_left_out_seeds`.
    """
    figures = left_out or {}
    content = _make_best([] if is_comparison else find_best(trials, directions), directions)
    if content.get("best_trial") is not None:
        content |= make_left_out_entry(figures.get(""))
        content["best_is_decided"] = is_decided(rank(trials, directions), directions)
        content["confirmed"] = measure_confirmation(policies, count_candidates(trials, directions))
    return (
        content if comparison is None else {**content, "comparison": list(_list_compared(trials, comparison, figures))}
    )


def _make_best(winners: Sequence[SweepTrial], directions: Sequence[str]) -> dict[str, Any]:
    if len(directions) > 1:
        solutions = [
            {
                "params": read_setting_values(trial),
                **make_test_entry(trial.tested),
                "values": list(trial.objectives or []),
                "trial": trial.number,
            }
            for trial in winners
        ]
        return {"name": "optuna", "solutions": solutions}
    if not winners:
        return {"name": "optuna", "best_params": None, "best_value": None, "best_trial": None}
    (winner,) = winners
    setting = {"best_params": read_setting_values(winner), **make_test_entry(winner.tested)}
    return {
        "name": "optuna",
        **setting,
        "best_value": unwrap_single(winner.objectives or []),
        "best_trial": winner.number,
    }


def _list_compared(
    trials: Sequence[SweepTrial], comparison: Mapping[str, Any], figures: Mapping[str, LeftOut]
) -> Iterator[dict[str, Any]]:
    """Yield the best setting of each reward model, sorted by the other judges, best first; unjudged ones are last."""
    by_number = {trial.number: trial for trial in trials}
    ranked = {entry["reward_model"]: entry for entry in comparison["ranking"]}
    entries = {entry["reward_model"]: entry for entry in comparison["reward_models"]}
    for name in [*ranked, *(name for name in entries if name not in ranked)]:
        trial, place = by_number[entries[name]["trial"]], ranked.get(name)
        yield {
            "reward_model": name,
            "params": read_setting_values(trial),
            **make_test_entry(trial.tested),
            **make_left_out_entry(figures.get(name)),
            "win_rate": None if place is None else {key: float(place[key]) for key in ("mean", "low", "high")},
            "within_noise_of": None if place is None else place["within_noise_of"],
            "value": unwrap_single(trial.objectives or []),
            "trial": trial.number,
        }
