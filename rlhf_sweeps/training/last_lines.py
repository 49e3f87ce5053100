"""The last lines of a run: its objective, how it ended, and whether its policy is better than the base policy."""

import logging
from collections.abc import Sequence
from typing import Any

from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.record import Run
from rlhf_sweeps.record.quantities import KL_NOW, OBJECTIVE, SCORE_NOW
from rlhf_sweeps.record.trials import BEYOND, is_beyond_budget
from rlhf_sweeps.verdicts.final_policies import FinalPolicy
from rlhf_sweeps.verdicts.objective import describe_excess
from rlhf_sweeps.verdicts.policy_sentences import write_judgement, write_verdict

log = logging.getLogger("rlhf_sweeps")


def report_end(config: Config, run: Run, summary: dict[str, Any], policies: Sequence[FinalPolicy | None]) -> None:
    """Log them.

    Args:
        summary: that the run's summary.json holds.
        policies: the one by which the run is judged.
    """
    best, last = summary["best"], summary["last"]
    if last is None:
        log.warning("stopped after update %d, before any evaluation; all in %s", summary["updates"], run.folder)
        return
    budget = config.objective.kl_budget
    if best is None:
        excess = describe_excess([last["kl"]], [last["kl_bound"]], budget) or f"KL {format_number(last['kl'])}"
        log.warning(
            "no evaluation kept within objective.kl_budget=%s (the last: %s): model/ holds the last policy",
            budget, excess,
        )  # fmt: skip
    values = ", ".join(map(format_number, summary["objectives"] or []))
    within = "" if budget is None else " within the KL budget"
    chosen = f"update {best['update']}, {_describe_evaluation(best)}" if best is not None else "none"
    log.info(
        "%s %s; best evaluation%s: %s; %s %s, %s %s; the base policy's score: %s. %s in %.0f s; all in %s",
        OBJECTIVE, values or "none", within, chosen, SCORE_NOW, format_number(last["score"]),
        KL_NOW, format_number(last["kl"]), format_number(summary["base_score"]),
        _describe_end(summary, config), summary["seconds"], run.folder,
    )  # fmt: skip
    if judgement := write_judgement(policies):
        log.info(judgement)
    log.info(write_verdict(policies, config.objective.kl_budget))


def _describe_evaluation(evaluation: dict[str, Any]) -> str:
    return f"held-out score {format_number(evaluation['score'])}, KL {format_number(evaluation['kl'])}"


def _describe_end(summary: dict[str, Any], config: Config) -> str:
    """`complete`, `stopped by the KL budget`, `complete, but beyond the KL budget (last KL 23.1 > 15)`."""
    if not is_beyond_budget(summary):
        return str(summary["status"])
    last = summary["last"]
    # A run that was stopped for its KL in training may be back within the budget in its last evaluation.
    beyond = describe_excess([last["kl"]], [last["kl_bound"]], config.objective.kl_budget)
    excess = f" (last {beyond})" if beyond else ""
    stopped = "stopped by the KL budget"
    return (stopped if summary["stop_reason"] == "kl_budget" else f"{summary['status']}, but {BEYOND}") + excess
