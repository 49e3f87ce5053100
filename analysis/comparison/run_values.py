"""The value of a run: its objective, a metric at its best evaluation, or its win rate under the other judges."""

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.comparison.near_copies import average_other_judges, read_near_copies
from analysis.records.final_policies import read_kl_price
from analysis.records.held_out_kl import select_held_out_kl
from analysis.records.runs import REWARD, SCORES, TOO_LARGE, RunRecord, Source, convert_number
from analysis.records.worth import recompute_objectives
from analysis.wording.errors import AnalysisError
from analysis.wording.statements import format_count, join_words
from rlhf_sweeps.record import natural_key
from rlhf_sweeps.record.quantities import OBJECTIVE as OBJECTIVE
from rlhf_sweeps.verdicts.judge_votes import JudgeGroup

OTHER_JUDGES, EVAL_SCORE, WIN_RATE = "win rate under the other judges", "eval/score", "eval/win_rate"
_JUDGE, _WINS = "judge/", "/win_rate"
_HELD_OUT = ("eval/", _JUDGE)
_AT_BEST, _AT_END = "at each run's best evaluation", "as the mean over the last 10 % of updates"
_LOWER_IS_BETTER = ("loss/", "kl", "truncated_rate", "_seconds", "memory_mb", "approxkl_avg", "kl_per_token")


@dataclass(frozen=True)
class Measure:
    """The value that runs are compared by.

    Attributes:
        name: the metric, OBJECTIVE, or OTHER_JUDGES.
        text: how it was measured, for a title.
        values: run's name -> value; runs without one are missing.
        is_lower_better: whether the lower of two values is better.
        is_rate: whether values lie within 0 and 1.
        warnings: sentences.
        num_prompts: for a rate over held-out prompts their number; None where it is unknown.
    """

    name: str
    text: str
    values: Mapping[str, float]
    is_lower_better: bool = False
    is_rate: bool = False
    warnings: Sequence[str] = ()
    num_prompts: int | None = None


def measure_runs(source: Source, runs: Sequence[RunRecord], metric: str | None) -> Measure:
    """The value of each run.

    By default its objective; the mean win rate under the other judges where runs have several reward models, whose
    scores have no common scale.

    Raises:
        AnalysisError: if a metric is asked for that no run has recorded.
    """
    measured = measure_values(source, runs, metric)
    measured = replace(measured, is_rate=measured.is_rate and are_shares(measured.values.values()))
    name = str(source.metrics[0]) if measured.name == OBJECTIVE and source.metrics else measured.name
    if measured.is_rate and (name == OTHER_JUDGES or name.startswith(_HELD_OUT)):
        return replace(measured, num_prompts=count_prompts(runs))
    return measured


def measure_values(source: Source, runs: Sequence[RunRecord], metric: str | None = None) -> Measure:
    """The value of each run without the number of prompts, for which the samples would have to be read."""
    if metric is not None and metric != OBJECTIVE:
        return _measure_metric(source, runs, metric)
    if metric is None and len({describe_scale(run) for run in runs}) > 1:
        return _measure_across_scales(source, runs)
    return measure_objective(source, runs)


def count_prompts(runs: Sequence[RunRecord]) -> int | None:
    """The number of held-out prompts of the runs, the smallest where they differ; None where it is unknown.

    It is counted in the samples, once for runs with the same prompts; without samples the config has the number.
    """
    alike: dict[str, list[RunRecord]] = {}
    for run in runs:
        parts = sorted((key, repr(value)) for key, value in run.config.items() if key.startswith(("dataset.", "eval.")))
        alike.setdefault(repr(parts), []).append(run)
    counts = [next((count for run in group if (count := _count_samples(run))), None) for group in alike.values()]
    asked = [convert_number(group[0].config.get("eval.num_prompts")) for group in alike.values()]
    nums = [num for count, most in zip(counts, asked, strict=True) if (num := count or int(most or 0))]
    return min(nums, default=None)


def _count_samples(run: RunRecord) -> int:
    """The number of samples of an evaluation, the largest of all, since one may be incomplete."""
    return max(Counter(repr(row.get("update")) for row in run.read_samples()).values(), default=0)


def describe_scale(run: RunRecord) -> str:
    """The scale of a run's scores as a text: it differs with the reward model and its normalization."""
    config = {key: value for key, value in run.config.items() if key.startswith("reward_model.")}
    return repr(sorted(config.items())) if config else repr(run.look_up("reward_model"))


def find_best_update(run: RunRecord) -> float | None:
    """The update of a run's best evaluation: by its summary, else of the highest score, or net score, in the budget."""
    best = run.summary.get("best")
    update = convert_number(best.get("update") if isinstance(best, Mapping) else run.summary.get("best_update"))
    if update is not None:
        return update
    updates, worth = run.select_points(EVAL_SCORE)
    budget, price = run.kl_budget, read_kl_price(run)
    if len(updates) and (budget is not None or price):
        kls, bounds = (np.full(len(updates), np.nan) for _ in range(2))
        kl_updates, held_out_kls, held_out_bounds = select_held_out_kl(run)
        shared, measured = np.isin(updates, kl_updates), np.isin(kl_updates, updates)
        kls[shared], bounds[shared] = held_out_kls[measured], held_out_bounds[measured]
        is_within = np.isfinite(kls) if budget is None else bounds <= budget
        updates, worth = updates[is_within], (worth - price * kls)[is_within]
    return float(updates[np.argmax(worth)]) if len(updates) else None


def read_value(run: RunRecord, metric: str, update: float | None) -> float | None:
    """A metric at an update; None if it has none there."""
    updates, values = run.select_points(metric)
    at_update = values[updates == update] if update is not None else values[:0]
    return float(at_update[-1]) if len(at_update) else None


def list_other_judges(run: RunRecord) -> list[str]:
    """The judges that a run has win rates under, without its own reward model, sorted."""
    own = run.look_up("reward_model")
    judges = (key[len(_JUDGE) : -len(_WINS)] for key in run.metrics if key.startswith(_JUDGE) and key.endswith(_WINS))
    return sorted((judge for judge in judges if judge != own), key=natural_key)


def average_win_rate(
    run: RunRecord, update: float | None, judges: Sequence[str], near_copies: Sequence[JudgeGroup] = ()
) -> float | None:
    """The mean win rate under the independent judges of a run; None if a judge is missing, or none is independent."""
    own = run.look_up("reward_model")
    rates = {judge: read_value(run, f"{_JUDGE}{judge}{_WINS}", update) for judge in judges if judge != own}
    recorded = {judge: np.array(rate) for judge, rate in rates.items() if rate is not None}
    if len(recorded) < len(rates):
        return None
    average = average_other_judges(str(own), recorded, near_copies)
    return None if average is None else float(average)


def list_common_judges(runs: Sequence[RunRecord]) -> list[str]:
    """The judges that more than half of the runs with other reward models have win rates under, sorted."""
    counts: Counter[str] = Counter()
    possible: Counter[str] = Counter()
    names = {judge for run in runs for judge in list_other_judges(run)}
    for run in runs:
        counts.update(list_other_judges(run))
        possible.update(names - {run.look_up("reward_model")})
    return sorted((judge for judge in names if counts[judge] > possible[judge] / 2), key=natural_key)


def _measure_across_scales(source: Source, runs: Sequence[RunRecord]) -> Measure:
    judges = list_common_judges(runs)
    near_copies = read_near_copies(source.comparison)
    values = {run.name: average_win_rate(run, find_best_update(run), judges, near_copies) for run in runs}
    if judges and sum(value is not None for value in values.values()) > len(runs) / 2:
        names = ", ".join(judges[:4]) + (f" and {len(judges) - 4} more" if len(judges) > 4 else "")
        own_judges = "own reward model and its near-copies" if near_copies else "own reward model"
        judged_by = f"all judges but the run's {own_judges} (judges: {names})"
        text = f"mean win rate against the base policy under {judged_by}, {_AT_BEST}"
        return Measure(OTHER_JUDGES, text, _drop_missing(values), is_rate=True)
    own = {run.name: read_value(run, WIN_RATE, find_best_update(run)) for run in runs}
    if _drop_missing(own):
        warning = (
            "no common judges were recorded, so each reward model judges its own runs: this shows how much the "
            "score of each rose, not which policy is better; with eval.judge_each_other=true they judge each other"
        )
        text = f"win rate against the base policy, each under its own reward model, {_AT_BEST}"
        return Measure(WIN_RATE, text, _drop_missing(own), is_rate=True, warnings=[warning])
    fallback = measure_objective(source, runs)
    warning = "runs have several reward models, whose scores have no common scale, but no win rates: compare with care"
    return Measure(fallback.name, fallback.text, fallback.values, fallback.is_lower_better, fallback.is_rate, [warning])


def measure_objective(source: Source, runs: Sequence[RunRecord]) -> Measure:
    """The first objective; where there are no evaluations the training scores.

    For runs without one it is computed from their evaluations, or is the best score where their config has none.

    Raises:
        AnalysisError: if runs look for different things.
    """
    if len(source.apart) > 1:
        texts = [part.aim for part in source.apart]
        raise AnalysisError(
            f"objective: must be the same in all runs to compare them by it (it is {join_words(texts)}); --metric NAME "
            "compares by one metric; or give only runs with the same objective"
        )
    is_lower_better = bool(source.directions) and source.directions[0] == "minimize"
    name = source.metrics[0] if source.metrics else EVAL_SCORE
    values: dict[str, float | None] = {}
    ruled = best = 0
    for run in runs:
        values[run.name] = run.objectives[0] if run.objectives else None
        if values[run.name] is None and (worth := recompute_objectives(run)) is not None:
            values[run.name], ruled = worth[0], ruled + 1
        elif values[run.name] is None and name == EVAL_SCORE:
            values[run.name] = read_value(run, EVAL_SCORE, find_best_update(run))
            best += values[run.name] is not None
    # Rewards hold the KL penalty, whose coefficient may differ between runs: scores come first.
    trained = next((metric for metric in (SCORES, REWARD) if any(metric in run.metrics for run in runs)), None)
    if not _drop_missing(values) and trained is not None:
        ends = {run.name: _average_end(run, trained) for run in runs}
        text = f"{trained} {_AT_END}, since no run has an objective or an evaluation"
        return Measure(trained, text, _drop_missing(ends))
    text = f"objective ({name}" + (", the first of several" if len(source.metrics) > 1 else "")
    text += ", lower is better)" if is_lower_better else ")"
    if ruled:
        text += f"; for {format_count(ruled, 'run')} without one it is computed from the evaluations"
    if best:
        text += f"; for {format_count(best, 'run')} without one it is the best {EVAL_SCORE} within the KL budget"
    return Measure(OBJECTIVE, text, _drop_missing(values), is_lower_better, _is_rate(name))


def _measure_metric(source: Source, runs: Sequence[RunRecord], metric: str) -> Measure:
    if not any(len(run.select_points(metric)[0]) for run in source.runs):
        near = difflib.get_close_matches(metric, source.metric_names, 5, 0.4) or source.metric_names[:8]
        raise AnalysisError(
            f"--metric {metric}: no run has recorded it (recorded: {', '.join(near) or 'nothing'}, ...)"
        )
    is_evaluated = metric.startswith(_HELD_OUT) and any(len(run.select_points(EVAL_SCORE)[0]) for run in runs)
    values = {
        run.name: read_value(run, metric, find_best_update(run)) if is_evaluated else _average_end(run, metric)
        for run in runs
    }
    directions = {
        direction
        for part in source.apart
        for name, direction in zip(part.metrics, part.directions, strict=False)
        if name == metric
    }
    is_lower_better = metric.startswith("loss/") or metric.endswith(_LOWER_IS_BETTER)
    warnings = []
    if len(directions) == 1:
        is_lower_better = directions == {"minimize"}
    elif directions:
        warnings = [f"some runs maximize {metric} and some minimize it"]
    is_score = metric.endswith(("/score", "/scores", "reward", "raw_scores")) and not metric.startswith(_JUDGE)
    if is_score and len({describe_scale(run) for run in runs}) > 1:
        warnings += [f"{metric} is measured by several reward models here, which have no common scale"]
    better = "lower is better" if is_lower_better else "higher is better"
    text = f"{metric} {_AT_BEST if is_evaluated else _AT_END} ({better})"
    return Measure(metric, text, _drop_missing(values), is_lower_better, _is_rate(metric), warnings)


def are_shares(values: Iterable[float]) -> bool:
    """Whether all lie within 0 and 1; tokens a second, or win rates in percent, have the name of a rate, too."""
    return all(0 <= value <= 1 for value in values)


def _is_rate(metric: str) -> bool:
    """Whether a metric has the name of a share; a learning rate has not."""
    return metric.endswith("_rate") and not metric.endswith("learning_rate")


def _average_end(run: RunRecord, metric: str) -> float | None:
    """The mean over the last tenth of a run's updates, over the last value at least."""
    updates, values = run.select_points(metric)
    if not len(updates):
        return None
    first = updates[-1] - 0.1 * (updates[-1] - updates[0])
    return float(values[updates >= first].mean())


def _drop_missing(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None and abs(value) < TOO_LARGE}
