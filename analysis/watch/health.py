"""Warnings about runs while they run: the rules of analysis/health, applied in a small share of the time."""

import time
from collections.abc import Sequence
from pathlib import Path

from analysis.watch.rows import TrialRow
from analysis.watch.thresholds import MIN_WARNING_UPDATES, SHARE_OF_HEALTH
from rlhf_sweeps.record import Run
from rlhf_sweeps.record.trials import RUNNING


class HealthWarnings:
    """The newest warning about the runs of one sweep."""

    def __init__(self) -> None:
        self._checked: dict[Path, int] = {}  # the update that a run was last looked at
        self._texts: dict[tuple[Path, str], str] = {}  # the oldest first
        self._due = 0.0

    def look(self, rows: Sequence[TrialRow]) -> str | None:
        """The newest warning about a run that runs; None where all are sound."""
        runs = {run.folder: (run.update, row) for row in rows if row.state == RUNNING for run in row.at_work}
        for folder, (update, row) in runs.items():
            now = time.monotonic()
            if now >= self._due and update >= max(MIN_WARNING_UPDATES, self._checked.get(folder, 0) + 1):
                self._checked[folder] = update
                self._check(folder, row)
                self._due = time.monotonic() + (time.monotonic() - now) / SHARE_OF_HEALTH
        return next((text for (folder, _), text in reversed(self._texts.items()) if folder in runs), None)

    def _check(self, folder: Path, row: TrialRow) -> None:
        from analysis.health.findings import diagnose_run
        from analysis.reading.folders import read_run

        try:
            current = diagnose_run(read_run(Run(folder), row.label))
        except Exception:  # a warning is not worth the table
            return
        by_kind = {(folder, finding.kind): finding for finding in current}
        for key in [key for key in self._texts if key[0] == folder and key not in by_kind]:
            del self._texts[key]  # it has passed
        for key, finding in reversed(by_kind.items()):  # so that the most severe one comes last
            trial_name = row.label if not row.label.isdigit() else f"trial {row.label}"
            self._texts.setdefault(
                key, f"{trial_name}: {finding.kind}, from update {finding.update} on: {finding.text}"
            )
