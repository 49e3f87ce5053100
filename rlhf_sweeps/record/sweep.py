"""One sweep's folder."""

import contextlib
import datetime
import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from rlhf_sweeps.record.base_record import BaseRecord
from rlhf_sweeps.record.checked_objects import mend_object, remove_object, salvage_object, set_aside, write_object
from rlhf_sweeps.record.files import claim, report_file, write_atomically
from rlhf_sweeps.record.old_sweeps import convert_start, is_old
from rlhf_sweeps.record.ownership import RUNS, refuse_foreign
from rlhf_sweeps.record.reading import Row, as_mapping, salvage_yaml
from rlhf_sweeps.record.run import SCHEMA_VERSION, Run

SWEEP_VERSION = 2  # of sweep.json: axes and plan as data, see SweepPlan
_NUMBER = re.compile("0|[1-9][0-9]*")  # as a trial's folder is called; 007 is no trial's


class Sweep:
    """One sweep's folder.

    Attributes:
        folder: holds everything; it may be copied or moved as a whole.
        study: the file of the Optuna study.
        base: results about the base policy.
        start_file, results_file, comparison_file: the methods below read and write these.
        holder_file: the process and the host of the sweep that runs there, or of the last one.
        hydra_file: the config of the sweep's last start, with Hydra's part.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.study = self.folder / "study.db"
        self.base = BaseRecord(self.folder)
        self.start_file = self.folder / "sweep.json"
        self.holder_file = self.folder / "sweeper.json"
        self.hydra_file = self.folder / "multirun.yaml"
        self.results_file = self.folder / "optimization_results.yaml"
        self.comparison_file = self.folder / "comparison.json"

    def trial(self, number: int) -> Path:
        """The folder of a trial: it is that of its run, or holds one run for each seed."""
        return self.folder / str(number)

    def trials(self) -> list[int]:
        """The numbers of the trials that have a folder."""
        return sorted(
            int(path.name) for path in self.folder.glob("[0-9]*") if _NUMBER.fullmatch(path.name) and path.is_dir()
        )

    def run(self, number: int, seed: int | None) -> Run:
        """A trial's run; `seed` is None if the trial has a single run."""
        return Run(self.trial(number) if seed is None else self.trial(number) / f"seed_{seed}")

    def test_run(self, number: int, seed: int) -> Run:
        """The run of a trial's setting on a test seed."""
        return Run(self.folder / "test" / f"{number}_seed_{seed}")

    def refuse_foreign(self) -> None:
        """Refuse a folder that holds a run, or files that this record would overwrite.

        Raises:
            NotOursError: if it does, and nothing proves that a sweep was begun there.
        """
        files = (
            self.start_file,
            self.holder_file,
            self.study,
            self.hydra_file,
            self.results_file,
            self.comparison_file,
        )
        numbers = [path.name for path in self.folder.glob("[0-9]*") if _NUMBER.fullmatch(path.name)]
        names = [*(file.name for file in files), report_file(self.folder).name, "test", "run.json", *numbers]
        refuse_foreign(self.folder, names, self.start_file, self.hydra_file, RUNS)

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Lock the folder for this process; the operating system releases the lock when the process dies.

        Raises:
            InUseError: if another sweeper has the lock; the message names its process and host.
        """
        holder = salvage_object(self.holder_file, [])
        who = f"process {holder.get('process')} on {holder.get('host')} is sweeping there since {holder.get('since')}"
        with claim(self.folder, who if holder else "another process is sweeping there"):
            yield

    def begin(self, config: str) -> None:
        """Write the config of this start, which also proves that the folder is ours, and the sweeping process.

        Args:
            config: the config as Hydra composed it, in YAML.
        """
        write_atomically(self.hydra_file, config)
        since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        set_aside(self.holder_file)
        holder = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
        write_object(self.holder_file, holder, is_kept_twice=False)

    def mend(self) -> list[str]:
        """Restore damaged objects from their copies, and rename whatever is no file but has a file's name.

        Returns:
            one sentence for each problem.
        """
        problems = mend_object(self.start_file)
        for file in (self.hydra_file, self.results_file, self.comparison_file):
            problems += set_aside(file)
        return problems

    def start(self) -> dict[str, Any] | None:
        """The content of sweep.json, which goes from start to start; None if there is none, or if it is lost."""
        return self.salvage_start([]) or None

    def salvage_start(self, problems: list[str]) -> Row:
        """The content of sweep.json in today's form, whatever version wrote it; empty if there is none.

        Args:
            problems: a sentence for each problem is added to these.
        """
        start = salvage_object(self.start_file, problems)
        version = start.get("schema_version", SWEEP_VERSION)
        if version not in (1, SWEEP_VERSION):
            name = self.start_file.name
            problems.append(f"{name}: written with version {version} of the record, read as version {SWEEP_VERSION}")
        if not is_old(start):
            return start
        hydra = as_mapping(as_mapping(salvage_yaml(self.hydra_file, [])).get("hydra"))
        return convert_start(start, hydra, self.comparison_file.exists())

    def write_start(self, start: Mapping[str, Any]) -> None:
        """Write sweep.json."""
        write_object(self.start_file, {**start, "schema_version": SWEEP_VERSION})

    def forget_start(self) -> None:
        """Remove sweep.json, of a sweep that was refused before it had a trial."""
        remove_object(self.start_file)

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write optimization_results.yaml."""
        write_atomically(self.results_file, yaml.safe_dump(dict(results), sort_keys=False, allow_unicode=True))

    def best_run(self) -> Run | None:
        """The run of the best trial so far, as the sweep ranked it; of several seeds the first. None without one."""
        number = as_mapping(salvage_yaml(self.results_file, [])).get("best_trial")
        if not isinstance(number, int):
            return None
        names = [folder.name for folder in self.trial(number).glob("seed_*")]
        seeds = [int(name.removeprefix("seed_")) for name in names if re.fullmatch(r"seed_\d+", name)]
        return self.run(number, min(seeds, default=None))

    def list_solutions(self) -> list[int]:
        """The trials on the Pareto front of several objectives; empty with one objective, or without results."""
        solutions = as_mapping(salvage_yaml(self.results_file, [])).get("solutions")
        numbers = [as_mapping(entry).get("trial") for entry in solutions] if isinstance(solutions, list) else []
        return [number for number in numbers if isinstance(number, int)]

    def comparison(self) -> dict[str, Any] | None:
        """The matrix of train reward models and judges; None if the sweep did not compare reward models."""
        return salvage_object(self.comparison_file, []) or None

    def write_comparison(self, comparison: Mapping[str, Any]) -> None:
        """Write comparison.json."""
        content = {"schema_version": SCHEMA_VERSION, **comparison}
        write_object(self.comparison_file, content, is_kept_twice=False)
