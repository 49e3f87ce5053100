"""Whether a policy is better than the base policy on held-out prompts: one definition for all outputs.

Both policies answer the same prompts, so their scores are compared prompt by prompt: a prompt that is easy for both
adds no noise to the difference. The best of several settings looks better than it is: its interval holds for all of
them at once. `cross_fitting` takes the luck out of the choice of the best evaluation.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlhf_sweeps.figures import format_interval, format_number
from rlhf_sweeps.verdicts.error_rate import SIGNIFICANCE_LEVEL
from rlhf_sweeps.verdicts.intervals import Outcomes, estimate_mean
from rlhf_sweeps.verdicts.pairs import BETTER, NOISE, UNKNOWN

WORSE_THAN_BASE = "worse"
# In samples.jsonl: judge/<name>/score and judge/<name>/base_score.
JUDGE, _SCORE = "judge/", "/score"


@dataclass(frozen=True)
class Gain:
    """The mean score minus that of the base policy.

    Attributes:
        mean: over seeds and prompts, in the reward model's unit.
        low, high: its 95 % interval over other prompts, and over other seeds if there are several, adjusted for the
            number of settings; None if the differences do not show how much others would differ.
        verdict: BETTER or WORSE_THAN_BASE if the interval lies above or below 0, NOISE if it contains 0. Without an
            interval UNKNOWN, or what the sign test says if all prompts differ by the same.
    """

    mean: float
    low: float | None
    high: float | None
    verdict: str
    num_prompts: int
    num_seeds: int


def measure_gain(runs: Sequence[Mapping[str, float]], num_settings: int = 1, widening: float = 1.0) -> Gain | None:
    """The gain of a setting; None if its runs have no prompt in common.

    Args:
        runs: for each seed, prompt -> score minus the base policy's score.
        num_settings: the number of settings that this one was chosen from by these runs.
        widening: see `intervals.estimate_mean`.
    """
    prompts = [prompt for prompt in runs[0] if all(prompt in run for run in runs)] if runs else []
    if not prompts:
        return None
    differences: Outcomes = np.array([[run[prompt] for prompt in prompts] for run in runs], dtype=np.float64)
    interval = estimate_mean(differences, num_settings, widening)
    verdict = _judge_equal(differences, num_settings) if interval.low is None else _judge(interval.low, interval.high)
    return Gain(interval.mean, interval.low, interval.high, verdict, len(prompts), len(runs))


def _judge(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return UNKNOWN
    return BETTER if low > 0 else WORSE_THAN_BASE if high < 0 else NOISE


def _judge_equal(differences: Outcomes, num_settings: int) -> str:
    """The verdict on differences without an interval, by the sign test: n equal ones have p = 2^(1-n)."""
    first = differences[0, 0]
    if 2.0 ** (1 - differences.shape[1]) > SIGNIFICANCE_LEVEL / num_settings or first == 0 or np.ptp(differences) != 0:
        return UNKNOWN
    return BETTER if first > 0 else WORSE_THAN_BASE


def read_differences(samples: Iterable[Mapping[str, Any]], judge: str | None = None) -> dict[str, float]:
    """Prompt -> score minus the base policy's score in one evaluation, of which `samples` has the rows.

    Rows without both scores are left out.

    Args:
        judge: the judge whose scores are read; None: the run's own reward model.
    """
    rows, group = list(samples), "" if judge is None else f"{JUDGE}{judge}/"
    scores, base_scores = (read_scores(rows, f"{group}{name}") for name in ("score", "base_score"))
    both = {prompt: (score, base_scores[prompt]) for prompt, score in scores.items() if prompt in base_scores}
    differences = {prompt: score - base_score for prompt, (score, base_score) in both.items()}
    return {prompt: difference for prompt, difference in differences.items() if math.isfinite(difference)}


def read_scores(samples: Iterable[Mapping[str, Any]], name: str) -> dict[str, float]:
    """Prompt -> score in one evaluation, of which `samples` has the rows; rows without it are left out.

    A prompt that occurs several times counts each time.

    Args:
        name: of the column: `score`, `base_score`, or that of a judge.
    """
    scores: dict[str, float] = {}
    seen: dict[str, int] = {}
    for row in samples:
        prompt, score = str(row.get("prompt")), row.get(name)
        seen[prompt] = seen.get(prompt, 0) + 1
        if isinstance(score, int | float) and math.isfinite(score):
            scores[f"{prompt}#{seen[prompt]}"] = float(score)
    return scores


def list_judges(samples: Iterable[Mapping[str, Any]]) -> list[str]:
    """The judges that scored the answers of one evaluation, sorted."""
    keys = {key for row in samples for key in row}
    return sorted(key[len(JUDGE) : -len(_SCORE)] for key in keys if key.startswith(JUDGE) and key.endswith(_SCORE))


def describe_gain(gain: Gain | None) -> str:
    """`better than the base policy by 0.444 [0.31, 0.58]`, or that it is not, or that this is unknown; after `is`."""
    if gain is not None and gain.low is None and gain.verdict != UNKNOWN:
        return f"{gain.verdict} than the base policy by {format_number(abs(gain.mean))} on every prompt"
    if gain is None or gain.low is None or gain.high is None:
        difference = "" if gain is None else f" (difference {format_number(gain.mean)})"
        return f"not known to be better than the base policy{difference}"
    if gain.verdict == NOISE:
        interval = format_interval(gain.low, gain.high)
        return f"not distinguishable from the base policy (difference {format_number(gain.mean)} {interval})"
    low, high = sorted((abs(gain.low), abs(gain.high)))  # of the difference's size
    return f"{gain.verdict} than the base policy by {format_number(abs(gain.mean))} {format_interval(low, high)}"
