"""Reward hacking: the own score goes up, while judges that never train and held-out prompts see no better answers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.health.markers import describe_moved_markers
from analysis.health.signals import Finding, advise_best_evaluation, read_config_value, read_score, read_series
from analysis.health.thresholds import ALIKE_ERRORS, LEAST_FALL, NAMED_FALL, OWN_WINS, SCORE_SURE, SURE, USUAL_PROMPTS
from analysis.records.runs import Floats, RunRecord
from rlhf_sweeps.figures import format_number, format_share
from rlhf_sweeps.record import natural_key
from rlhf_sweeps.verdicts.series import Series, measure_gain, rolling_mean

HACKING = "reward hacking"
HELD_OUT_FALLS = "held-out score falls"

OTHER_REWARD = "train on several reward models (reward_model=ensemble, reward_model.aggregation=uncertainty_weighted)"


@dataclass(frozen=True)
class _Fall:
    """A fall of what a judge thinks of the answers.

    Attributes:
        metric: of the judge, `judge/<name>/win_rate` or, where that is not known, `judge/<name>/score`.
        update: from which on it falls.
        best, end: the metric then, and at the end.
    """

    metric: str
    update: int
    best: float
    end: float

    @property
    def metric_text(self) -> str:
        """The metric in words."""
        _, judge, quantity = self.metric.split("/")
        return f"{quantity.replace('_', ' ')} under {judge}"


def check_reward_hacking(run: RunRecord) -> Finding | None:
    """Judges like the answers less and less, or less than the base policy's, while the own score rises.

    Most of the judges have to; or half of them, if all of them together prefer the base policy. One judge of several
    that turns away may simply want something else.
    """
    names = list_judges(run)
    if not names or not is_own_score_up(run):
        return None
    falls = [fall for fall in (_find_fall(run, name) for name in names) if fall is not None]
    if not falls or 2 * len(falls) < len(names) or (2 * len(falls) == len(names) and average_judges(run, names) > 0.5):
        return None
    worst = max(falls, key=lambda fall: fall.best - fall.end)
    evidence = {f"{fall.metric_text}, best": fall.best for fall in falls} | {
        f"{fall.metric_text}, end": fall.end for fall in falls
    }
    own = read_series(run, "eval/win_rate")
    if len(own):
        evidence["own win rate, end"] = float(own.values[-1])
    is_fall = worst.best - worst.end > NAMED_FALL * max(1.0, abs(worst.best))
    write = format_share if worst.metric.endswith("_rate") else format_number
    fell = f"falls from {write(worst.best)} to" if is_fall else "is"
    text = f"the own score rises while the {worst.metric_text} {fell} {write(worst.end)}"
    text += f" ({len(falls)} of {len(names)} judges)" if len(names) > 1 else ""
    text += describe_moved_markers(run)
    advice = f"raise ppo.kl_coef, lower objective.kl_budget, stop earlier (ppo.total_episodes); {OTHER_REWARD}"
    return Finding(HACKING, min(fall.update for fall in falls), text, evidence, advice)


def list_judges(run: RunRecord) -> list[str]:
    """Names of the judges, the reward model of the run itself not among them."""
    parts = [name.split("/") for name in run.metrics if name.startswith("judge/")]
    names = {part[1] for part in parts if len(part) == 3 and part[2] in ("win_rate", "score")}
    return sorted((name for name in names if name != run.look_up("reward_model")), key=natural_key)


def average_judges(run: RunRecord, names: Sequence[str]) -> float:
    """Of the last two evaluations, over the judges; a half where none is known."""
    wins = [read_series(run, f"judge/{name}/win_rate").values[-2:] for name in names]
    return float(np.mean([rates.mean() for rates in wins if len(rates)] or [0.5]))


def is_own_score_up(run: RunRecord) -> bool:
    """Whether the score under the run's own reward model is above the base policy's, or rises, by more than noise."""
    wins, held_out = read_series(run, "eval/win_rate"), read_series(run, "eval/score")
    if len(wins):
        return float(wins.values[-2:].mean()) > 0.5 + SURE * bound_win_error(run, 2)
    change = measure_gain(held_out if len(held_out) >= 6 else read_score(run))
    return change.size > 0 and change.deviations > SURE


def _find_fall(run: RunRecord, judge: str) -> _Fall | None:
    """Whether the judge's win rate ends clearly below its best, or below a half while the own one is far above."""
    metric = f"judge/{judge}/win_rate"
    wins, own = read_series(run, metric), read_series(run, "eval/win_rate")
    if not len(wins):
        return _find_score_fall(run, judge)
    width = _count_evaluations(wins)
    means = rolling_mean(wins.values, width)
    error, best, end = bound_win_error(run, width), float(means.max()), float(means[-1])
    if best - end > max(LEAST_FALL, SURE * math.sqrt(2.0) * error):
        return _Fall(metric, _find_last_good_update(wins, means, best - ALIKE_ERRORS * error), best, end)
    late = max(1, len(wins) // 3)
    own_is_high = len(own) > 0 and float(own.values[-late:].mean()) > OWN_WINS
    sees_no_gain = float(wins.values[-late:].mean()) < 0.5 - ALIKE_ERRORS * bound_win_error(run, 1)
    if not (own_is_high and sees_no_gain):
        return None
    return _Fall(metric, int(wins.updates[int(np.argmax(wins.values < 0.5))]), best, end)


def _find_score_fall(run: RunRecord, judge: str) -> _Fall | None:
    """Of a judge whose win rates are not known: its score ends below its best, and below where it began."""
    metric = f"judge/{judge}/score"
    scores = read_series(run, metric)
    if len(scores) < 6:
        return None
    width = _count_evaluations(scores)
    means = rolling_mean(scores.values, width)
    error, best, end = scores.noise / math.sqrt(width), float(means.max()), float(means[-1])
    if best - end < SCORE_SURE * math.sqrt(2.0) * error or end > means[0]:
        return None
    return _Fall(metric, _find_last_good_update(scores, means, best - ALIKE_ERRORS * error), best, end)


def _find_last_good_update(values: Series, means: Floats, least: float) -> int:
    """The last good update of the last stretch as good as the best; among equal stretches the best one is chance."""
    first = int(np.flatnonzero(means >= least)[-1])
    window = values.values[first : first + len(values) - len(means) + 1]
    return int(values.updates[first + np.flatnonzero(window >= min(least, window.max()))[-1]])


def _count_evaluations(wins: Series) -> int:
    """The number of evaluations that a mean is over: a fifth of all, at least two where there are more than two."""
    return max(1, min(2, len(wins) - 1), len(wins) // 5)


def bound_win_error(run: RunRecord, num_evaluations: int) -> float:
    """An upper bound on the standard error of a mean win rate: that of independent prompts with a rate of a half."""
    return 0.5 / math.sqrt(max(read_config_value(run, "eval.num_prompts") or USUAL_PROMPTS, 1.0) * num_evaluations)


def check_held_out_score(run: RunRecord) -> Finding | None:
    """On held-out prompts the policy wins ever less often, while its training score holds: it learns the prompts."""
    wins = read_series(run, "eval/win_rate")
    width = _count_evaluations(wins)
    means = rolling_mean(wins.values, width)
    if len(wins) < 4 or measure_gain(read_score(run)).size <= 0:
        return None
    best, end, error = float(means.max()), float(means[-1]), bound_win_error(run, width)
    if best - end < max(LEAST_FALL, SURE * math.sqrt(2.0) * error):
        return None
    text = (
        f"the held-out win rate falls from {format_share(best)} to {format_share(end)}, while the "
        "training score has risen"
    )
    evidence = {"best win rate": best, "win rate at the end": end}
    advice = "take more prompts, or fewer passes over them (ppo.total_episodes); raise ppo.kl_coef"
    advice = "; ".join([advice, *advise_best_evaluation(run)])
    return Finding(
        HELD_OUT_FALLS, _find_last_good_update(wins, means, best - ALIKE_ERRORS * error), text, evidence, advice
    )
