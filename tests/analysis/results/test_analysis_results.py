"""What is known of a source is computed once, when it is asked for; the curves ask for nothing else."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from golden import made
from helpers.curve_runs import write_curves
from helpers.records import axes
from helpers.report_records import compared, run, sweep

from analysis.comparison import compare, frontier, groups, judge_matrix, matched_kl, run_values
from analysis.curves import sentences
from analysis.health import findings, patterns
from analysis.records.runs import RunRecord, Source, TrialRecord
from analysis.results import ranking, unswept
from analysis.results.results import Results
from analysis.sweep import analysis, importance, ledger, margin, optimum, settings, slices
from analysis.views import curve_chooser, sweep_charts
from analysis.views.report import make_report_page, write_report
from rlhf_sweeps.verdicts import estimates, pairs

COMPARING = [compare.compare_groups, pairs.rank, estimates.estimate, judge_matrix.make_matrix]
COMPUTING: list[Callable[..., Any]] = [
    *COMPARING[:1],
    *(groups.group_runs, run_values.measure_values, frontier.trace_frontiers, matched_kl.match_groups),
    *(ranking.rank_source, unswept.treat_as_sweep, settings.make_views, margin.measure_lead, sentences.describe_runs),
    *(
        analysis.analyse_sweep,
        importance.measure_importance,
        optimum.find_optimum,
        slices.cut_slices,
        sweep_charts.make_contour_chart,
    ),
    *(ledger.make_ledger, findings.diagnose_run, patterns.find_patterns),
]


def calls(functions: list[Callable[..., Any]], ask: Callable[[], object]) -> Counter[tuple[str, ...]]:
    """How often each of some functions is called with the same: its name and what it is asked about."""
    codes = {getattr(function, "__wrapped__", function).__code__: function.__qualname__ for function in functions}
    found = Counter[tuple[str, ...]]()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and (name := codes.get(frame.f_code)):
            code = frame.f_code
            given = [frame.f_locals[argument] for argument in code.co_varnames[: code.co_argcount]]
            found[(code.co_filename.rpartition("/")[2], name, *map(_told, given))] += 1

    sys.setprofile(note)
    try:
        ask()
    finally:
        sys.setprofile(None)
    return found


def _told(given: Any) -> str:
    """Sources are told apart by their runs, views and groups by what they are of, all else by its kind."""
    if isinstance(given, Source):
        return " ".join(run.name for run in given.runs)
    if isinstance(given, groups.Grouping):
        return " ".join([*given.keys, *(run.name for group in given.groups for run in group.runs)])
    if isinstance(given, settings.View):
        return f"{given.label} {given.metrics} {[setting.numbers for setting in given.settings]}"
    if isinstance(given, RunRecord):
        return given.name
    if isinstance(given, list | tuple) and all(isinstance(one, RunRecord) for one in given):
        return " ".join(one.name for one in given)
    return repr(given) if isinstance(given, str | int | None) else type(given).__name__


def two_objectives() -> Source:
    """Runs outside of a sweep that look for two different things."""
    runs = [replace(run(i, 1.0 + i, **{"reward_model.name": "ab"[i % 2]}), trial=None) for i in range(8)]
    for number, one in enumerate(runs):
        looked_for = {
            "objective.metrics": ["eval/score"],
            "objective.directions": [["maximize", "minimize"][number % 4 // 2]],
        }
        one.config.update(looked_for)  # type: ignore[attr-defined]
    return Source("two", "folder", runs)


SOURCES = {"a sweep": sweep, "reward models": compared, "two objectives": two_objectives}


@pytest.mark.parametrize("name", SOURCES)
def test_a_report_computes_nothing_twice(name: str) -> None:
    source = SOURCES[name]()
    assert len(Results(source).parts) == (2 if name == "two objectives" else 1)
    found = calls([*COMPUTING, curve_chooser.make_curve_chooser], lambda: make_report_page(source))
    assert {call: count for call, count in found.items() if count > 1} == {}
    num_runs = len(source.runs)
    assert (
        sum(count for call, count in found.items() if call[:2] == ("findings.py", findings.diagnose_run.__name__))
        == num_runs
    )


def test_a_report_that_gets_smaller_computes_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.views.report.LIMIT", 1)
    found = calls(COMPUTING, lambda: write_report(sweep(), tmp_path / "report.html"))
    assert {call: count for call, count in found.items() if count > 1} == {}


def test_nothing_is_computed_before_it_is_asked_for_and_then_once() -> None:
    known = Results(sweep())
    assert calls(COMPUTING, lambda: Results(sweep())) == {}
    assert [name for _, name, *_ in calls(COMPUTING, lambda: known.costs)] == [ledger.make_ledger.__name__]
    asked = ["ranking", "sweep", "costs", "findings", "patterns"]
    found = calls(COMPUTING, lambda: [(getattr(known, name), known.compare_by("ppo.lr")) for name in asked * 2])
    assert set(found.values()) == {1}
    assert not [call for call in found if call[1] == ledger.make_ledger.__name__]


def test_a_changed_source_has_other_results() -> None:
    """Nothing that is known of a source is kept but in its Results."""
    source = sweep()
    before = analysis.analyse_sweep(source).views[0].view.best
    source.trials[0].objectives[0] = 9.0  # type: ignore[index]
    source.trials[0].runs[0].summary["objectives"][0] = 9.0
    after = analysis.analyse_sweep(source).views[0].view.best
    assert before is not None
    assert after is not None
    assert (before.numbers, after.numbers) == ((3,), (0,))


# Reward model -> win rates of its three seeds under the other judges; the middle seed has the best own score.
LIKED = {
    "a": (0.5, 0.6, 0.55),
    "b": (0.8, 0.9, 0.7),
    "c": (0.3, 0.2, 0.4),
    "d": (0.6, 0.7, 0.95),
    "e": (0.1, 0.2, 0.15),
}


def judged() -> Source:
    """Five reward models with three seeds each, whose own scores say the opposite of what other judges do."""
    runs, trials = [], []
    for number, (name, rates) in enumerate(LIKED.items()):
        several = []
        for seed, rate in enumerate(rates):
            own = 10 - 10 * rates[1] + (seed == 1)
            record = run(number, own, **{"reward_model.name": name, "seed": seed})
            wins = np.where(np.isfinite(record.metrics["eval/score"]), rate, np.nan)
            metrics = {**record.metrics, **{f"judge/{judge}/win_rate": wins for judge in LIKED if judge != name}}
            several.append(replace(record, name=f"{number}/seed_{seed}", metrics=metrics))
        runs += several
        trials.append(
            TrialRecord(number, "complete", {"reward_model": name}, [10 - 10 * rates[1] + 1 / 3], runs=several)
        )
    return Source("judged", "sweep", runs, trials, space=axes({"reward_model": f"choice({','.join(LIKED)})"}))


def test_the_curves_of_a_comparison_name_its_best_without_making_it(tmp_path: Path) -> None:
    """As before, when the whole comparison was asked for: the best seed of each, in the order of the other judges."""
    source = judged()
    text = ""

    def ask() -> None:
        nonlocal text
        text, _ = write_curves(source, tmp_path, formats=())

    found = calls([*COMPARING, analysis.analyse_sweep, ledger.make_ledger, findings.diagnose_run], ask)
    assert found == {}
    assert "named: the best run of each setting, by other judges; grey: the 10 other runs" in text
    named = list(dict.fromkeys(row.split(",")[1] for row in (tmp_path / "curves.csv").read_text().splitlines()[1:]))
    assert named[:5] == ["1/seed_1", "3/seed_1", "0/seed_1", "2/seed_1", "4/seed_1"]
    ranked = [entry.settings["reward_model"] for entry in Results(source).ranking.ranked]
    assert ranked == ["b", "d", "a", "c", "e"]  # means of 0.8, 0.75, 0.55, 0.3 and 0.15


def test_few_runs_are_named_without_ranking_them(tmp_path: Path) -> None:
    source = sweep(10)
    assert calls(COMPUTING, lambda: write_curves(source, tmp_path, formats=())) == {}


def test_the_command_curves_loads_nothing_that_takes_long(tmp_path: Path) -> None:
    place = made.grid(tmp_path / "grid")  # of more runs than there are names in a legend
    asked = ["curves", str(place), "--metrics=objective/kl", "--format=svg"]
    code = f"import sys; from analysis.command import main; main({asked!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "analysis.views.curves" in loaded
    assert not loaded & {"sklearn", "plotly", "pandas", "torch"}
