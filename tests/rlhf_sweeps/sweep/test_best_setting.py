"""The best setting is one: terminal, YAML, study, W&B, watch, report and comparison name it with the same number."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import fake_trainer
from helpers.sweeping import sweep
from optuna import load_study

from analysis.comparison.compare import compare_groups
from analysis.reading.folders import read_folder
from analysis.results.ranking import rank_source
from analysis.sweep.analysis import analyse_sweep
from analysis.sweep.settings import make_views
from analysis.views.answers import make_answers, make_sweep_tiles
from analysis.views.sweep_sentences import write_view_statements
from analysis.watch.sweep import FollowedSweep
from analysis.watch.table import _describe_best
from rlhf_sweeps.record import Sweep
from rlhf_sweeps.verdicts.settings import mean_over_seeds, rank_key

# KL coefficient -> seed -> what a run is worth. By their means over seeds 0, 1, 2 these are worth 1.1, 1.0 (it has the
# luckiest run) and 0.2; on the test seeds 0.8, 1.25 and 0.1.
WORTH = {
    0.01: {0: 1.0, 1: 1.2, 2: 1.1, 1_000_000: 0.7, 1_000_001: 0.9},
    0.02: {0: 0.5, 1: 0.4, 2: 2.1, 1_000_000: 1.5, 1_000_001: 1.0},
    0.05: {0: 0.1, 1: 0.2, 2: 0.3, 1_000_000: 0.2, 1_000_001: 0.0},
}
GRID = ("ppo.kl_coef=0.01,0.02,0.05", "ppo.total_episodes=160")
TESTS = ("sweep.test_seeds=2", "sweep.num_tested=2")


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_trainer, "value", lambda lr, kl_coef, seed: WORTH[kl_coef][seed])


def told_by_the_sweep(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, float]]:
    """Output -> the best KL coefficient and what stands beside it first, of the sweep's own outputs."""
    printed = capsys.readouterr().out
    found = re.search(
        r"(?:best|leading \(not decided\)): trial \d+, (?:to report: )?objective ([\d.]+).*\n +ppo.kl_coef=([\d.]+)\n",
        printed,
    )
    assert found is not None, printed
    results = yaml.safe_load((folder / "optimization_results.yaml").read_text())
    number = results["test"]["mean"] if "test" in results else results["best_value"]
    return {
        "terminal": (found[2], float(found[1])),
        "YAML": (str(results["best_params"]["ppo.kl_coef"]), number),
    }


def told_by_the_analysis(folder: Path) -> dict[str, tuple[str, float]]:
    """The same of what is made of the record."""
    source = read_folder(Sweep(folder))
    ranking = rank_source(source)
    best = ranking.best
    assert best is not None
    assert "seed" not in best.settings
    told = dict(make_answers(source, ranking, [], []).answers)["Which setting is best?"][0]
    won = re.search(r"ppo.kl_coef=([\d.]+): its \S+ is ([\d.]+)", told)
    (sentence, *_) = write_view_statements(analyse_sweep(source).views[0])
    text = re.search(r"(?:best|leading) \S+ ([\d.]+).*: trial \d+, ppo.kl_coef=([\d.]+)", sentence.text)
    seen = re.search(
        r"best so far: objective ([\d.]+).* ppo.kl_coef=([\d.]+)", _describe_best(FollowedSweep(Sweep(folder)).look(""))
    )
    assert won is not None
    assert text is not None
    assert seen is not None
    tiles = {name: float(value) for name, value, _ in make_sweep_tiles(source, ranking).tiles if "bjective" in name}
    results = yaml.safe_load((folder / "optimization_results.yaml").read_text())
    if "left_out" in results:
        assert tiles == {"Objective to report": pytest.approx(results["left_out"]["mean"], abs=0.005)}
    else:
        assert tiles == {"Best objective": ranking.choose_value(best)}
    return {
        "report": (won[1], float(won[2])),
        "sweep's views": (text[2], float(text[1])),
        "watch": (seen[2], float(seen[1])),
    }


def agree(told: Mapping[str, tuple[str, float]], kl_coef: str, worth: float) -> None:
    assert {name: (coef, pytest.approx(number)) for name, (coef, number) in told.items()} == dict.fromkeys(
        told, (kl_coef, worth)
    )


def test_a_lucky_run_makes_no_setting_the_best(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(tmp_path, *GRID, "seed=0,1,2")
    agree(told_by_the_sweep(tmp_path, capsys), "0.01", 1.1)
    agree(told_by_the_analysis(tmp_path), "0.01", 1.1)
    best = load_study(study_name=tmp_path.name, storage=f"sqlite:///{tmp_path}/study.db").best_trial
    assert (best.params, best.value) == ({"ppo.kl_coef": 0.01}, pytest.approx(1.1))
    first = compare_groups(read_folder(Sweep(tmp_path)), "ppo.kl_coef").groups[0]
    assert first.estimate is not None
    assert (first.label, first.estimate.value) == ("0.01", pytest.approx(1.1))  # also the interquartile mean


def test_the_best_of_those_tested_is_the_best_on_the_test_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0.01 is chosen before 0.02, which turns out to be the better one: 1.25 against 0.8."""
    sweep(tmp_path, *GRID, *TESTS, "seed=0,1,2")
    agree(told_by_the_sweep(tmp_path, capsys), "0.02", 1.25)
    agree(told_by_the_analysis(tmp_path), "0.02", 1.25)
    results = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert (results["best_value"], results["best_trial"]) == (pytest.approx(1.0), 1)
    source = read_folder(Sweep(tmp_path))
    said = dict(make_answers(source, rank_source(source), [], []).answers)
    assert said["Which setting is best?"][1].startswith("It was chosen by 1, the mean over 3 seeds")
    assert said["By how much?"][0] == "0.45 better than the second, trial 0 (0.8 on the test seeds)"


def test_settings_that_were_tested_are_compared_by_their_tests(tmp_path: Path) -> None:
    sweep(tmp_path, *GRID, *TESTS, "seed=0,1,2")
    (view,) = make_views(read_folder(Sweep(tmp_path)))
    best, second, third = view.ranked
    assert view.measure_gap(best, second) == pytest.approx(1.25 - 0.8)
    assert view.measure_gap(best, third) == pytest.approx(1.0 - 0.2)  # which was not tested


def test_a_record_with_a_trial_for_each_seed_is_merged_to_the_same(tmp_path: Path) -> None:
    """As an earlier version left it: six trials of one run each, the luckiest of which the study calls the best."""
    sweep(tmp_path / "new", *GRID, "seed=0,1,2")
    old = tmp_path / "old"
    shutil.copytree(tmp_path / "new", old, ignore=shutil.ignore_patterns("study.db*", "[0-9]*"))
    for number, run in enumerate(sorted((tmp_path / "new").glob("*/seed_*"))):
        shutil.copytree(run, old / str(number))
        overrides = old / str(number) / ".hydra" / "overrides.yaml"
        kept = [word for word in yaml.safe_load(overrides.read_text()) if not word.startswith("seed=")]
        overrides.write_text(yaml.safe_dump([*kept, f"seed={run.name.removeprefix('seed_')}"]))
    start: dict[str, Any] = Sweep(old).start() or {}
    axes = [*start["axes"], {"key": "seed", "kind": "list", "choices": ["0", "1", "2"]}]
    Sweep(old).write_start({**start, "axes": axes, "seeds": [0]})
    source = read_folder(Sweep(old))
    assert len(source.trials) == 9
    assert {trial.settings["seed"] for trial in source.trials} == {"0", "1", "2"}
    agree(told_by_the_analysis(old), "0.01", 1.1)
    (title,) = {entry.title for entry in rank_source(source).ranked if entry.settings["ppo.kl_coef"] == "0.01"}
    assert title == "Trials 0, 1 and 2"


def test_the_mean_is_over_the_runs_that_came_to_their_end() -> None:
    assert mean_over_seeds([[1.0, 4.0], None, [3.0, 5.0]]) == [2.0, 4.5]
    assert mean_over_seeds([None]) is None
    assert mean_over_seeds([]) is None
    assert mean_over_seeds([[1.0], [1.0, 2.0]]) is None


@pytest.mark.parametrize(
    ("one", "other", "directions"),
    [
        (([1.0], [0.5]), ([2.0], None), ["maximize"]),  # what was tested before what was not
        (([1.0], [0.5]), ([2.0], [0.4]), ["maximize"]),  # by the test seeds, whatever chose
        (([2.0], [0.5]), ([1.0], [0.5]), ["maximize"]),  # as good there: by what chose
        (([1.0], [0.4]), ([0.5], [0.5]), ["minimize"]),
        (([2.0], None), ([1.0], None), ["maximize"]),
        (([2.0, 9.0], None), ([1.0, 0.0], [3.0, 0.0]), ["maximize", "minimize"]),  # of several no one is the best
    ],
)
def test_which_of_two_settings_is_better(one: Any, other: Any, directions: list[str]) -> None:
    assert rank_key(*one, directions) < rank_key(*other, directions)
