"""What is wrong with a run: each finding with the update where it begins, its evidence, and what usually helps.

Silent on sound runs: how often it is not, test_health_false_alarms.py counts.
"""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from analysis.health import answers as health_answers
from analysis.health import hacking as health_hacking
from analysis.health import learning as health_learning
from analysis.health import optimizer as health_optimizer
from analysis.health import policy as health_policy
from analysis.health import states as health_states
from analysis.health.patterns import Pattern, patterns
from analysis.health.signals import Finding
from analysis.health.text import health_text
from analysis.output.places import make_folder
from analysis.records.runs import RunRecord, Source
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.record import open_atomically, write_atomically

__all__ = ["Finding", "findings", "write_health"]

Rule = Callable[[RunRecord], Finding | None]

# Most severe first: what ended the run, what spoils its answer, what spoils its training, what costs only time.
_RULES: tuple[Rule, ...] = (
    health_states.ended_badly,
    health_learning.constant_scores,
    health_policy.kl_blow_up,
    health_hacking.reward_hacking,
    health_policy.collapse,
    health_policy.rise,
    health_optimizer.updates_too_large,
    health_answers.truncated,
    health_policy.kl_budget,
    health_learning.no_learning,
    health_learning.score_falls,
    health_answers.length_runs_away,
    health_answers.marker_runs_away,
    health_hacking.held_out_falls,
    health_learning.no_gain,
    health_policy.negative_kl,
    health_policy.kl_target,
    health_optimizer.losses,
    health_optimizer.gradients,
    health_optimizer.value_model,
    health_optimizer.clipping,
    health_states.memory_ran_short,
)
# What follows from a finding is not told again: finding -> kinds that it explains.
_EXPLAINS: Mapping[str, Sequence[str]] = {
    health_learning.CONSTANT_SCORES: (
        health_learning.NO_LEARNING,
        health_learning.NO_GAIN,
        health_optimizer.VALUE_MODEL,
        health_optimizer.NEVER_CLIPS,
    ),
    health_learning.NO_LEARNING: (health_optimizer.VALUE_MODEL, health_optimizer.NEVER_CLIPS),
    health_policy.KL_BLOW_UP: (
        health_policy.OVER_BUDGET,
        health_policy.TARGET_MISSED,
        health_learning.NO_GAIN,
        health_hacking.HELD_OUT_FALLS,
    ),
    health_learning.SCORE_FALLS: (health_hacking.HELD_OUT_FALLS,),
    health_answers.TRUNCATED: (health_learning.NO_GAIN, health_optimizer.VALUE_MODEL),
    health_hacking.HACKING: (health_answers.MARKER,),
    health_optimizer.UPDATES_TOO_LARGE: (health_optimizer.ALWAYS_CLIPS, health_optimizer.NEVER_CLIPS),
}


def findings(run: RunRecord) -> list[Finding]:
    """What is wrong with a run, the most severe first; nothing for a sound one, and for one without updates only
    how it ended."""
    # A record from elsewhere may hold numbers that overflow; what is not finite is never a finding.
    with np.errstate(all="ignore"):
        found = [finding for finding in (rule(run) for rule in _RULES) if finding is not None]
    explained = {kind for finding in found for kind in _EXPLAINS.get(finding.kind, ())}
    return [finding for finding in found if finding.kind not in explained]


def write_health(source: Source, out: Path) -> tuple[str, list[Path]]:
    """Look at all runs of a source; writes health.json and health.csv.

    Args:
        out: a folder, made if it is not there.

    Returns:
        Text for the terminal, grouped by finding, and the files.

    Raises:
        AnalysisError: if the folder cannot be written.
    """
    found = {run.name: findings(run) for run in source.runs}
    for trial in source.trials:  # one that ended before its run could write why
        if trial.cause and not any(run.cause for run in trial.runs):
            lost = health_states.failure(trial.cause, None, str(trial.message or ""))
            name = trial.runs[0].name if trial.runs else str(trial.number)
            found[name] = [lost, *found.get(name, [])]
    sound = patterns(source, found)
    paths = [out / "health.json", out / "health.csv"]
    try:
        make_folder(out)
        write_atomically(paths[0], _as_json(source, found, sound))
        _write_csv(found, paths[1])
    except OSError as error:
        raise AnalysisError(f"{error.filename or out}: {error.strerror}") from error
    return health_text(source, found, sound), paths


def _as_json(source: Source, found: Mapping[str, Sequence[Finding]], sound: Sequence[Pattern]) -> str:
    content = {
        "source": source.name,
        "num_runs": len(found),
        "num_runs_with_findings": sum(bool(one) for one in found.values()),
        "findings": [{"run": name, **asdict(finding)} for name, one in found.items() for finding in one],
        "patterns": [asdict(pattern) for pattern in sound],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _write_csv(found: Mapping[str, Sequence[Finding]], path: Path) -> None:
    with open_atomically(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", "kind", "update", "text", "advice", "evidence"])
        for name, one in found.items():
            for finding in one:
                evidence = json.dumps(dict(finding.evidence), ensure_ascii=False)
                update = "" if finding.update is None else finding.update
                writer.writerow([name, finding.kind, update, finding.text, finding.advice, evidence])
