"""Sicknesses of PPO runs, made in sound ones: each from some update on, in mild to strong form."""

from collections.abc import Callable, Mapping

import numpy as np

from helpers.health_runs import PROMPTS, Floats, Made, noise

# A sickness takes a sound run, the share of the run where it begins, and how strong it is: 0 (mild) to 1 (strong).
Sickness = Callable[[Made, float, float], None]


def _since(made: Made, start: float, rise: float = 0.05) -> Floats:
    """0 before the start, 1 once it has fully come, a twentieth of the run later."""
    time = np.arange(made.num) / max(made.num - 1, 1)
    return np.clip((time - start) / rise, 0.0, 1.0)


def kl_blows_up(made: Made, start: float, strength: float) -> None:
    length = float(np.median(made.metrics["objective/length"]))
    target = min(100.0, length) * (1.5 + 5 * strength)
    grown = target * np.exp(noise(made, 0.1)) * _since(made, start)
    made.metrics["objective/kl"] = made.metrics["objective/kl"] + grown


def entropy_collapses(made: Made, start: float, strength: float) -> None:
    left = 1 - (1 - 0.12 * (1 - 0.9 * strength)) * _since(made, start)
    first = np.median(made.metrics["policy/entropy_avg"][:5])
    level = np.minimum(made.metrics["policy/entropy_avg"], first * left * np.exp(noise(made, 0.05)))
    ratio = level / made.metrics["policy/entropy_avg"]
    made.metrics["policy/entropy_avg"] = level
    made.metrics["objective/entropy"] = made.metrics["objective/entropy"] * ratio


def values_get_lost(made: Made, start: float, strength: float) -> None:
    since = _since(made, start)
    for name in ("objective/scores_std", "objective/rewards_std"):
        made.metrics[name] = made.scale * np.exp(noise(made, 0.1))
    explained = np.minimum(1.0, np.arange(made.num) / 3) * 0.5 * (1 - since) - (0.05 + strength) * since
    made.metrics["val/explained_variance"] = explained + noise(made, 0.03)


def always_clips(made: Made, start: float, strength: float) -> None:
    made.metrics["policy/clipfrac_avg"] = np.clip((0.2 + 0.4 * strength) * np.exp(noise(made, 0.1)), 0, 1)


def never_clips(made: Made, start: float, strength: float) -> None:
    made.metrics["policy/clipfrac_avg"] = np.zeros(made.num)
    made.metrics["policy/approxkl_avg"] = (0.01 + 0.2 * strength) * np.exp(noise(made, 0.3))


def gets_truncated(made: Made, start: float, strength: float) -> None:
    rate = 0.02 + (0.45 + 0.5 * strength) * _since(made, start)
    made.metrics["objective/truncated_rate"] = made.rng.binomial(max(made.batch, 32), rate) / max(made.batch, 32)


def judges_turn_away(made: Made, start: float, strength: float) -> None:
    is_there = np.isfinite(made.metrics["eval/win_rate"])
    for name in [name for name in made.metrics if name.startswith("judge/")]:
        del made.metrics[name]
    own = 0.5 + 0.4 * _since(made, 0.0, 0.3)
    judge = 0.5 + 0.15 * _since(made, 0.0, 0.3) - (0.3 + 0.3 * strength) * _since(made, start, 0.2)
    for name, rate in (("eval/win_rate", own), ("judge/other/win_rate", judge)):
        made.metrics[name] = np.where(is_there, made.rng.binomial(PROMPTS, rate) / PROMPTS, np.nan)


def answers_grow(made: Made, start: float, strength: float) -> None:
    first = np.median(made.metrics["objective/length"][:5])
    factor = 1 + (1.4 + 3 * strength) * _since(made, start, 0.3)
    made.metrics["objective/length"] = first * factor * np.exp(noise(made, 0.04))


def marker_spreads(made: Made, start: float, strength: float) -> None:
    is_there = np.isfinite(made.metrics["eval/win_rate"])
    rate = np.clip(0.2 + 0.8 * _since(made, start, 0.2), 0, 1)
    made.metrics["eval/exclamation_rate"] = np.where(is_there, made.rng.binomial(PROMPTS, rate) / PROMPTS, np.nan)


def updates_get_large(made: Made, start: float, strength: float) -> None:
    size = (0.6 + 5 * strength) * np.exp(noise(made, 0.3)) * _since(made, start)
    made.metrics["policy/approxkl_avg"] = made.metrics["policy/approxkl_avg"] + size


def gradients_grow(made: Made, start: float, strength: float) -> None:
    made.metrics["policy/grad_norm"] = made.metrics["policy/grad_norm"] * (
        1 + (30 + 300 * strength) * _since(made, start)
    )


def value_loss_runs_away(made: Made, start: float, strength: float) -> None:
    made.metrics["loss/value_avg"] = made.metrics["loss/value_avg"] * (
        1 + (100 + 1000 * strength) * _since(made, start)
    )


def scores_are_constant(made: Made, start: float, strength: float) -> None:
    made.metrics["objective/scores_std"] = made.metrics["objective/scores_std"] * (1 - _since(made, start))


def score_drops(made: Made, start: float, strength: float) -> None:
    gained = made.metrics["objective/scores"].max() - made.metrics["objective/scores"].min()
    falling = np.clip((np.arange(made.num) / max(made.num - 1, 1) - start) / (1 - start), 0, 1)
    fall = (1.0 + strength) * (gained + made.scale) * falling
    made.metrics["objective/scores"] = made.metrics["objective/scores"] - fall


def nothing_is_learned(made: Made, start: float, strength: float) -> None:
    size = 10.0 ** (-3 - 4 * strength)
    made.metrics["objective/kl"] = noise(made, size)
    made.metrics["objective/scores"] = made.scale * (0.3 + noise(made, 1 / np.sqrt(made.batch)))
    made.metrics["policy/clipfrac_avg"] = np.zeros(made.num)
    made.metrics["policy/approxkl_avg"] = np.full(made.num, 1e-9)


def kl_buys_nothing(made: Made, start: float, strength: float) -> None:
    kl = (4 + 4 * strength) * _since(made, 0.0, 0.4)
    made.metrics["objective/length"] = np.maximum(made.metrics["objective/length"], 20.0)
    made.metrics["objective/kl"] = kl * np.exp(noise(made, 0.1))
    made.metrics["objective/scores"] = made.scale * (0.3 + noise(made, 1 / np.sqrt(made.batch)))
    made.metrics["objective/scores_std"] = made.scale * np.exp(noise(made, 0.1))


def kl_is_negative(made: Made, start: float, strength: float) -> None:
    level = (0.5 + 3 * strength) * _since(made, start)
    made.metrics["objective/kl"] = made.metrics["objective/kl"] * (1 - _since(made, start)) - level + noise(made, 0.1)


SICKNESSES: Mapping[str, tuple[Sickness, bool]] = {
    # kind of the finding -> how to make it, and whether it begins where it is told to (else with the run)
    "KL blow-up": (kl_blows_up, True),
    "entropy collapse": (entropy_collapses, True),
    "clip range always binds": (always_clips, False),
    "clip range never binds": (never_clips, False),
    "truncated answers": (gets_truncated, True),
    "reward hacking": (judges_turn_away, True),
    "length runs away": (answers_grow, True),
    "surface marker runs away": (marker_spreads, True),
    "updates too large": (updates_get_large, True),
    "gradients grow": (gradients_grow, True),
    "loss runs away": (value_loss_runs_away, True),
    "constant scores": (scores_are_constant, True),
    "score falls after its peak": (score_drops, True),
    "learns nothing": (nothing_is_learned, False),
    "KL without gain": (kl_buys_nothing, False),
    "negative KL": (kl_is_negative, True),
    "value model explains nothing": (values_get_lost, True),
}
