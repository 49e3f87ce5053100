"""A sweep's tables: trials.csv, importance.csv, ledger.csv, ledger.json."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.output.places import make_folder
from analysis.records.runs import Source
from analysis.sweep.analysis import SweepAnalysis
from analysis.sweep.settings import settings_of
from rlhf_sweeps.record import open_atomically


def write_tables(source: Source, found: SweepAnalysis, out: Path) -> list[Path]:
    """Write all tables there are rows for; returns their paths."""
    make_folder(out)
    paths = []
    if source.trials:
        paths.append(_write_csv(out / "trials.csv", _trial_rows(source)))
    importances = list(_importance_rows(found))
    if importances:
        paths.append(_write_csv(out / "importance.csv", importances))
    return paths


def _trial_rows(source: Source) -> Iterable[dict[str, Any]]:
    settings = [settings_of(trial) for trial in source.trials]
    keys = list(dict.fromkeys(key for one in settings for key in one))
    for trial, values in zip(source.trials, settings, strict=True):
        objectives = list(trial.objectives or []) + [None] * len(source.metrics)
        seeds = {run.seed: run.objectives for run in trial.runs if run.objectives is not None}
        yield {
            "trial": trial.number,
            "state": trial.state,
            "cause": trial.cause,
            "message": trial.message,
            **{key: values.get(key) for key in keys},
            **dict(zip(source.metrics, objectives, strict=False)),
            "by_seed": " ".join(f"{seed}:{'/'.join(map(repr, values))}" for seed, values in seeds.items()) or None,
            "violations": " ".join(f"{name}:{value!r}" for name, value in trial.violations.items()) or None,
            "seconds": trial.seconds or None,
        }


def _importance_rows(found: SweepAnalysis) -> Iterable[dict[str, Any]]:
    for one in found.views:
        for result in one.importances:
            for key in result.keys:
                row: dict[str, Any] = {
                    "reward_model": one.view.label or None,
                    "objective": result.metric,
                    "key": key.key,
                }
                for name, share in (("fanova", key.fanova), ("ped_anova", key.ped_anova)):
                    row |= {name: share and share.value, f"{name}_low": share and share.low}
                    row |= {f"{name}_high": share and share.high}
                yield {**row, "p_value": key.p_value, "settings": result.num_settings}


def _write_csv(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> Path:
    rows = list(rows)
    names = list(columns or dict.fromkeys(key for row in rows for key in row))
    with open_atomically(path) as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path
