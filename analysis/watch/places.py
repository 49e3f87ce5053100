"""The watched places: a sweep, a run, or all of them in a folder, with those that appear later."""

import time
from pathlib import Path

from analysis.records.runs import UNFINISHED
from analysis.watch.health import HealthWarnings
from analysis.watch.liveness import find_claimant
from analysis.watch.rows import CONTINUE, Snapshot, TrialRow, read_run_settings
from analysis.watch.run import FollowedRun
from analysis.watch.sweep import FollowedSweep
from analysis.watch.thresholds import RUN_SILENT_AFTER, RUN_SILENT_UPDATES, SHARE_OF_SEARCH
from rlhf_sweeps.record import Run, find_records, write_continuation
from rlhf_sweeps.record.trials import RUNNING


class Places:
    """All runs and sweeps in a folder, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._followed: dict[Path, FollowedRun | FollowedSweep] = {}
        self._warnings: dict[Path, HealthWarnings] = {}
        self._due = 0.0

    def look(self) -> list[Snapshot]:
        """Read what is new; the state of each run and sweep, by name."""
        self._search()
        snapshots = []
        for folder, followed in self._followed.items():
            name = str(folder) if folder == self._folder else str(folder.relative_to(self._folder))
            try:
                snapshots.append(
                    self._look_at_run(followed, name) if isinstance(followed, FollowedRun) else followed.look(name)
                )
            except OSError:  # it was moved or deleted while it was read
                self._due = 0.0
        return snapshots

    def _search(self) -> None:
        """Find the runs and sweeps that lie there; in a large tree not at every look."""
        now = time.monotonic()
        if now < self._due:
            return
        try:
            places = list(find_records(self._folder))
        except OSError:
            places = []
        self._followed = {
            place.folder: self._followed.get(place.folder)
            or (FollowedRun(place) if isinstance(place, Run) else FollowedSweep(place))
            for place in places
        }
        self._due = time.monotonic() + (time.monotonic() - now) / SHARE_OF_SEARCH

    def _look_at_run(self, run: FollowedRun, name: str) -> Snapshot:
        """A run of its own; whoever trains it has claimed its folder, which can be seen on the same machine alone."""
        run.look()
        run.read_updates()
        patience = max(RUN_SILENT_AFTER, RUN_SILENT_UPDATES * (run.seconds_per_update or 0.0))
        is_open = not run.summary and (find_claimant(run.folder) is not None or run.silent_for < patience)
        state = run.state or (RUNNING if is_open else UNFINISHED)
        row = TrialRow(name, read_run_settings([run], ()), [run], state, run.cause, objectives=run.objectives)
        command = write_continuation(run.words, "hydra.run.dir", run.folder)
        return Snapshot(
            name,
            run.folder,
            [row],
            is_sweep=False,
            elapsed=run.seconds,
            left=row.left if state == RUNNING else None,
            warning=self._warnings.setdefault(run.folder, HealthWarnings()).look([row]),
            note=f"nothing is training there: {CONTINUE}{command}" if state == UNFINISHED else None,
            has_ended=state != RUNNING,
            is_complete=not row.is_open,
        )
