"""The last lines of a run: its objective, how it ended, and whether its policy is better than the base policy."""

import logging
from collections.abc import Sequence
from typing import Any

from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.record import Run
from rlhf_sweeps.record.trials import BEYOND, is_beyond_budget
from rlhf_sweeps.verdicts.final_policies import FinalPolicy, write_verdict

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
    if best is None:
        log.warning(
            "no evaluation kept within objective.kl_budget=%s (the last: KL %.3g): model/ holds the last policy",
            config.objective.kl_budget, last["kl"],
        )  # fmt: skip
        best = last
    values = [f"{value:.4g}" for value in summary["objectives"] or []]
    log.info(
        "objective %s; held-out score %.4g at update %d, KL %.3g; the base policy's is %.3g. %s in %.0f s; all in %s",
        ", ".join(values) or "none", best["score"], best["update"], best["kl"], summary["base_score"],
        _describe_end(summary, config), summary["seconds"], run.folder,
    )  # fmt: skip
    log.info(write_verdict(policies, config.objective.kl_budget))


def _describe_end(summary: dict[str, Any], config: Config) -> str:
    """`complete`, `stopped by the KL budget`, `complete, but beyond the KL budget (last KL 23.1 > 15)`."""
    if not is_beyond_budget(summary):
        return str(summary["status"])
    kl, budget = summary["last"]["kl"], config.objective.kl_budget
    # A run that was stopped for its KL in training may be back within the budget in its last evaluation.
    excess = f" (last KL {kl:.3g} > {budget:g})" if budget is not None and kl > budget else ""
    stopped = "stopped by the KL budget"
    return (stopped if summary["stop_reason"] == "kl_budget" else f"{summary['status']}, but {BEYOND}") + excess
