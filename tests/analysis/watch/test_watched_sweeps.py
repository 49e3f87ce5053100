"""A sweep in the live table at every stage: its counts, its ranking, its seeds and settings."""

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.records import axes, lose, rows, summary, write_run, write_sweep
from helpers.watched import POINTS, change, plan_of, see, swept_by, text, unfinish
from helpers.watched import dead_process as dead_process
from helpers.watched import from_here as from_here

from analysis.reading.sources import read
from analysis.results.ranking import rank_source
from analysis.sweep.settings import make_views
from analysis.watch.places import Places
from analysis.watch.rows import Snapshot, TrialRow, make_row
from rlhf_sweeps.record import Sweep, SweepPlan, convert_start, read_plan
from rlhf_sweeps.record.axes import as_data
from rlhf_sweeps.record.files import claim


@pytest.mark.parametrize("study", [True, False])
def test_a_finished_grid(tmp_path: Path, study: bool) -> None:
    sweep = write_sweep(tmp_path / "s", POINTS, heights=[1.0, 3.0, 2.0], study=study)
    plan_of(sweep.folder)
    seen = see(sweep.folder)
    assert (seen.num_planned, seen.count_states()) == (3, "3 complete")
    assert (seen.has_ended, seen.is_complete, seen.note) == (True, True, None)
    assert [row.label for row in seen.rank_trials()] == ["1", "2", "0"]
    assert seen.rank_trials()[0].settings == {"ppo.lr": "0.0005"}
    assert seen.rank_trials()[0].objectives == [pytest.approx(rows(30, seed=1, height=3.0)[29]["eval/score"])]
    lines = text([seen])
    assert lines[0] == "s: 3/3 trials done: 3 complete; 0:01:00"
    assert re.fullmatch(r"best so far: objective 2\.8\d+, trial 1: ppo.lr=0\.0005", lines[1])
    assert re.fullmatch(r"trial +lr +update +score now +KL now +objective +trend +s/update +state", lines[2])
    assert re.fullmatch(r" +1 +0\.0005 +30/30 +2\.8\d? +\d\.\d+ +2\.8\d+ +▁[▁-█]{9} +0\.5 +complete", lines[3])


def test_the_study_knows_of_trials_what_their_runs_do_not(tmp_path: Path) -> None:
    import optuna

    sweep = write_sweep(tmp_path / "s", POINTS)
    unfinish(sweep.run(2, None), 7)
    study = optuna.load_study(study_name="made", storage=f"sqlite:///{sweep.study}")
    study.add_trial(  # of the same setting as another: it has no folder
        optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED, user_attrs={"settings": {"ppo.lr": "1e-4"}})
    )
    lost = optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs={"cause": "lost_process"})
    study.add_trial(lost)
    unfinish(write_run(sweep.trial(4)), 3)
    seen = see(sweep.folder)
    assert seen.count_states() == "3 complete, 1 pruned, 1 failed (lost_process)"
    assert seen.trials[3].settings == {"ppo.lr": "1e-4"}
    assert [row.state for row in seen.trials][4] == "failed"


def test_the_study_is_read_while_it_grows(tmp_path: Path) -> None:
    import optuna

    sweep = write_sweep(tmp_path / "s", POINTS[:2])
    places = Places(sweep.folder)
    assert len(places.look()[0].trials) == 2
    time.sleep(0.01)
    study = optuna.load_study(study_name="made", storage=f"sqlite:///{sweep.study}")
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED))
    deadline = time.monotonic() + 20  # it is not looked at all the time
    while len(places.look()[0].trials) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_running_sweep(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", POINTS, study=False)
    plan_of(sweep.folder, num_workers=2, num_trials=4, seconds=100.0)
    unfinish(sweep.run(1, None), 12)
    swept_by(sweep.folder, os.getpid())
    with claim(sweep.folder, ""):
        seen = see(sweep.folder)
    assert (seen.count_states(), seen.num_planned, seen.has_ended) == ("2 complete, 1 running", 4, False)
    assert 100.0 <= seen.elapsed < 105.0  # and since its last word
    # Two took 15 s each; one has gone on for 6 s of its 15, one is to come; two at a time.
    assert seen.left == pytest.approx(15)
    assert seen.trials[1].left == pytest.approx(18 * 0.5)
    lines = text([seen], height=6)
    assert re.fullmatch(r" +1 +0\.0005 +12/30 +\S+ +\S+ +[▁-█]{10} +0\.5 +0:00:09 +running", lines[3])
    assert len(lines) == 6
    assert lines[-1] == "and 1 more"


def test_seeds_and_test_seeds(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "s")
    sweep.folder.mkdir()
    plan = SweepPlan(axes({"ppo.lr": "choice(1,2)"}), ["eval/score"], ["maximize"], [0, 1], [7, 8], 2, num_tests=2)
    sweep.write_start(plan.as_data())
    for seed in (0, 1):
        assert seed == 0 or see(sweep.folder).trials[0].is_open  # one of two seeds is no value yet
        write_run(sweep.run(0, seed).folder, rows(30, height=2.0 + seed), overrides=["ppo.lr=1", f"seed={seed}"])
    write_run(sweep.run(1, 0).folder, end="diverged", overrides=["ppo.lr=2", "seed=0"])
    seen = see(sweep.folder)
    mean = np.mean([rows(30, height=height)[29]["eval/score"] for height in (2.0, 3.0)])
    assert seen.trials[0].objectives == [pytest.approx(mean)]
    assert seen.count_states() == "1 complete, 1 failed (diverged)"
    assert not seen.is_complete  # two test runs are to come
    write_run(sweep.test_run(0, 7).folder, overrides=["ppo.lr=1", "seed=7"])
    unfinish(write_run(sweep.test_run(0, 8).folder, overrides=["ppo.lr=1", "seed=8"]), 10)
    seen = see(sweep.folder)
    lines = text([seen])
    assert "2/2 trials done: 1 complete, 1 failed (diverged); 1/2 test runs done" in lines[0]
    assert any(re.match(r"0 test +1 +10/30", line) for line in lines)
    assert any(re.match(r" +0 +1 +30/30 \(2/2\)", line) for line in lines)
    sweep.test_run(0, 8).write_summary(summary(rows(30)))
    assert see(sweep.folder).is_complete


def test_a_sweep_with_few_complete_trials_has_few_tests(tmp_path: Path) -> None:
    """Three settings are tested at most on two seeds each; of one complete trial it is one."""
    sweep = Sweep(tmp_path / "s")
    sweep.folder.mkdir()
    plan = SweepPlan(axes({"ppo.lr": "choice(1,2)"}), ["eval/score"], ["maximize"], [0], [7, 8], 2, num_tests=6)
    sweep.write_start(plan.as_data())
    write_run(sweep.trial(0), overrides=["ppo.lr=1"])
    write_run(sweep.trial(1), end="diverged", overrides=["ppo.lr=2"])
    for seed in (7, 8):
        assert not see(sweep.folder).is_complete
        write_run(sweep.test_run(0, seed).folder, overrides=["ppo.lr=1", f"seed={seed}"])
    assert see(sweep.folder).is_complete


def test_trials_of_an_earlier_configuration_are_seen_and_count_for_nothing(tmp_path: Path, dead_process: int) -> None:
    """Two trials were begun under the first configuration; of the two that are planned since, one has run."""
    import optuna

    points = [{"ppo.lr": 1e-4}, {"ppo.lr": 5e-4}]
    sweep = write_sweep(tmp_path / "s", points, heights=[3.0, 2.0])
    write_run(sweep.test_run(0, 7).folder, overrides=["ppo.lr=0.0001", "seed=7"])
    told: dict[str, Any] = {"num_trials": 2, "test_seeds": [7], "num_tests": 1, "seconds": 60.0}
    plan_of(sweep.folder, **told)
    assert see(sweep.folder).is_complete
    plan_of(sweep.folder, **told, compared=[1])  # changes are accepted, no new trial is there yet
    seen = see(sweep.folder)
    assert (seen.trials, seen.select_best(), seen.is_complete) == ([], [], False)
    assert (seen.elapsed, seen.left) == (pytest.approx(60, abs=5), 45.0)  # two trials and a test of 15 s each
    swept_by(sweep.folder, dead_process)
    told_now = [
        "s: 0/2 trials done; 2 trials of an earlier configuration; 0:01:00",
        "best so far: none yet",
        "no sweeper is running: continue with "
        "python -m rlhf_sweeps -m ppo.lr=1,2 hydra.sweeper.seed=1 hydra.sweep.dir=s",
    ]
    assert text([see(sweep.folder)])[:3] == told_now
    study = optuna.load_study(study_name="made", storage=f"sqlite:///{sweep.study}")
    notes = {"settings": {"ppo.lr": "0.0001"}, "configuration": 1}
    study.add_trial(optuna.trial.create_trial(value=1.0, user_attrs=notes))
    write_run(sweep.trial(2), rows(30, height=1.0), overrides=["ppo.lr=0.0001"])
    seen = see(sweep.folder)
    assert ([row.label for row in seen.select_best()], seen.count_states(), seen.is_complete) == (
        ["2"],
        "1 complete",
        False,
    )
    lines = text([seen])
    assert lines[0] == "s: 1/2 trials done: 1 complete; 2 trials of an earlier configuration; 0:01:00"
    assert lines[1] == "best so far: objective 1, trial 2: ppo.lr=0.0001"
    assert sum(bool(re.match(r" *[01] earlier +", line)) for line in lines) == 2
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED, user_attrs=notes))
    assert not see(sweep.folder).is_complete  # the test run was one of an earlier trial's
    write_run(sweep.test_run(2, 7).folder, overrides=["ppo.lr=0.0001", "seed=7"])
    assert see(sweep.folder).is_complete


def test_a_seed_that_was_typed_with_plus_signs_is_no_setting(tmp_path: Path) -> None:
    """Seeds of 1 and 5 are worth 3 in the mean, those of 3.4 and 3.6 are worth 3.5, the more though 5 is the best."""
    import optuna

    values = {("1", "0"): 1.0, ("1", "1"): 5.0, ("2", "0"): 3.4, ("2", "1"): 3.6}
    found = []
    for number, ((lr, seed), value) in enumerate(values.items()):
        notes = {"settings": {"++ppo.lr": lr, "++seed": seed}}
        known = optuna.trial.create_trial(value=value, user_attrs=notes)
        found.append(make_row(number, [], known, ["ppo.lr", "seed"], 1, "unfinished"))
    seen = Snapshot("s", tmp_path, found)
    assert [row.label for row in seen.rank_trials()] == ["2", "3", "0", "1"]
    assert "best so far: objective 3.5, trials 2 and 3: ppo.lr=2" in text([seen])


def test_constraints_and_pareto_fronts(tmp_path: Path) -> None:
    def row(label: str, *objectives: float, **violations: float) -> TrialRow:
        return TrialRow(label, {}, [], "complete", objectives=list(objectives), violations=violations)

    one = [row("0", 1.0), row("1", 3.0, length=0.5), row("2", 2.0), row("3", 2.0)]
    seen = Snapshot("s", tmp_path, one)
    assert [row.label for row in seen.select_best()] == ["2"]
    assert [row.label for row in seen.rank_trials()] == ["2", "3", "0"]
    several = [row("0", 1.0, 5.0), row("1", 2.0, 6.0), row("2", 0.5, 7.0), row("3", 1.0, 5.0), row("4", 3.0)]
    seen = Snapshot("s", tmp_path, several, ("a", "b"), ("maximize", "minimize"))
    assert {row.label for row in seen.select_best()} == {"0", "1"}
    assert "best so far (Pareto front): trials 1, 0" in text([seen])


def test_constraints_hold_without_a_study(tmp_path: Path) -> None:
    points = [{"ppo.lr": 1e-3}, {"ppo.lr": 1e-4}]
    sweep = write_sweep(tmp_path / "s", points, study=False)
    for number, length in ((0, 40.0), (1, 25.0)):
        metrics = [{**row, "objective/length": length} for row in rows(30, height=3.0 - number)]
        for file in ("run.json", "summary.json"):
            lose(sweep.trial(number) / file)
        settings = {"objective__constraints": ["objective/length<=30"]}
        write_run(sweep.trial(number), metrics, settings=settings, overrides=[f"ppo.lr={points[number]['ppo.lr']}"])
    assert [row.label for row in see(sweep.folder).select_best()] == ["1"]


@pytest.mark.parametrize(
    "space",
    [{"+reward_model": "choice(a,b)"}, {"ppo.lr": "choice(1e-4,1e-3) with reward_model=choice(a,b)"}],
)
def test_reward_models_that_are_tied_or_added_are_compared_with_nobody(space: dict[str, str]) -> None:
    assert read_plan(convert_start({"space": space}, {})).is_comparison


@pytest.mark.parametrize(
    ("space", "is_comparison"),
    [
        ({"reward_model.weight": "choice(0.1,0.2)"}, True),
        ({"reward_model.weight": "choice(0.1,0.2)", "ppo.lr": "interval(1e-5,1e-3)"}, True),
        ({"reward_model.weight": "interval(0.1,0.2)"}, False),  # of an interval no two can be compared
        ({"reward_model.weight": "choice(0.1,0.2)", "reward_model.max_length": "interval(1,9)"}, False),
        ({"reward_model.normalize": "choice(true,false)"}, False),  # the same one, on another scale
        ({"reward_model": "choice(tiny)"}, False),
        ({"reward_training.lr": "choice(1,2)"}, False),
        ({"experiment": "choice(a,b)"}, False),  # nobody knows what is in there
    ],
)
def test_an_old_sweep_compares_reward_models_where_its_sweeper_did(space: dict[str, str], is_comparison: bool) -> None:
    assert read_plan(convert_start({"space": space}, {})).is_comparison == is_comparison
    assert read_plan(convert_start({"space": space}, {}, has_comparison=True)).is_comparison


def test_where_reward_models_are_compared_no_trial_is_the_best(tmp_path: Path) -> None:
    """Two of one kind, told apart by a key; the runs' configs, which another trainer wrote, have no names."""
    sweep = write_sweep(tmp_path / "s", [{"reward_model.weight": 0.1}, {"reward_model.weight": 0.2}])
    for number in (0, 1):
        change(sweep.trial(number) / "run.json", config={"ppo": {"lr": 1e-4}})
    old = {"schema_version": 1, "study_name": "made", "space": {"reward_model.weight": "interval(0.1,0.2)"}}
    sweep.start_file.write_text(json.dumps(old), encoding="utf-8")
    assert [view.label for view in make_views(read(sweep.folder))] == [""]
    assert text([see(sweep.folder)])[1].startswith("best so far: ")
    (sweep.folder / "comparison.json").write_text("{}", encoding="utf-8")
    assert text([see(sweep.folder)])[1] == "best: known when all reward models are compared"
    source = read(sweep.folder)
    assert [view.label for view in make_views(source)] == ["reward_model.weight=0.1", "reward_model.weight=0.2"]
    assert not rank_source(source).is_comparable


def test_keys_that_are_added_keep_their_settings(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", [{"ppo.lr": 1e-4}], study=False)
    plan_of(sweep.folder, axes=as_data(axes({"+new.key": "choice(3,4) with +other=choice(5,6)"})))
    told = sweep.trial(0) / ".hydra" / "overrides.yaml"
    told.write_text("['+new.key=3', '+other=5', 'ppo.lr=1']", encoding="utf-8")
    assert see(sweep.folder).trials[0].settings == {"new.key": "3", "other": "5"}
    assert read(sweep.folder).trials[0].settings == {"new.key": "3", "other": "5"}
