"""A setting as a choice of the group `experiment`: a file in conf/experiment, which composes the config of a run."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from analysis.reading.conversion import flatten
from analysis.records.runs import RunRecord
from analysis.results.entries import Entry
from analysis.results.results import Results
from analysis.wording.errors import AnalysisError
from analysis.wording.statements import join_words
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.record import Run, as_mapping, is_masked, salvage_hydra, salvage_yaml, write_atomically

EXPERIMENTS = Path("conf") / "experiment"
RECORD_LINE = "# Record: "
# They belong to a run, its sweep or its machine and not to its setting.
_LEFT_OUT = ("name", "seed", "device", "sweep", "tracking")
_GROUPS_LEFT_OUT = ("experiment", "search", "tracking")
_ABSENT = object()


def make_experiment(results: Results, name: str, record: str, folder: Path) -> str:
    """Write the file of an experiment, and return its text once it has composed the config of the run.

    Args:
        results: of the record; its best setting is written, or that of its only run.
        name: of the experiment.
        record: the folder of the record in the repository, as a comment in the file names it.
        folder: a folder in which the file is written into experiment/, to be tried.

    Raises:
        AnalysisError: if there is no best setting, or no file can compose its config.
    """
    run, swept = _choose_run(results)
    hydra_folder = run.folder or Path()
    recorded = salvage_yaml(Run(hydra_folder).config_file, [])
    if not isinstance(recorded, dict):
        raise AnalysisError(f"{run.name}: has no .hydra/config.yaml, so its setting is unknown")
    if dotted := _find_dotted_key(recorded):
        raise AnalysisError(
            f"{run.name}: no experiment can hold the key {dotted!r}, since it contains a dot; rename it"
        )
    choices = _read_choices(Run(hydra_folder))
    values = _select_values(recorded)
    words = [f"{group}={choice}" for group, choice in choices.items()]
    base = _select_values(compose(words, folder))
    written = {key: value for key, value in values.items() if key in swept or base.get(key, _ABSENT) != value}
    if masked := [key for key, value in written.items() if isinstance(value, str) and is_masked(value)]:
        raise AnalysisError(f"{masked[0]}: is a secret, which no experiment may hold; set it by ${{oc.env:NAME}}")
    text = _format_text(name, record, choices, written)
    (folder / "experiment").mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "experiment" / f"{name}.yaml", text)
    composed = _select_values(compose([f"experiment={name}"], folder))
    differing = [key for key in values.keys() | composed if values.get(key, _ABSENT) != composed.get(key, _ABSENT)]
    if differing:
        raise AnalysisError(
            f"experiment={name}: no file in conf/experiment composes the config of {run.name}, which differs from it "
            f"in {join_words(sorted(differing))}"
        )
    return text


def _choose_run(results: Results) -> tuple[RunRecord, Sequence[str]]:
    """The run whose setting is written, and the swept keys."""
    source, ranking = results.source, results.ranking
    if source.kind == "run":
        return source.runs[0], []
    if not ranking.is_comparable:
        raise AnalysisError(
            f"{source.name}: has no best setting, since scores of different reward models have no common scale; "
            "publish the folder of one trial"
        )
    best: Entry | None = ranking.best
    if best is None or best.run is None:
        raise AnalysisError(f"{source.name}: has no best setting yet, since no trial has an objective that counts")
    return best.run, list(best.settings)


def _find_dotted_key(config: Mapping[str, Any]) -> str | None:
    """A key such as `a.b`, which a flat config cannot tell from `b` within `a`; None without one."""
    for key, value in config.items():
        if "." in str(key):
            return str(key)
        if isinstance(value, dict) and (dotted := _find_dotted_key(value)):
            return dotted
    return None


def _read_choices(run: Run) -> dict[str, str]:
    """Group -> choice of a run, of the groups that make a setting.

    Raises:
        AnalysisError: if a choice is not in conf/.
    """
    recorded = as_mapping(as_mapping(salvage_hydra(run, []).get("runtime")).get("choices"))
    groups = sorted(set(recorded) - {*_GROUPS_LEFT_OUT})
    choices = {group: str(recorded[group]) for group in groups if "/" not in group and recorded[group] is not None}
    for group, choice in choices.items():
        if not (file := EXPERIMENTS.parent / group / f"{choice}.yaml").is_file():
            raise AnalysisError(f"{group}={choice}: its file must be in the project: add {file.as_posix()}")
    return choices


def compose(words: Sequence[str], folder: Path) -> Mapping[str, Any]:
    """The config that Hydra composes from words, with interpolations as they are written.

    Args:
        folder: a further folder of config files.

    Raises:
        AnalysisError: in the words of `python -m rlhf_sweeps`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "rlhf_sweeps", "--cfg", "job", "--config-dir", str(folder.absolute()), *words]
    with report_activity("composing the config of an experiment"):
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise AnalysisError(done.stderr.strip().rpartition("\n")[2].removeprefix("error: "))
    return as_mapping(yaml.safe_load(done.stdout))


def _select_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """Key -> value of what makes a setting."""
    return flatten({key: value for key, value in config.items() if key not in _LEFT_OUT})


def _format_text(name: str, record: str, choices: Mapping[str, str], values: Mapping[str, Any]) -> str:
    defaults = [f"  - override /{group}: {choice}\n" for group, choice in choices.items()]
    nested = OmegaConf.create({"name": name})
    for key, value in values.items():
        OmegaConf.update(nested, key, value)
    return "".join(
        [
            "# @package _global_\n",
            f"# python -m rlhf_sweeps experiment={name}\n",
            "# Written by `python -m analysis publish`: the setting of a record, which has its results.\n",
            f"{RECORD_LINE}{record}\n",
            *(["defaults:\n", *defaults] if defaults else []),
            OmegaConf.to_yaml(nested),
        ]
    )
