"""The policy by which a run is compared with the base policy, also of a run that has not come to its end."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from analysis.records.held_out_kl import select_held_out_kl
from analysis.records.objective import read_objective
from analysis.records.runs import RunRecord
from analysis.wording.numbers import convert_number
from rlhf_sweeps.verdicts.final_policies import FinalPolicy, find_final_policy
from rlhf_sweeps.verdicts.objective import Evaluation, choose_kl_price

_SCORE = "eval/score"


def find_policy_of_run(run: RunRecord) -> FinalPolicy | None:
    """None if it had no evaluation."""
    return find_final_policy(summarize(run), run.read_samples(), run.look_up("reward_model"), run.read_confirmation())


def summarize(run: RunRecord) -> Mapping[str, Any]:
    """The run's summary, else one of its recorded evaluations so far."""
    is_summarized = any(isinstance(run.summary.get(key), Mapping) for key in ("best", "last"))
    return run.summary if is_summarized else _summarize_evaluations(run)


def _summarize_evaluations(run: RunRecord) -> dict[str, Any]:
    """The best and the last evaluation, as a summary has them."""
    updates, scores = run.select_points(_SCORE)
    kl_updates, *held_out = (column.tolist() for column in select_held_out_kl(run))
    kl_by_update, bound_by_update = (dict(zip(kl_updates, column, strict=True)) for column in held_out)
    price = read_kl_price(run)
    within: list[Evaluation] = []
    best: Evaluation | None = None
    last: Evaluation | None = None
    for update, score in zip(updates.tolist(), scores.tolist(), strict=True):
        if update in kl_by_update:
            last = Evaluation(int(update), score, kl_by_update[update], bound_by_update[update], price)
            best = last if last.beats(best, run.kl_budget) else best
            within += [last] if last.beats(None, run.kl_budget) else []
    evaluations = {"best": asdict(best) if best else None, "last": asdict(last) if last else None}
    allowed = {
        "updates_within_budget": [each.update for each in within],
        "kls_within_budget": [each.kl for each in within],
    }
    return {**evaluations, **allowed}


def read_kl_price(run: RunRecord) -> float:
    """What a nat of KL costs where the run's best evaluation is chosen."""
    objective, price = read_objective(run.config), convert_number(run.config.get("objective.kl_price"))
    return choose_kl_price(objective.metrics, price) if objective is not None and price is not None else 0.0
