"""The confirmation of a run: its exported policy answers prompts that had no part in any choice.

The best evaluation was chosen by the held-out prompts, and settings are chosen by it. So its score is a little lucky,
and no other evaluation on the same prompts can show by how much. The confirming prompts are used once, at the end.
"""

from typing import Any

from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.training.base_policy import BasePolicy
from rlhf_sweeps.training.session import Session


def confirm(session: Session, base_policy: BasePolicy) -> dict[str, Any] | None:
    """Evaluate the run's final policy on the confirming prompts, and record its answers in confirmation.jsonl.

    Args:
        session: its policy has the weights that are exported.

    Returns:
        update: of these weights; num_prompts; and the metrics of an evaluation by their names. None without such
        prompts, or before the first evaluation.

    Raises:
        RewardModelError: if a reward model fails.
    """
    final = session.best or session.last
    if not session.confirming.ids or final is None:
        return None
    evaluator = session.evaluator.turn_to(session.confirming, "confirmation")
    num_prompts = len(session.confirming.ids)
    with report_activity(f"confirming the policy of update {final.update} on {num_prompts} untouched prompts"):
        evaluator.take_base(base_policy, session.evaluator.scale)
        metrics, rows = evaluator.evaluate(session.policy)
    session.run.write_confirmation([{"update": final.update, **row} for row in rows])
    return {"update": final.update, "num_prompts": num_prompts, **metrics}
