"""The last lines of a run."""

import logging
from typing import Any

from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.record import Run
from rlhf_sweeps.verdicts.against_base import Gain, describe_gain

log = logging.getLogger("rlhf_sweeps")


def log_result(config: Config, run: Run, summary: dict[str, Any], gain: Gain | None) -> None:
    """Log the objective, the end of the run, and last whether its policy is better than the base policy.

    Args:
        summary: the content of summary.json.
        gain: at the update of the best evaluation, or of the last one if none was within the KL budget.
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
        "objective %s; held-out score %.4g at update %d, KL %.3g; the base policy's is %.4g. %s in %.0f s; all in %s",
        ", ".join(values) or "none", best["score"], best["update"], best["kl"], summary["base_score"],
        _describe_end(summary, config), summary["seconds"], run.folder,
    )  # fmt: skip
    log.info("the policy of update %d is %s", best["update"], describe_gain(gain))


def _describe_end(summary: dict[str, Any], config: Config) -> str:
    """`complete`, `stopped by the KL budget`, `complete, but beyond the KL budget (last KL 23.1 > 15)`."""
    if not summary["is_beyond_budget"]:
        return str(summary["status"])
    end = "stopped by" if summary["stop_reason"] == "kl_budget" else f"{summary['status']}, but beyond"
    return f"{end} the KL budget (last KL {summary['last']['kl']:.3g} > {config.objective.kl_budget:g})"
