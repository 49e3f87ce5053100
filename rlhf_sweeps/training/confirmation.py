"""The confirmation of a run: its exported policy answers the confirming prompts, by which nothing is chosen.

The best evaluation was chosen by the held-out prompts, and settings are chosen by it. So its score is a little lucky,
and no other evaluation on the same prompts can show by how much. The confirming prompts are used once, at the end.
"""

import logging
from typing import Any

from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.process.failures import RewardModelError
from rlhf_sweeps.training.base_policy import BasePolicy
from rlhf_sweeps.training.session import Session

log = logging.getLogger("rlhf_sweeps")


def confirm(session: Session, base_policy: BasePolicy) -> dict[str, Any] | None:
    """Evaluate the run's final policy on the confirming prompts, and record its answers in confirmation.jsonl.

    The run is complete without this, so a reward model that fails here costs the confirmation only.

    Args:
        session: its policy has the weights that are exported.

    Returns:
        update: of these weights; num_prompts; and the metrics of an evaluation by their names. None without confirming
        prompts, or if a reward model fails.
    """
    if not session.confirming.ids:
        return None
    update = session.trainer.update if session.best is None else session.best.update
    evaluator = session.evaluator.turn_to(session.confirming, "confirmation")
    num_prompts = len(session.confirming.ids)
    try:
        with report_activity(f"confirming the policy of update {update} on {num_prompts} prompts"):
            evaluator.take_base(base_policy, session.evaluator.scale)
            metrics, rows = evaluator.evaluate(session.policy)
    except RewardModelError as error:
        log.warning("the confirming prompts could not be scored (%s); the verdict rests on the held-out prompts", error)
        return None
    session.run.write_confirmation([{"update": update, **row} for row in rows])
    return {"update": update, "num_prompts": num_prompts, **metrics}
