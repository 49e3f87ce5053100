"""Reading a record that may be unfinished, damaged or of another version: all that can be read, and the problems."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlhf_sweeps.record.checked_objects import salvage_object
from rlhf_sweeps.record.reading import Row, as_mapping, salvage_yaml
from rlhf_sweeps.record.restarts import as_update, describe_restart, find_restarts, select_current, select_current_rows
from rlhf_sweeps.record.rows import salvage_rows
from rlhf_sweeps.record.run import SCHEMA_VERSION, Run
from rlhf_sweeps.record.sweep import Sweep


@dataclass(frozen=True)
class SalvagedRun:
    """One run.

    Attributes:
        start: the content of run.json; without that file, only the config that Hydra wrote.
        rows: one object for each update, oldest first.
        summary: empty if the run did not finish.
        overrides: the user's.
        problems: one sentence for each part that could not be read; an unfinished run has none.
    """

    start: Mapping[str, Any]
    rows: list[Row]
    summary: Mapping[str, Any]
    overrides: tuple[str, ...]
    problems: tuple[str, ...]


def salvage(run: Run) -> SalvagedRun:
    """Everything about a run except its samples; no content of a file makes it raise an error."""
    problems: list[str] = []
    start = salvage_object(run.start_file, problems)
    if "config" not in start:
        start = {**start, "config": salvage_yaml(run.config_file, problems) or {}}
    if not isinstance(start["config"], dict):
        problems.append(f"{run.start_file.name}: its config is not an object")
        start = {**start, "config": {}}
    summary = salvage_object(run.summary_file, problems)
    for content in (start, summary):
        version = content.get("schema_version", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            problems.append(f"written with version {version} of the record, read as version {SCHEMA_VERSION}")
            break
    num_problems = len(problems)
    rows = _order_by_update(salvage_rows(run.metrics_file, problems), problems)
    if len(problems) == num_problems:  # else the damage is in the list already
        problems += run.find_changed_files(summary, run.metrics_file)
    overrides = salvage_yaml(run.overrides_file, problems) or []
    if not isinstance(overrides, list):
        problems.append(f"{run.overrides_file.name}: damaged, left out")
        overrides = []
    return SalvagedRun(start, rows, summary, tuple(map(str, overrides)), tuple(problems))


def salvage_hydra(place: Run | Sweep, problems: list[str]) -> Mapping[str, Any]:
    """Hydra's own part of the config of a run or sweep; empty if it cannot be read."""
    return as_mapping(as_mapping(salvage_yaml(place.hydra_file, problems)).get("hydra"))


def salvage_samples(run: Run) -> tuple[list[Row], list[str]]:
    """The readable evaluation samples, and one sentence for each problem."""
    problems: list[str] = []
    rows = select_current_rows(salvage_rows(run.samples_file, problems))
    return rows, problems or run.find_changed_files(salvage_object(run.summary_file, []), run.samples_file)


def _order_by_update(rows: list[Row], problems: list[str]) -> list[Row]:
    """One row for each update, in order; if an update has several rows, the last one counts.

    Rows without `update`, which another trainer wrote, are numbered by `step`; without that, from 1 on.
    """
    numbered_rows: list[tuple[float, Row]] = []
    for position, row in enumerate(rows, start=1):
        name = "update" if "update" in row else "step"
        if math.isnan(update := as_update(row.get(name, position))):
            continue
        if name == "step":
            row = {**{key: value for key, value in row.items() if key != "step"}, "update": update}
        numbered_rows.append((update, row))
    updates = [update for update, _ in numbered_rows]
    restarted = find_restarts(updates, is_own=True)
    problems += [describe_restart(updates[position - 1], updates[position]) for position in restarted]
    numbered = dict(numbered_rows[position] for position in select_current(updates, restarted))
    return [numbered[update] for update in sorted(numbered)]
