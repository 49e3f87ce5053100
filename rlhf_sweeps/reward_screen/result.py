"""The result of a screen, from the scores that several reward models gave to the same answers; loads no torch."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np

from rlhf_sweeps.verdicts.best_of_n import bound_kl, estimate_scores, estimate_win_rates, list_sizes
from rlhf_sweeps.verdicts.head_to_head import (
    INDEPENDENT,
    Duel,
    Standing,
    find_winner,
    hold_duels,
    leave_out,
    rank_by_duels,
    vote,
)
from rlhf_sweeps.verdicts.intervals import estimate_win_rate
from rlhf_sweeps.verdicts.near_copies import NEAR_COPY, correlate_ranks, find_clusters
from rlhf_sweeps.verdicts.over_optimized import find_first_loss
from rlhf_sweeps.verdicts.student import CONFIDENCE, Floats
from rlhf_sweeps.verdicts.teaching import Teaching, measure_teaching


@dataclass(frozen=True)
class _Scored:
    """The scores, and what was found out about the reward models.

    Attributes:
        scores: (reward models, prompts, answers).
        clusters: groups of near-copies among the reward models that tell answers apart.
        rates: n -> see `estimate_win_rates`.
    """

    names: Sequence[str]
    scores: Floats
    teaching: Sequence[Teaching]
    correlations: Floats
    clusters: Sequence[Sequence[int]]
    rates: dict[int, Floats]


def make_result(names: Sequence[str], scores: Floats) -> dict[str, Any]:
    """Compare reward models by the answers that they choose.

    Args:
        names: of the reward models.
        scores: (reward models, prompts, answers); the largest n is one less than the number of answers.

    Returns:
        Plain values for a JSON file: confidence, num_prompts, num_answers, n (the largest) and
        reward_models: name, within and between (variances), within_share, tie_share, silent_share: see `Teaching`;
            silent ones, which give all answers to a prompt the same score, take no part in what follows the curves;
        agreement: name -> name -> mean rank correlation within prompts, or null;
        near_copy_from: the correlation from which reward models are near-copies;
        clusters: groups of near-copies, by name;
        curves: reward_model, judge, n, kl (its upper bound, in nats), score (mean score of the choices, in the judge's
            units), win_rate, low, high (against the base policy); the judge INDEPENDENT has no score;
        pairs: first, second, judges, win_rate, low, high, verdict: see `Duel`;
        ranking: reward_model, win_rate, low, high, within_noise_of, near_copies: see `Standing`;
        winner: the reward model that is better than every other, or null;
        over_optimized: reward_model, from_n: see `find_first_loss`.
    """
    scored = _examine(names, scores)
    largest = max(scored.rates)
    duels = hold_duels(scores, scored.clusters, largest)
    ranking = rank_by_duels(duels, scored.clusters)
    winner = find_winner(duels, ranking)
    return {
        "confidence": CONFIDENCE,
        "num_prompts": scores.shape[1],
        "num_answers": scores.shape[2],
        "n": largest,
        "reward_models": [
            {"name": name, **asdict(teaching), "within_share": teaching.within_share}
            for name, teaching in zip(names, scored.teaching, strict=True)
        ],
        "agreement": _name_correlations(scored),
        "near_copy_from": NEAR_COPY,
        "clusters": [[names[number] for number in cluster] for cluster in scored.clusters],
        "curves": list(_list_curves(scored)),
        "pairs": [_name_duel(duel, names) for duel in duels],
        "ranking": [_name_standing(standing, names) for standing in ranking],
        "winner": None if winner is None else names[winner],
        "over_optimized": list(_list_losses(scored)),
    }


def _examine(names: Sequence[str], scores: Floats) -> _Scored:
    teaching = [measure_teaching(own) for own in scores]
    usable = [number for number, own in enumerate(teaching) if own.silent_share < 1]
    correlations = correlate_ranks(scores)
    # Where no prompt shows whether two of them agree, they do not count as near-copies.
    numbered = find_clusters(np.nan_to_num(correlations[np.ix_(usable, usable)]))
    clusters = [[usable[place] for place in cluster] for cluster in numbered]
    rates = {n: estimate_win_rates(scores, n) for n in list_sizes(scores.shape[2] - 1)}
    return _Scored(names, scores, teaching, correlations, clusters, rates)


def _name_correlations(scored: _Scored) -> dict[str, dict[str, float | None]]:
    return {
        name: {other: None if np.isnan(value) else float(value) for other, value in zip(scored.names, row, strict=True)}
        for name, row in zip(scored.names, scored.correlations, strict=True)
    }


def _list_curves(scored: _Scored) -> Iterator[dict[str, Any]]:
    """Yield a row for each reward model, judge and n."""
    for n, rates in scored.rates.items():
        means = estimate_scores(scored.scores, n)
        for number, name in enumerate(scored.names):
            for judge, judge_name in enumerate(scored.names):
                yield _make_point(name, judge_name, n, float(means[number, judge]), rates[number, judge])
            if judges := _find_judges(scored, number):
                yield _make_point(name, INDEPENDENT, n, None, vote(rates[number], judges))


def _make_point(name: str, judge: str, n: int, score: float | None, wins: Floats) -> dict[str, Any]:
    rate = estimate_win_rate(wins[None])
    point = {"reward_model": name, "judge": judge, "n": n, "kl": bound_kl(n), "score": score}
    return point | {"win_rate": rate.mean, "low": rate.low, "high": rate.high}


def _find_judges(scored: _Scored, number: int) -> Sequence[Sequence[int]]:
    """The groups of near-copies that can judge a reward model; none for a silent one, which is in no group."""
    is_silent = number not in chain.from_iterable(scored.clusters)
    return [] if is_silent else leave_out(scored.clusters, number)


def _list_losses(scored: _Scored) -> Iterator[dict[str, Any]]:
    judged = [number for number in range(len(scored.names)) if _find_judges(scored, number)]
    for number in judged:
        own = {n: rates[number, number] for n, rates in scored.rates.items()}
        others = {n: vote(rates[number], _find_judges(scored, number)) for n, rates in scored.rates.items()}
        if (first := find_first_loss(own, others, len(judged) * len(others))) is not None:
            yield {"reward_model": scored.names[number], "from_n": first}


def _name_duel(duel: Duel, names: Sequence[str]) -> dict[str, Any]:
    return {
        "first": names[duel.first],
        "second": names[duel.second],
        "judges": [names[judge] for judge in duel.judges],
        "win_rate": duel.win_rate.mean,
        "low": duel.win_rate.low,
        "high": duel.win_rate.high,
        "verdict": duel.verdict,
    }


def _name_standing(standing: Standing, names: Sequence[str]) -> dict[str, Any]:
    return {
        "reward_model": names[standing.number],
        "win_rate": standing.win_rate.mean,
        "low": standing.win_rate.low,
        "high": standing.win_rate.high,
        "within_noise_of": [names[other] for other in standing.within_noise_of],
        "near_copies": [names[other] for other in standing.near_copies],
    }
