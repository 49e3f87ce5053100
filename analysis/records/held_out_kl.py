"""The held-out KL of a run's evaluations and the upper bound of each, also where the record has them only in part."""

import numpy as np

from analysis.records.runs import Floats, RunRecord
from rlhf_sweeps.verdicts.objective import KL_BOUND

_KL = "eval/kl"


def select_held_out_kl(run: RunRecord) -> tuple[Floats, Floats, Floats]:
    """The updates with a held-out KL, this KL, and the upper bound that the KL budget is held against; (n,) each.

    Records of earlier versions have no bound, and a run that was continued has it only in its later evaluations. There
    the KL stands for it, and the bound for a KL that was not recorded. KLs are in nats of a whole response.
    """
    missing = np.full(len(run.updates), np.nan)
    kls, bounds = (run.metrics.get(metric, missing) for metric in (_KL, KL_BOUND))
    kls, bounds = np.where(np.isfinite(kls), kls, bounds), np.where(np.isfinite(bounds), bounds, kls)
    is_there = np.isfinite(bounds)
    return run.updates[is_there], kls[is_there], bounds[is_there]
