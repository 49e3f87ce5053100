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
from rlhf_sweeps.record.files import claim, report_file, write_atomically
from rlhf_sweeps.record.old_sweeps import in_new_form, is_old
from rlhf_sweeps.record.ownership import RUNS, refuse_foreign
from rlhf_sweeps.record.reading import Row, as_mapping, salvage_yaml
from rlhf_sweeps.record.run import SCHEMA_VERSION, Run
from rlhf_sweeps.record.sealed import mend_object, remove_object, salvage_object, set_aside, write_object

SWEEP_VERSION = 2  # of sweep.json: axes and plan as data, see SweepPlan
_NUMBER = re.compile("0|[1-9][0-9]*")  # as a trial's folder is called; 007 is no trial's


class Sweep:
    """One sweep's folder.

    Attributes:
        folder: where everything lies; may be copied or moved as a whole.
        study: the file of the Optuna study.
        base: what is known about the base policy.
        start_file, comparison_file: what the methods below read and write.
        holder_file: the process and the host that sweep there, or did last.
        hydra_file: the config of the sweep's last start, Hydra's part among it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.study = self.folder / "study.db"
        self.base = BaseRecord(self.folder)
        self.start_file = self.folder / "sweep.json"
        self.holder_file = self.folder / "sweeper.json"
        self.hydra_file = self.folder / "multirun.yaml"
        self._results = self.folder / "optimization_results.yaml"
        self.comparison_file = self.folder / "comparison.json"

    def trial(self, number: int) -> Path:
        """The folder of a trial: its run, or its runs by seed."""
        return self.folder / str(number)

    def trials(self) -> list[int]:
        """The numbers of the trials that have a folder."""
        return sorted(
            int(path.name) for path in self.folder.glob("[0-9]*") if _NUMBER.fullmatch(path.name) and path.is_dir()
        )

    def run(self, number: int, seed: int | None) -> Run:
        """A trial's run; with a seed where it has one for each of several seeds."""
        return Run(self.trial(number) if seed is None else self.trial(number) / f"seed_{seed}")

    def test_run(self, number: int, seed: int) -> Run:
        """The run of a trial's setting on a test seed."""
        return Run(self.folder / "test" / f"{number}_seed_{seed}")

    def refuse_foreign(self) -> None:
        """Leave a folder alone that holds what this record would overwrite, or a run.

        Raises:
            NotOursError: if that is so, and nothing shows that a sweep was begun there.
        """
        files = (self.start_file, self.holder_file, self.study, self.hydra_file, self._results, self.comparison_file)
        numbers = [path.name for path in self.folder.glob("[0-9]*") if _NUMBER.fullmatch(path.name)]
        names = [*(file.name for file in files), report_file(self.folder).name, "test", "run.json", *numbers]
        refuse_foreign(self.folder, names, self.start_file, self.hydra_file, RUNS)

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Keep the sweep to this process; the operating system gives it free when the process dies.

        Raises:
            InUseError: if another sweeper has it; the message has its process and host.
        """
        holder = salvage_object(self.holder_file, [])
        who = f"process {holder.get('process')} on {holder.get('host')} is sweeping there since {holder.get('since')}"
        with claim(self.folder, who if holder else "another process is sweeping there"):
            yield

    def begin(self, config: str) -> None:
        """Keep the config of this start, which also shows whose the folder is, and the process that sweeps there.

        Args:
            config: as Hydra composed it, in YAML.
        """
        write_atomically(self.hydra_file, config)
        since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        set_aside(self.holder_file)
        holder = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
        write_object(self.holder_file, holder, is_kept_twice=False)

    def mend(self) -> list[str]:
        """Put right what is damaged and kept twice, move away what is no file; says what was wrong, in sentences."""
        problems = mend_object(self.start_file)
        for file in (self.hydra_file, self._results, self.comparison_file):
            problems += set_aside(file)
        return problems

    def start(self) -> dict[str, Any] | None:
        """What the sweep was begun with, and what it carries from start to start; None in a new folder.

        None, too, where it is damaged and has no copy; `is_lost` tells that.
        """
        return self.salvage_start([]) or None

    def salvage_start(self, problems: list[str]) -> Row:
        """What `start` gives, in the form of today's version whatever version wrote it; empty where there is nothing.

        Args:
            problems: gets what cannot be read, in a sentence.
        """
        start = salvage_object(self.start_file, problems)
        version = start.get("schema_version", SWEEP_VERSION)
        if version not in (1, SWEEP_VERSION):
            name = self.start_file.name
            problems.append(f"{name}: written with version {version} of the record, read as version {SWEEP_VERSION}")
        if not is_old(start):
            return start
        hydra = as_mapping(as_mapping(salvage_yaml(self.hydra_file, [])).get("hydra"))
        return in_new_form(start, hydra, self.comparison_file.exists())

    def write_start(self, start: Mapping[str, Any]) -> None:
        """Write what `start` gives."""
        write_object(self.start_file, {**start, "schema_version": SWEEP_VERSION})

    def forget_start(self) -> None:
        """Have no sweep here: of one that was refused before it had a trial."""
        remove_object(self.start_file)

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write optimization_results.yaml."""
        write_atomically(self._results, yaml.safe_dump(dict(results), sort_keys=False, allow_unicode=True))

    def comparison(self) -> dict[str, Any] | None:
        """The matrix train reward model x judge; None where reward models were not compared."""
        return salvage_object(self.comparison_file, []) or None

    def write_comparison(self, comparison: Mapping[str, Any]) -> None:
        """Write comparison.json."""
        content = {"schema_version": SCHEMA_VERSION, **comparison}
        write_object(self.comparison_file, content, is_kept_twice=False)
