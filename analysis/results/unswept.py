"""Runs outside of a sweep as trials of one: their objectives, the settings in which they differ, their test seeds."""

from collections.abc import Hashable, Sequence
from dataclasses import replace

from analysis.comparison.groups import SOUND
from analysis.comparison.run_values import OBJECTIVE, Measure, measure_objective
from analysis.records.runs import COMPLETE, RunRecord, Source, TrialRecord
from analysis.records.worth import measure_violations, recompute_objectives
from analysis.wording.labels import make_identity, write_exactly

SEED, RUN = "seed", "run"  # keys of such trials' settings: the seed, and the run's name where nothing else differs
AT_END = ", the mean over the last tenth of its updates"  # how runs without an evaluation are measured


def treat_as_sweep(source: Source) -> tuple[Source, str]:
    """Runs outside of a sweep as trials of one, and a suffix that says how their objectives were measured.

    Runs that came to their end have objectives; where none of these has one, all runs may.
    """
    runs = [run for run in source.runs if not run.is_test]
    sound = [run for run in runs if run.state in SOUND]
    measured = measure_objective(source, sound)
    is_open = not measured.values
    if is_open:
        measured = measure_objective(source, runs)
    worths = {run.name: _list_objectives(run, measured) for run in runs}
    settings = _write_settings(source, runs)
    tests = _group_tests(source, runs)
    trials = [
        TrialRecord(
            number,
            run.state if worths[run.name] is None else COMPLETE,
            settings[run.name] or {RUN: run.name},
            worths[run.name],
            run.cause,
            None if (text := run.summary.get("message")) is None else str(text),
            run.seconds,
            measure_violations(run) if worths[run.name] is not None else {},
            [run],
            tests.get(run.name, ()),
        )
        for number, run in enumerate(runs)
    ]
    end = "; no run has finished" if is_open and measured.values else ""
    if any(run.objectives for run in runs):
        return replace(source, trials=trials), end
    if measured.name == OBJECTIVE and any(len(worth or ()) == len(source.metrics) for worth in worths.values()):
        is_ruled = any(recompute_objectives(run) is not None for run in runs)
        measurement = ", computed from its evaluations" if is_ruled else ", in its best evaluation"
        return replace(source, trials=trials), measurement + end
    direction = "minimize" if measured.is_lower_better else "maximize"
    return replace(source, trials=trials, metrics=[measured.name], directions=[direction]), AT_END + end


def _list_objectives(run: RunRecord, measured: Measure) -> list[float] | None:
    """A value for each objective, by the run's summary or its evaluations; else the one measured value."""
    value = measured.values.get(run.name)
    if value is None:
        return None
    return ((run.objectives or recompute_objectives(run)) if measured.name == OBJECTIVE else None) or [value]


def _write_settings(source: Source, runs: Sequence[RunRecord]) -> dict[str, dict[str, str]]:
    """Run's name -> key -> text; equal values have the same text."""
    is_seeded = len({run.seed for run in source.runs}) > 1
    texts: dict[Hashable, str] = {}
    settings_of: dict[str, dict[str, str]] = {}
    for run in runs:
        values = {key: value for key in source.axes if (value := run.look_up(key)) is not None}
        settings_of[run.name] = {
            key: texts.setdefault((key, make_identity(value)), write_exactly(value)) for key, value in values.items()
        }
        if is_seeded and run.seed is not None:
            settings_of[run.name][SEED] = str(run.seed)
    return settings_of


def _group_tests(source: Source, runs: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """The first run of a setting -> the setting's runs on test seeds."""
    first: dict[Hashable, str] = {}
    for run in runs:
        first.setdefault(_make_setting_key(source, run), run.name)
    tests_of: dict[str, list[RunRecord]] = {}
    for run in source.runs:
        if run.is_test and (name := first.get(_make_setting_key(source, run))) is not None:
            tests_of.setdefault(name, []).append(run)
    return tests_of


def _make_setting_key(source: Source, run: RunRecord) -> Hashable:
    return tuple(make_identity(run.look_up(key)) for key in source.axes)
