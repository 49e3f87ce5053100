"""Compare reward models by the scores that every judge gives to their policies; all is read from the record.

A run is represented by its best evaluation within the KL budget. Its own reward model chose this evaluation, so a
policy looks a little better under its own judge than it is. The other judges had no part in the choice.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from rlhf_sweeps.record import Run
from rlhf_sweeps.verdicts.crossed import Difference, compare_by_prompt
from rlhf_sweeps.verdicts.intervals import Outcomes, estimate_mean, estimate_win_rate
from rlhf_sweeps.verdicts.judge_votes import JudgeGroup, average_votes, group_judges, list_answers
from rlhf_sweeps.verdicts.near_copies import NEAR_COPY
from rlhf_sweeps.verdicts.over_optimized import count_wins, find_over_optimized
from rlhf_sweeps.verdicts.pairs import NOISE
from rlhf_sweeps.verdicts.student import CONFIDENCE

# A prompt, and its number among the prompts with the same text.
Prompt = tuple[str, int]
MEASURES = ("score", "gain", "win_rate")


@dataclass(frozen=True)
class ComparedSetting:
    """The best setting of a reward model, which represents it in the comparison.

    Attributes:
        reward_model: its name, which is also the name of its judge.
        trial: the number of the setting's trial; of the first trial, where each seed is a trial of its own.
        settings: Hydra key -> text, for every swept key.
        runs: a run for each seed.
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
    """A run has nothing that can be compared; the message says why."""


def compare(settings: Sequence[ComparedSetting]) -> dict[str, Any]:
    """The matrix of train reward models and judges, in plain values for a JSON file.

    Scores are as recorded. A gain is the score minus the base policy's score, in standard deviations of the judge's
    base scores, so that judges can be compared; it is null where the base scores do not vary. A win is a higher score
    than the base policy's on the same prompt; a tie is half a win. A run that cannot be compared is listed in
    `left_out`; it is never an error.

    Args:
        settings: the best setting of each reward model.

    Returns:
        confidence, num_prompts, judges (names, the reward models' first), and
        reward_models: reward_model, trial, settings, seeds, num_seeds, updates, kls, update and kl (their means),
            judges (name -> num_seeds, num_prompts, base_score, and score, gain, win_rate with mean, low, high) and
            others (the win rate under all independent judges together, or null); only those that have a usable run;
        near_copy_from: the correlation from which judges are near-copies;
        near_copies: judges, correlation: see `JudgeGroup`; each group has one vote, and none of it judges another;
        ranking: reward_model, mean, low, high and within_noise_of (the first reward model before it whose lead over it
            is within noise, or null), best win rate under the other judges first;
        pairs: first, second, value, low, high, p_value, verdict: of every two reward models, see `crossed`;
        over_optimized: reward_model, win_rate under its own judge, judges (name -> win rate) under which it loses, by
            more than noise and on several seeds;
        left_out: sentences that say which runs or scores are missing, and why.
    """
    left_out: list[str] = []
    usable, order = _select_usable(settings, left_out)
    judges = _list_judges(usable)
    answers = list_answers(((each.seed, each.scores) for _, evaluations in usable for each in evaluations), order)
    groups = group_judges(judges, list(answers))
    entries, outcomes, wins_by_model = [], [], {}
    for setting, evaluations in usable:
        scores = _collect_scores(setting, evaluations, judges, order, left_out)
        wins = _average_wins(setting.reward_model, scores, len(evaluations), groups, left_out)
        entries.append(_make_entry(setting, evaluations, scores, wins))
        outcomes.append((setting.reward_model, scores))
        wins_by_model[setting.reward_model] = wins
    pairs = compare_by_prompt({name: wins for name, wins in wins_by_model.items() if wins is not None})
    return {
        "confidence": CONFIDENCE,
        "num_prompts": len(order),
        "judges": judges,
        "reward_models": entries,
        "near_copy_from": NEAR_COPY,
        "near_copies": [asdict(group) for group in groups if len(group.judges) > 1],
        "ranking": _rank(entries, pairs),
        "pairs": [asdict(pair) for pair in pairs],
        "over_optimized": list(find_over_optimized(outcomes)),
        "left_out": left_out,
    }


def _select_usable(
    settings: Sequence[ComparedSetting], left_out: list[str]
) -> tuple[list[tuple[ComparedSetting, list[_Evaluation]]], list[Prompt]]:
    """The settings with the evaluations of their runs on the prompts that most runs have, and these prompts."""
    read = [(setting, list(_read_evaluations(setting, left_out))) for setting in settings]
    prompts = _find_common_prompts(evaluation for _, evaluations in read for evaluation in evaluations)
    for setting, evaluations in read:
        for other in [evaluation for evaluation in evaluations if evaluation.prompts != prompts]:
            left_out.append(f"{_describe_run(setting, other.seed)}: evaluated on other prompts than most runs")
            evaluations.remove(other)
    return [(setting, evaluations) for setting, evaluations in read if evaluations], sorted(prompts)


def _list_judges(usable: Sequence[tuple[ComparedSetting, Sequence[_Evaluation]]]) -> list[str]:
    """All judges that gave scores, those that are reward models of the settings first."""
    scored = [judge for _, evaluations in usable for evaluation in evaluations for judge in evaluation.scores]
    own = [setting.reward_model for setting, _ in usable if setting.reward_model in scored]
    return list(dict.fromkeys([*own, *scored]))


def _average_wins(
    name: str, scores: Mapping[str, Outcomes], num_seeds: int, groups: Sequence[JudgeGroup], left_out: list[str]
) -> Outcomes | None:
    """The win rate of a reward model's policies under all independent judges, (seeds, prompts); None without any."""
    # Wins can be averaged only over the same seeds, so a judge that has not scored every seed does not count.
    judged = {judge: count_wins(pairs) for judge, pairs in scores.items() if len(pairs) == num_seeds}
    wins = average_votes(name, judged, groups)
    if wins is None and judged.keys() - {name}:
        left_out.append(f"{name}: is not ranked, since all other judges are near-copies of it")
    return wins


def list_rows(comparison: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A flat row for every train reward model and judge; update and kl are means over seeds."""
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


def _describe_run(setting: ComparedSetting, seed: int | None) -> str:
    return f"{setting.reward_model}, trial {setting.trial}" + ("" if seed is None else f", seed {seed}")


def _read_evaluations(setting: ComparedSetting, left_out: list[str]) -> Iterator[_Evaluation]:
    """Yield the best evaluation of each run; runs without one, and further runs with the same seed, are left out."""
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
            evaluation = _read_best_evaluation(run, seed, setting.reward_model)
        except _UnusableError as error:
            left_out.append(f"{_describe_run(setting, seed)}: {error}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            left_out.append(f"{_describe_run(setting, seed)}: its record in {run.folder} cannot be read ({error!r})")
        else:
            seeds.add(seed)
            yield evaluation


def _read_best_evaluation(run: Run, seed: int, own: str) -> _Evaluation:
    summary = run.summary()
    if summary is None:
        raise _UnusableError("it did not finish")
    best = summary.get("best")
    if best is None:
        raise _UnusableError(f"no evaluation within the KL budget ({summary['status']})")
    if changed := run.find_changed_files(summary, run.samples_file):
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
        numbers = np.array(pairs, dtype=np.float64)  # a missing score becomes nan
        if np.isfinite(numbers).all():
            evaluation.scores[judge] = dict(zip(prompts, numbers.tolist(), strict=True))
    return evaluation


def _find_common_prompts(evaluations: Iterable[_Evaluation]) -> frozenset[Prompt]:
    """The held-out prompts that most runs were evaluated on."""
    counts = Counter(evaluation.prompts for evaluation in evaluations)
    return counts.most_common(1)[0][0] if counts else frozenset()


def _collect_scores(
    setting: ComparedSetting,
    evaluations: Sequence[_Evaluation],
    judges: Sequence[str],
    prompts: Sequence[Prompt],
    left_out: list[str],
) -> dict[str, Outcomes]:
    """Judge -> score and base score of the seeds that it has scored, (seeds, prompts, 2)."""
    for evaluation in evaluations:
        missing = [judge for judge in judges if judge not in evaluation.scores]
        if missing:
            left_out.append(f"{_describe_run(setting, evaluation.seed)}: not scored by {', '.join(missing)}")
    by_judge = {}
    for judge in judges:
        scored = [evaluation.scores[judge] for evaluation in evaluations if judge in evaluation.scores]
        if scored:
            rows = [[by_prompt[prompt] for prompt in prompts] for by_prompt in scored]
            by_judge[judge] = np.array(rows, dtype=np.float64)
    return by_judge


def _make_entry(
    setting: ComparedSetting,
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
        "judges": {judge: _measure(pairs) for judge, pairs in scores.items()},
        "others": None if others is None else asdict(estimate_win_rate(others)),
    }


def _measure(pairs: Outcomes) -> dict[str, Any]:
    """One judge's measures of one train reward model, from score and base score, (seeds, prompts, 2)."""
    scores, base_scores = pairs[..., 0], pairs[..., 1]
    gain = None
    if np.ptp(base_scores) > 0:
        gain = asdict(estimate_mean((scores - base_scores) / base_scores.std(ddof=1)))
    return {
        "num_seeds": len(scores),
        "num_prompts": scores.shape[1],
        "base_score": float(base_scores.mean()),
        "score": asdict(estimate_mean(scores)),
        "gain": gain,
        "win_rate": asdict(estimate_win_rate(count_wins(pairs))),
    }


def _rank(entries: Iterable[Mapping[str, Any]], pairs: Iterable[Difference]) -> list[dict[str, Any]]:
    near: dict[str, str] = {}
    for pair in pairs:
        if pair.verdict == NOISE:
            near.setdefault(pair.second, pair.first)
    comparable = sorted((entry for entry in entries if entry["others"]), key=lambda entry: -entry["others"]["mean"])
    names = [entry["reward_model"] for entry in comparable]
    return [
        {"reward_model": name, **entry["others"], "within_noise_of": near.get(name)}
        for name, entry in zip(names, comparable, strict=True)
    ]
