"""optimization_results.yaml: the results of a sweep for other programs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlhf_sweeps.sweep.results import best, setting_values
from rlhf_sweeps.sweep.study.tested import only, test_entry
from rlhf_sweeps.sweep.study.trials import Trial


def optimization_results(
    trials: Sequence[Trial],
    directions: Sequence[str],
    comparison: Mapping[str, Any] | None = None,
    is_comparison: bool = False,
) -> dict[str, Any]:
    """The content of optimization_results.yaml, in plain values.

    It has the keys of Hydra's Optuna plugin: name, best_params and best_value, or, with several objectives, name and
    solutions (each with params and values). It adds best_trial or trial, a number, and, with test seeds, test: mean
    (the number to report), standard_error, seeds, and failed (seed -> cause) if some seeds gave no value. best_value
    and values are the objectives on the seeds that chose the setting. best_params, best_value and best_trial are null
    if no trial is complete.

    If reward models are compared, `comparison` has the best setting of each, in the order of comparison.json.

    Args:
        comparison: of reward models, the result of `compare`; None without a comparison.
        is_comparison: whether objectives of different reward models cannot be compared. Then no setting is the best:
            the keys above are null, or there are no solutions.
    """
    content = _best_results([] if is_comparison else best(trials, directions), directions)
    return content if comparison is None else {**content, "comparison": list(_compared(trials, comparison))}


def _best_results(winners: Sequence[Trial], directions: Sequence[str]) -> dict[str, Any]:
    if len(directions) > 1:
        solutions = [
            {
                "params": setting_values(trial),
                **test_entry(trial.tested),
                "values": list(trial.objectives or []),
                "trial": trial.number,
            }
            for trial in winners
        ]
        return {"name": "optuna", "solutions": solutions}
    if not winners:
        return {"name": "optuna", "best_params": None, "best_value": None, "best_trial": None}
    (winner,) = winners
    setting = {"best_params": setting_values(winner), **test_entry(winner.tested)}
    return {"name": "optuna", **setting, "best_value": only(winner.objectives or []), "best_trial": winner.number}


def _compared(trials: Sequence[Trial], comparison: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the best setting of each reward model, sorted by the other judges, best first; unjudged ones are last."""
    by_number = {trial.number: trial for trial in trials}
    ranked = {entry["reward_model"]: entry for entry in comparison["ranking"]}
    entries = {entry["reward_model"]: entry for entry in comparison["reward_models"]}
    for name in [*ranked, *(name for name in entries if name not in ranked)]:
        trial, rank = by_number[entries[name]["trial"]], ranked.get(name)
        yield {
            "reward_model": name,
            "params": setting_values(trial),
            **test_entry(trial.tested),
            "win_rate": None if rank is None else {key: float(rank[key]) for key in ("mean", "low", "high")},
            "within_noise_of": None if rank is None else rank["within_noise_of"],
            "value": only(trial.objectives or []),
            "trial": trial.number,
        }
