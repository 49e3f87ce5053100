"""optimization_results.yaml: what a sweep has found, for other programs."""

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

    The keys of Hydra's Optuna plugin: name, best_params, best_value, or, with several objectives, name and solutions
    (params and values each). Beside them best_trial or trial, a number, and test, if there are test seeds: mean (the
    number to report), standard_error, seeds, and failed (seed -> cause) where some gave no value. best_value and values
    are what the setting was chosen by. best_params, best_value and best_trial are null where no trial is complete.

    Where reward models are compared, `comparison` has the best setting of each, in the order of comparison.json.

    Args:
        comparison: of reward models, what `compare` gives; None where there is none.
        is_comparison: whether one objective cannot be compared with another; then none is best, and all the above is
            null, or without solutions.
    """
    found = _best_results([] if is_comparison else best(trials, directions), directions)
    return found if comparison is None else {**found, "comparison": list(_compared(trials, comparison))}


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
    found = {"best_params": setting_values(winner), **test_entry(winner.tested)}
    return {"name": "optuna", **found, "best_value": only(winner.objectives or []), "best_trial": winner.number}


def _compared(trials: Sequence[Trial], comparison: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The best setting of each reward model, the best by the other judges first, those that none judges last."""
    by_number = {trial.number: trial for trial in trials}
    ranked = {one["reward_model"]: one for one in comparison["ranking"]}
    entries = {one["reward_model"]: one for one in comparison["reward_models"]}
    for name in [*ranked, *(name for name in entries if name not in ranked)]:
        trial, told = by_number[entries[name]["trial"]], ranked.get(name)
        yield {
            "reward_model": name,
            "params": setting_values(trial),
            **test_entry(trial.tested),
            "win_rate": None if told is None else {key: float(told[key]) for key in ("mean", "low", "high")},
            "within_noise_of": None if told is None else told["within_noise_of"],
            "value": only(trial.objectives or []),
            "trial": trial.number,
        }
