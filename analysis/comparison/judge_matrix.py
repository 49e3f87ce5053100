"""Groups of runs under every judge: the win rate against the base policy, with intervals.

Where reward models are compared, this is the matrix that the sweep has written, whose intervals cover other seeds and
other prompts. Elsewhere it is made from the runs' metrics, with intervals that cover other seeds.
"""

from collections.abc import Hashable, Sequence

import numpy as np

from analysis.comparison.groups import Grouping
from analysis.comparison.own_matrix import REWARD_MODEL, WinRate, WinRateMatrix, read_written_matrix
from analysis.comparison.run_values import WIN_RATE, are_shares, count_prompts, find_best_update, read_value
from analysis.records.runs import RunRecord, Source
from rlhf_sweeps.record import natural_key
from rlhf_sweeps.verdicts.estimates import Statistic, Strata, bound_as_rate, choose_statistic, estimate

OWN = "own reward model"  # a column for reward models that are not among the judges


def make_matrix(source: Source, grouping: Grouping) -> WinRateMatrix | None:
    """The sweep's own matrix where the groups are its reward models, else one from the metrics; None without judges."""
    if list(grouping.keys) == [REWARD_MODEL] and not grouping.is_test:
        written = read_written_matrix(source.comparison)
        if written is not None:
            return written
    return _make_matrix_from_metrics(grouping)


def _make_matrix_from_metrics(grouping: Grouping) -> WinRateMatrix | None:
    runs = [run for group in grouping.groups for run in group.runs]
    judges = sorted({key.split("/")[1] for run in runs for key in run.metrics if _is_judge(key)}, key=natural_key)
    if not judges:
        return None
    if any(str(run.look_up(REWARD_MODEL)) not in judges for run in runs):
        judges.append(OWN)
    prompts = count_prompts(runs)
    rates = {(run.name, judge): rate for run in runs for judge, rate in _read_rates(run, judges).items()}
    if not are_shares(rates.values()) and are_shares(rate / 100 for rate in rates.values()):  # written in percent
        rates = {place: rate / 100 for place, rate in rates.items()}
    are_own, strata_of_cell = {}, {}
    for group in grouping.groups:
        models = {str(run.look_up(REWARD_MODEL)) for run in group.runs}
        for judge in judges:
            strata: dict[Hashable, list[float]] = {}
            for run in group.runs:
                if (run.name, judge) in rates:
                    strata.setdefault(grouping.make_setting_key(run), []).append(rates[run.name, judge])
            if strata:
                are_own[group.label, judge] = judge == OWN or models == {judge}
                strata_of_cell[group.label, judge] = {setting: np.array(values) for setting, values in strata.items()}
    statistic = choose_statistic(strata_of_cell.values())
    cells = {
        place: _make_win_rate(strata, statistic, are_own[place], prompts) for place, strata in strata_of_cell.items()
    }
    labels = [group.label for group in grouping.groups if any((group.label, judge) in cells for judge in judges)]
    least = f", and are at least as wide as that of a rate over {prompts} prompts" if prompts else ""
    return WinRateMatrix(labels, judges, cells, f"intervals cover the variation over seeds{least}")


def _is_judge(key: str) -> bool:
    return key.startswith("judge/") and key.endswith("/win_rate") and key.count("/") == 2


def _read_rates(run: RunRecord, judges: Sequence[str]) -> dict[str, float]:
    """Judge -> a run's win rate at its best evaluation, under OWN that of a reward model outside of the judges."""
    update, own = find_best_update(run), str(run.look_up(REWARD_MODEL))
    rates = {judge: read_value(run, f"judge/{judge}/win_rate", update) for judge in judges}
    own_rate = read_value(run, WIN_RATE, update)
    if own in rates and rates[own] is None:
        rates[own] = own_rate
    if OWN in judges and own not in judges:
        rates[OWN] = own_rate
    return {judge: rate for judge, rate in rates.items() if rate is not None}


def _make_win_rate(strata: Strata, statistic: Statistic, is_own: bool, prompts: int | None) -> WinRate:
    estimated = bound_as_rate(estimate(strata.values(), statistic=statistic), prompts)
    return WinRate(estimated.value, estimated.low, estimated.high, estimated.num_runs, is_own)
