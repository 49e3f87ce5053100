"""Mean win rates of reward models under the judges that are not their own: for an order, without intervals."""

import numpy as np

from analysis.comparison.groups import group_runs, stratify
from analysis.comparison.run_values import OTHER_JUDGES, measure_values
from analysis.records.runs import Source
from analysis.sweep.settings import REWARD_MODEL
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.verdicts.estimates import choose_statistic


def find_rates_by_others(source: Source) -> dict[str, float]:
    """Reward model -> its win rate under the other judges, as the sweep wrote it, or as `compare_groups` finds it.

    Empty where there are no such rates.
    """
    return read_written_rates(source) or _estimate_rates(source)


def read_written_rates(source: Source) -> dict[str, float]:
    """Reward model -> its mean win rate under the other judges in the sweep's comparison.json; empty without it."""
    rates: dict[str, float] = {}
    rows = (source.comparison or {}).get("reward_models")
    for row in rows if isinstance(rows, list) else []:
        rate = row.get("others") if isinstance(row, dict) else None
        if isinstance(rate, dict) and isinstance(rate.get("mean"), int | float):
            rates[str(row.get("reward_model"))] = float(rate["mean"])
    return rates


def _estimate_rates(source: Source) -> dict[str, float]:
    """The mean over a reward model's runs, plain or interquartile, as `choose_statistic` has it."""
    try:
        grouped = group_runs(source, REWARD_MODEL)
    except AnalysisError:  # the study alone knows of reward models
        return {}
    measured = measure_values(source, [run for group in grouped.groups for run in group.runs])
    if measured.name != OTHER_JUDGES:
        return {}
    strata_of_model = {group.label: stratify(grouped, group.runs, measured.values) for group in grouped.groups}
    statistic = choose_statistic(strata_of_model.values())
    return {
        label: float(statistic(np.concatenate(list(strata.values()))))
        for label, strata in strata_of_model.items()
        if strata
    }
