"""Health of the answers: their length, those that are cut, and surface markers that nearly all of them come to have.

A reward model cannot tell a better answer from one that only looks like those it prefers; these findings name what the
policy may have learnt to imitate.
"""

import numpy as np

from analysis.health.hacking import OTHER_REWARD, average_judges, bound_win_error, is_own_score_up, list_judges
from analysis.health.markers import MARKERS, read_base_rate
from analysis.health.signals import Finding, read_config_value, read_score, read_series
from analysis.health.thresholds import (
    ALL_CUT,
    CUT,
    CUT_LATE,
    CUT_RISE,
    GROWTH_BEGINS,
    LONGER,
    MARKED,
    MARKED_UNSEEN,
    MARKER_RISE,
    SHORTER,
    SURE,
    UNMARKED,
)
from analysis.records.runs import RunRecord
from analysis.wording.endings import format_ending
from rlhf_sweeps.figures import format_number, format_share
from rlhf_sweeps.verdicts.series import Series, measure_gain, rolling_mean

LENGTH = "length runs away"
MARKER = "surface marker runs away"
TRUNCATED = "truncated answers"


def check_length(run: RunRecord) -> Finding | None:
    """Answers become twice as long, or less than half as long, while the score rises."""
    length = read_series(run, "objective/length", "eval/length")
    if len(length) < 10 or not length.start > 0:
        return None
    factor = length.end / length.start
    if SHORTER <= factor <= LONGER:
        return None
    change = measure_gain(read_score(run))
    if not change.size > 0 or change.deviations < SURE:
        return None
    has_begun = (
        length.values > GROWTH_BEGINS * length.start if factor > 1 else length.values < length.start / GROWTH_BEGINS
    )
    update = length.where(has_begun)
    grow = "grow" if factor > 1 else "shrink"
    text = (
        f"answers {grow} from {format_number(length.start)} to {format_ending(length.ending, 'tokens')} while "
        "the score rises by"
    )
    text += f" {format_number(change.size)}: length may be rewarded"
    evidence = {
        "tokens at the start": length.start,
        "tokens at the end": length.ending.mean,
        "gain in score": change.size,
    }
    advice = f"judge by a reward model that ignores length (eval.judges); {OTHER_REWARD}; raise ppo.kl_coef"
    advice += "; limit the length ('objective.constraints=[\"eval/length<=...\"]')" if factor > 1 else ""
    return Finding(LENGTH, update, text, evidence, advice)


def check_markers(run: RunRecord) -> Finding | None:
    """Nearly every answer comes to have a surface marker, or most do and judges see no gain; the own score rises."""
    if not is_own_score_up(run):
        return None
    names = list_judges(run)
    is_unseen = bool(names) and average_judges(run, names) < 0.5 + bound_win_error(run, 2)
    least = MARKED_UNSEEN if is_unseen else MARKED
    for marker, marker_noun in MARKERS.items():
        rate = read_series(run, f"eval/{marker}_rate")
        if len(rate) < 3 or rate.values[-2:].min() < least:
            continue
        first, last, when = float(rate.values[0]), float(rate.values[-2:].min()), "at the first evaluation"
        if first > UNMARKED:  # it may have spread before that
            first, when = read_base_rate(run, marker) or first, "of the base policy's"
        if not (first <= UNMARKED and last >= MARKED) and not (is_unseen and last - first >= MARKER_RISE):
            continue
        update = rate.where(rate.values >= (first + last) / 2)
        text = f"{format_share(last)} of the answers have {marker_noun}, {format_share(first)} {when},"
        text += f" while the own score rises{' and the judges see no gain' if is_unseen else ''}"
        advice = f"read samples; see what other reward models say (eval.judges); {OTHER_REWARD}; raise ppo.kl_coef"
        return Finding(MARKER, update, text, {"share before": first, "share at the end": last}, advice)
    return None


def check_truncation(run: RunRecord) -> Finding | None:
    """Many answers are cut at the length limit: 40 %, 25 % at the end where the share has risen, all from the start."""
    cut = _read_cut_share(run)
    width = max(min(5, len(cut)), cut.window if len(cut) > 50 else 0)  # single batches are small
    means = rolling_mean(cut.values, width)
    if not len(cut) or (len(cut) < 3 and cut.values.min() < ALL_CUT):
        return None
    start, end = float(means[0]), float(means[-1])
    rises = end - start > CUT_RISE and end > CUT_LATE
    smooth = Series(cut.updates[width // 2 :][: len(means)], means)
    update = smooth.where(means >= (CUT_LATE if rises else CUT)) if len(smooth) >= smooth.window else None
    if update is None and not (len(smooth) < smooth.window and end >= CUT):
        return None
    begins = int(cut.updates[0]) if start >= CUT else int(update or cut.updates[0])
    limit = read_config_value(run, "ppo.response_length")
    at = f" at ppo.response_length={format_number(limit)}" if limit else ""
    penalty = read_config_value(run, "ppo.missing_eos_penalty")
    text = f"at the end {format_ending(cut.ending, write=format_share)} of the answers are cut{at}, at the start "
    text += format_share(start)
    text += f"; each that is cut loses ppo.missing_eos_penalty={format_number(penalty)}" if penalty else ""
    text += "; the share rises, as where length is rewarded" if rises else ""
    advice = "set ppo.missing_eos_penalty, raise ppo.kl_coef" if rises else "raise ppo.response_length"
    advice += "; check that the model ends its answers (its end token, ppo.stop_strings)"
    evidence = {"share at the start": start, "share at the end": cut.ending.mean}
    return Finding(TRUNCATED, begins, text, evidence, advice)


def _read_cut_share(run: RunRecord) -> Series:
    """Share of answers that were cut; where only TRL's number of end tokens is known: 1 where there is none at all."""
    cut = read_series(run, "objective/truncated_rate")
    if len(cut):
        return cut
    ended = read_series(run, "objective/eos_rate", "eval/eos_rate")
    if len(ended):
        return Series(ended.updates, 1.0 - ended.values)
    counts = read_series(run, "val/num_eos_tokens")
    return Series(counts.updates, (counts.values == 0).astype(np.float64))
