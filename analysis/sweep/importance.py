"""Which swept keys matter: fANOVA and PED-ANOVA by Optuna, their stability, and a test against chance.

The shares of either method add up to 1 even for pure noise. So each key is tested by permuting the objectives among the
settings, and too few settings give no shares. fANOVA (Hutter et al. 2014) says how much of the variance over the
whole space is due to a key alone. Optuna weighs a log axis by its plain values, nine tenths of it the highest decade;
here it is weighed by positions on the axis, as it was searched. PED-ANOVA (Watanabe et al. 2023) says how much a key
matters for being among the best.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.output.thinning import pick_evenly
from analysis.records.runs import Floats
from analysis.sweep.chance import compute_p_values
from analysis.sweep.settings import Setting, View
from analysis.sweep.thresholds import (
    MAX_CHOICES,
    MAX_IMPORTANCE_SETTINGS,
    MIN_IMPORTANCE_SETTINGS,
    NUM_BEST,
    NUM_RESAMPLES,
    NUM_TREES,
    NUM_TREES_RESAMPLED,
    SHARE_BEST,
)
from rlhf_sweeps.record import Axis
from rlhf_sweeps.verdicts.error_rate import SIGNIFICANCE_LEVEL
from rlhf_sweeps.verdicts.estimates import are_equal


@dataclass(frozen=True)
class ImportanceShare:
    """How much a key matters by one method; the shares of all keys add up to 1.

    Attributes:
        low, high: its range over resampled sweeps.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class KeyImportance:
    """One key.

    Attributes:
        key: the Hydra key.
        fanova: None where the key is not active in all settings.
        ped_anova: None where Optuna gives none.
        p_value: how probable it is that chance would make any of the keys matter as much as this one seems to.
    """

    key: str
    fanova: ImportanceShare | None
    ped_anova: ImportanceShare | None
    p_value: float

    @property
    def is_clear(self) -> bool:
        """Whether it matters beyond chance."""
        return self.p_value <= SIGNIFICANCE_LEVEL


@dataclass(frozen=True)
class Importance:
    """All keys, the most important first, or why there is no importance.

    Attributes:
        name: of the objective.
        keys: empty where there is a problem.
        num_settings: the number of settings behind it, those of pruned trials included.
        problem: why keys is empty.
    """

    name: str
    keys: Sequence[KeyImportance]
    num_settings: int
    problem: str | None = None


def measure_importance(view: View, objective: int = 0) -> Importance:
    """How much each axis of a view matters for an objective.

    Equal arguments give equal numbers.
    """
    name = view.names[objective] if objective < len(view.names) else "objective"
    # Without the pruned ones, the settings that did well would be compared with each other only.
    every = [*view.settings, *view.pruned]
    num = len(every)
    gains = view.get_sign(objective) * np.array([setting.objectives[objective] for setting in every])
    problem = _explain_problem(view, gains)
    if problem:
        return Importance(name, (), num, problem)
    positions = view.compute_positions([setting.values for setting in every])
    p_values = compute_p_values(view.axes, positions, gains, view.share)
    chosen = pick_evenly(num, MAX_IMPORTANCE_SETTINGS)
    settings = [every[i] for i in chosen]
    fanova = _resample_shares(_compute_fanova, view.axes, settings, gains[chosen])
    ped_anova = _resample_shares(_compute_ped_anova, view.axes, settings, gains[chosen])
    keys = [
        KeyImportance(axis.key, fanova.get(axis.key), ped_anova.get(axis.key), float(p_value))
        for axis, p_value in zip(view.axes, p_values, strict=True)
    ]
    keys.sort(key=lambda entry: (-(entry.fanova or entry.ped_anova or ImportanceShare(0, 0, 0)).value, entry.key))
    return Importance(name, keys, num)


def _explain_problem(view: View, gains: Floats) -> str | None:
    num = len(gains)
    if not view.axes:
        return "nothing but the seed differs between the trials"
    if len(view.axes) == 1:
        return f"{view.axes[0].key} is the only key that was swept"
    if num < MIN_IMPORTANCE_SETTINGS:
        return f"{num} settings are too few to show which key matters; at least {MIN_IMPORTANCE_SETTINGS} are needed"
    if are_equal(gains):
        return f"all {num} settings have the same objective"
    return None


Method = Callable[[Sequence[Axis], Sequence[Setting], Floats, bool], dict[str, float]]


def _resample_shares(
    method: Method, axes: Sequence[Axis], settings: Sequence[Setting], gains: Floats
) -> dict[str, ImportanceShare]:
    """The shares by a method, with their ranges over resampled settings."""
    values = method(axes, settings, gains, False)
    random = np.random.default_rng(0)
    ranges: dict[str, list[float]] = {key: [value] for key, value in values.items()}
    for _ in range(NUM_RESAMPLES if values else 0):
        drawn = random.integers(0, len(settings), len(settings))
        if np.ptp(gains[drawn]) > 0:
            for key, value in method(axes, [settings[i] for i in drawn], gains[drawn], True).items():
                ranges.setdefault(key, []).append(value)
    return {key: ImportanceShare(value, min(ranges[key]), max(ranges[key])) for key, value in values.items()}


def _compute_fanova(
    axes: Sequence[Axis], settings: Sequence[Setting], gains: Floats, is_resampled: bool
) -> dict[str, float]:
    from optuna.importance import FanovaImportanceEvaluator

    # A tree tries every choice at every node, which takes for ever with many.
    active = [
        axis
        for axis in axes
        if len(_list_choices(axis)) <= MAX_CHOICES and all(axis.key in setting.values for setting in settings)
    ]
    trees = NUM_TREES_RESAMPLED if is_resampled else NUM_TREES
    return _evaluate_shares(lambda: FanovaImportanceEvaluator(n_trees=trees, seed=0), active, settings, gains)


def _compute_ped_anova(
    axes: Sequence[Axis], settings: Sequence[Setting], gains: Floats, is_resampled: bool
) -> dict[str, float]:
    from optuna.importance import PedAnovaImportanceEvaluator

    share = min(max(SHARE_BEST, NUM_BEST / len(settings)), 0.5)
    return _evaluate_shares(lambda: PedAnovaImportanceEvaluator(target_quantile=share), axes, settings, gains)


def _evaluate_shares(
    make: Callable[[], Any], axes: Sequence[Axis], settings: Sequence[Setting], gains: Floats
) -> dict[str, float]:
    """Optuna's shares; empty where it has none. It takes lower values for better ones."""
    from optuna.importance import get_param_importances

    if len(axes) < 2:
        return {}
    study = make_study(axes, settings, -gains)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shares = get_param_importances(study, evaluator=make())
    except (ValueError, RuntimeError, ArithmeticError, IndexError):
        return {}
    return {axis.key: float(shares[axis.key]) for axis in axes if np.isfinite(shares.get(axis.key, np.nan))}


def make_study(axes: Sequence[Axis], settings: Sequence[Setting], losses: Floats) -> Any:
    """The settings as a study in memory: intervals and long lists of numbers as positions, other lists as they are."""
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
    from optuna.trial import create_trial

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="minimize")
    kinds: dict[str, BaseDistribution] = {
        axis.key: CategoricalDistribution(_list_choices(axis)) if _list_choices(axis) else FloatDistribution(0.0, 1.0)
        for axis in axes
    }
    for setting, loss in zip(settings, losses, strict=True):
        params: dict[str, Any] = {}
        for axis in axes:
            text = setting.values.get(axis.key)
            position = axis.position(text)
            if text is not None and np.isfinite(position):
                params[axis.key] = text if _list_choices(axis) else min(max(position, 0.0), 1.0)
        used = {key: kinds[key] for key in params}
        study.add_trial(create_trial(params=params, distributions=used, value=float(loss)))
    return study


def _list_choices(axis: Axis) -> tuple[str, ...]:
    """What Optuna chooses from; empty where it takes a number."""
    return () if axis.is_interval or (axis.is_numeric and len(axis.choices) > MAX_CHOICES) else axis.choices
