"""Reward models compared by what their policies do under every judge, from the record alone.

Each run counts at its best evaluation within the KL budget. Its own reward model chose that one, so a policy looks a
little better under its own judge than it is; the other judges had no part in the choice.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from rlhf_sweeps.record import Run
from rlhf_sweeps.verdicts.crossed import Difference, differences
from rlhf_sweeps.verdicts.intervals import Outcomes, mean_estimate, win_rate_estimate
from rlhf_sweeps.verdicts.pairs import NOISE
from rlhf_sweeps.verdicts.student import CONFIDENCE

# A prompt, and which of the equal ones it is.
Prompt = tuple[str, int]
MEASURES = ("score", "gain", "win_rate")


@dataclass(frozen=True)
class Compared:
    """What represents a reward model: its best setting.

    Attributes:
        reward_model: its name, which is also its judge's.
        trial: the number of the setting's trial, of the first one where several seeds are several trials.
        settings: Hydra key -> text, for every swept key.
        runs: one for each seed.
    """

    reward_model: str
    trial: int
    settings: Mapping[str, str]
    runs: Sequence[Run]


@dataclass
class _Evaluation:
    """A run's best evaluation; scores: judge -> prompt -> score and base score."""

    seed: int
    update: int
    kl: float
    prompts: frozenset[Prompt]
    scores: dict[str, dict[Prompt, list[float]]] = field(default_factory=dict)


class _UnusableError(Exception):
    """A run has nothing to compare; the message says why."""


def compare(settings: Sequence[Compared]) -> dict[str, Any]:
    """The matrix of train reward models and judges, in plain values for a JSON file.

    Scores are as recorded. A gain is the score less the base policy's in standard deviations of the judge's base
    scores, so that judges can be compared; null where those do not vary. A win is a higher score than the base policy's
    on the same prompt; a tie is half a win. What cannot be compared is left out and said to be, never an error.

    Args:
        settings: one for each reward model.

    Returns:
        confidence, num_prompts, judges (names, the reward models' first), and
        reward_models: reward_model, trial, settings, seeds, num_seeds, updates, kls, update and kl (their means),
            judges (name -> num_seeds, num_prompts, base_score, and score, gain, win_rate with mean, low, high) and
            others (the win rate under all other judges together, or null); only those that have a usable run;
        ranking: reward_model, mean, low, high and within_noise_of (the first reward model before it that it cannot be
            told from, or null), best win rate under the others first;
        pairs: first, second, value, low, high, p_value, verdict: every two of them compared, see `crossed`;
        over_optimized: reward_model, win_rate under its own judge, judges (name -> win rate) that see it lose;
        left_out: sentences that say which runs or scores are missing, and why.
    """
    left_out: list[str] = []
    read = [(setting, list(_evaluations(setting, left_out))) for setting in settings]
    prompts = _common_prompts(evaluation for _, evaluations in read for evaluation in evaluations)
    kept = []
    for setting, evaluations in read:
        for other in [evaluation for evaluation in evaluations if evaluation.prompts != prompts]:
            left_out.append(f"{_where(setting, other.seed)}: evaluated on other prompts than most runs")
            evaluations.remove(other)
        if evaluations:
            kept.append((setting, evaluations))
    scored = [judge for _, evaluations in kept for evaluation in evaluations for judge in evaluation.scores]
    own = [setting.reward_model for setting, _ in kept if setting.reward_model in scored]
    judges = list(dict.fromkeys([*own, *scored]))
    order = sorted(prompts)
    entries, others = [], {}
    for setting, evaluations in kept:
        scores = _scores_by_judge(setting, evaluations, judges, order, left_out)
        wins = _under_others(setting, len(evaluations), scores)
        entries.append(_entry(setting, evaluations, scores, wins))
        if wins is not None:
            others[setting.reward_model] = wins
    pairs = differences(others)
    return {
        "confidence": CONFIDENCE,
        "num_prompts": len(order),
        "judges": judges,
        "reward_models": entries,
        "ranking": _ranking(entries, pairs),
        "pairs": [asdict(pair) for pair in pairs],
        "over_optimized": list(_over_optimized(entries)),
        "left_out": left_out,
    }


def rows(comparison: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One flat row for every train reward model and judge; update and kl are means over seeds."""
    flat = []
    for entry in comparison["reward_models"]:
        for judge, cell in entry["judges"].items():
            row = {"reward_model": entry["reward_model"], "judge": judge, "trial": entry["trial"]}
            row |= {key: cell[key] for key in ("num_seeds", "num_prompts")}
            row |= {"update": entry["update"], "kl": entry["kl"], "base_score": cell["base_score"]}
            for measure in MEASURES:
                estimate = cell[measure] or dict.fromkeys(("mean", "low", "high"))
                row |= {measure: estimate["mean"], f"{measure}_low": estimate["low"]}
                row |= {f"{measure}_high": estimate["high"]}
            flat.append(row)
    return flat


def _where(setting: Compared, seed: int | None) -> str:
    return f"{setting.reward_model}, trial {setting.trial}" + ("" if seed is None else f", seed {seed}")


def _evaluations(setting: Compared, left_out: list[str]) -> Iterator[_Evaluation]:
    """The best evaluations of a setting's runs; runs that have none, and seeds that were there before, are left out."""
    seeds: set[int] = set()
    for run in setting.runs:
        seed = None
        try:
            start = run.start()
            if start is None:
                raise _UnusableError("no run has begun")
            seed = int(start["config"]["seed"])
            if seed in seeds:
                raise _UnusableError("the same seed again")
            evaluation = _best_evaluation(run, seed, setting.reward_model)
        except _UnusableError as error:
            left_out.append(f"{_where(setting, seed)}: {error}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            left_out.append(f"{_where(setting, seed)}: its record in {run.folder} cannot be read ({error!r})")
        else:
            seeds.add(seed)
            yield evaluation


def _best_evaluation(run: Run, seed: int, own: str) -> _Evaluation:
    summary = run.summary()
    if summary is None:
        raise _UnusableError("it did not finish")
    best = summary.get("best")
    if best is None:
        raise _UnusableError(f"no evaluation within the KL budget ({summary['status']})")
    if changed := run.changed(summary, run.samples_file):
        raise _UnusableError(changed[0])
    samples = [row for row in run.samples() if row["update"] == best["update"]]
    if not samples:
        raise _UnusableError(f"no samples of update {best['update']}")
    seen: Counter[str] = Counter()
    prompts: list[Prompt] = []
    for row in samples:
        prompts.append((row["prompt"], seen[row["prompt"]]))
        seen[row["prompt"]] += 1
    evaluation = _Evaluation(seed, int(best["update"]), float(best["kl"]), frozenset(prompts))
    judges = [key.split("/")[1] for key in samples[0] if key.startswith("judge/") and key.endswith("/score")]
    for judge, prefix in ({own: ""} | {name: f"judge/{name}/" for name in judges}).items():
        pairs = [(row.get(f"{prefix}score"), row.get(f"{prefix}base_score")) for row in samples]
        numbers = np.array(pairs, dtype=np.float64)  # what is missing is not a number either
        if np.isfinite(numbers).all():
            evaluation.scores[judge] = dict(zip(prompts, numbers.tolist(), strict=True))
    return evaluation


def _common_prompts(evaluations: Iterable[_Evaluation]) -> frozenset[Prompt]:
    """The held-out prompts of most runs."""
    counts = Counter(evaluation.prompts for evaluation in evaluations)
    return counts.most_common(1)[0][0] if counts else frozenset()


def _scores_by_judge(
    setting: Compared,
    evaluations: Sequence[_Evaluation],
    judges: Sequence[str],
    prompts: Sequence[Prompt],
    left_out: list[str],
) -> dict[str, Outcomes]:
    """Judge -> score and base score, (seeds, prompts, 2), of the seeds that it has scored."""
    for evaluation in evaluations:
        missing = [judge for judge in judges if judge not in evaluation.scores]
        if missing:
            left_out.append(f"{_where(setting, evaluation.seed)}: not scored by {', '.join(missing)}")
    found = {}
    for judge in judges:
        scored = [evaluation.scores[judge] for evaluation in evaluations if judge in evaluation.scores]
        if scored:
            rows = [[by_prompt[prompt] for prompt in prompts] for by_prompt in scored]
            found[judge] = np.array(rows, dtype=np.float64)
    return found


def _under_others(setting: Compared, num_seeds: int, scores: Mapping[str, Outcomes]) -> Outcomes | None:
    """The mean wins under all other judges, (seeds, prompts); None without one.

    Of the same seeds only can wins be averaged, so judges of some seeds alone do not count.
    """
    others = [
        _wins(pairs) for judge, pairs in scores.items() if judge != setting.reward_model and len(pairs) == num_seeds
    ]
    return np.asarray(np.mean(others, axis=0)) if others else None


def _entry(
    setting: Compared,
    evaluations: Sequence[_Evaluation],
    scores: Mapping[str, Outcomes],
    others: Outcomes | None,
) -> dict[str, Any]:
    updates, kls = [each.update for each in evaluations], [each.kl for each in evaluations]
    return {
        "reward_model": setting.reward_model,
        "trial": setting.trial,
        "settings": dict(setting.settings),
        "seeds": [evaluation.seed for evaluation in evaluations],
        "num_seeds": len(evaluations),
        "updates": updates,
        "update": float(np.mean(updates)),
        "kls": kls,
        "kl": float(np.mean(kls)),
        "judges": {judge: _cell(pairs) for judge, pairs in scores.items()},
        "others": None if others is None else asdict(win_rate_estimate(others)),
    }


def _wins(pairs: Outcomes) -> Outcomes:
    """1 won, 0 lost, 1/2 tied, (seeds, prompts), from score and base score, (seeds, prompts, 2)."""
    return (np.sign(pairs[..., 0] - pairs[..., 1]) + 1) / 2


def _cell(pairs: Outcomes) -> dict[str, Any]:
    """One judge's measures of one train reward model, from score and base score, (seeds, prompts, 2)."""
    scores, base_scores = pairs[..., 0], pairs[..., 1]
    gain = None
    if np.ptp(base_scores) > 0:
        gain = asdict(mean_estimate((scores - base_scores) / base_scores.std(ddof=1)))
    return {
        "num_seeds": len(scores),
        "num_prompts": scores.shape[1],
        "base_score": float(base_scores.mean()),
        "score": asdict(mean_estimate(scores)),
        "gain": gain,
        "win_rate": asdict(win_rate_estimate(_wins(pairs))),
    }


def _ranking(entries: Iterable[Mapping[str, Any]], pairs: Iterable[Difference]) -> list[dict[str, Any]]:
    near: dict[str, str] = {}
    for pair in pairs:
        if pair.verdict == NOISE:
            near.setdefault(pair.second, pair.first)
    known = sorted((entry for entry in entries if entry["others"]), key=lambda entry: -entry["others"]["mean"])
    names = [entry["reward_model"] for entry in known]
    return [
        {"reward_model": name, **entry["others"], "within_noise_of": near.get(name)}
        for name, entry in zip(names, known, strict=True)
    ]


def _over_optimized(entries: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Where the own judge surely sees wins, and another one surely losses."""
    for entry in entries:
        rates = {judge: cell["win_rate"] for judge, cell in entry["judges"].items()}
        own = rates.pop(entry["reward_model"], None)
        losing = {judge: rate["mean"] for judge, rate in rates.items() if rate["high"] < 0.5}
        if own is not None and own["low"] > 0.5 and losing:
            yield {"reward_model": entry["reward_model"], "win_rate": own["mean"], "judges": losing}
