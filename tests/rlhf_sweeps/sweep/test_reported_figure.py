"""The figure to report is one: terminal, YAML, W&B, report and the sweep's view say it in the same words.

Every expectation by hand.
"""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from helpers import fake_trainer
from helpers.ended_trials import block, make, written
from helpers.records import write_run
from helpers.sweep_sources import of, run, swept, trial
from helpers.sweeping import sweep

from analysis.reading.folders import read_folder
from analysis.records.objective import Objective
from analysis.records.runs import RunRecord, Source
from analysis.results.ranking import rank_source
from analysis.sweep.analysis import analyse_sweep
from analysis.sweep.left_out import measure_view_left_out
from analysis.sweep.settings import make_views
from analysis.views.answers import make_answers, make_sweep_tiles
from analysis.views.sweep_sentences import write_view_statements
from rlhf_sweeps.record import Sweep
from rlhf_sweeps.sweep.left_out import measure_left_out_seeds
from rlhf_sweeps.sweep.results_file import make_results
from rlhf_sweeps.sweep.study.tested import NO_VALUE
from rlhf_sweeps.sweep.study.trials import FAILED, PRUNED, RUNNING, WAITING, SweepTrial
from rlhf_sweeps.verdicts.left_out_seeds import LeftOut

# KL coefficient -> seed -> what a run is worth. The means without seed 0 are 1.15 and 1.25, without seed 1 they are
# 1.05 and 1.3, without seed 2 they are 1.1 and 0.45: so 0.5, 0.4 and 1.1 count, and their mean is 0.667. The best
# setting's mean is 1.1.
WORTH = {0.01: {0: 1.0, 1: 1.2, 2: 1.1}, 0.02: {0: 0.5, 1: 0.4, 2: 2.1}}
MEANING = "what a setting chosen in this way comes to on a seed that did not choose it"
SENTENCE = f"to report: objective 0.667, {MEANING} (each of 3 seeds left out in turn)"


def test_all_outputs_say_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_trainer, "value", lambda lr, kl_coef, seed: WORTH[kl_coef][seed])
    sweep(tmp_path, "ppo.kl_coef=0.01,0.02", "ppo.total_episodes=160", "seed=0,1,2")
    printed = capsys.readouterr().out
    assert f"    {SENTENCE}\n" in printed
    assert "looks better than it is" not in printed
    assert "run the best settings on test seeds: " in printed
    results = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text(encoding="utf-8"))
    assert results["left_out"] == {"mean": pytest.approx(2 / 3), "seeds": [0, 1, 2], "num_confirming": None}
    source = read_folder(Sweep(tmp_path))
    assert SENTENCE in [statement.text for statement in write_view_statements(analyse_sweep(source).views[0])]
    answers = dict(make_answers(source, rank_source(source), [], []).answers)
    assert SENTENCE.replace("to report", "To report") in answers["Which setting is best?"]


def make_tested() -> Source:
    """Settings that are worth 1 and 3, or 2 and 1, on the test seeds 7 and 8, and one that was not tested.

    Without test seed 7 the first is chosen (3 against 1), worth 1 there; without 8 the second, worth 1 there.
    """
    worths = [[1.0, 3.0], [2.0, 1.0], []]
    return of([
        trial(
            number,
            {"ppo.lr": f"{number + 1}e-4"},
            [5.0 - number],
            runs=[run(number, 0, 5.0 - number)],
            tests=[run(number, 7 + place, worth) for place, worth in enumerate(values)],
        )
        for number, values in enumerate(worths)
    ])  # fmt: skip


def test_test_seeds_that_chose_have_a_part_in_choosing() -> None:
    """The best one has (1 + 3) / 2 on the test seeds, and the figure to report is (1 + 1) / 2."""
    source = make_tested()
    statements = [statement.text for statement in write_view_statements(analyse_sweep(source).views[0])]
    assert statements[0].startswith("leading objective 2 on 2 test seeds, chosen by 5 (not decided)")
    expected = f"to report: objective 1, {MEANING} (each of 2 test seeds left out in turn)"
    assert statements[1] == expected
    tile = ("Objective to report", "1", "each of 2 test seeds left out in turn")
    assert tile in make_sweep_tiles(source, rank_source(source)).tiles
    lines = dict(make_answers(source, rank_source(source), [], []).answers)["Which setting is best?"]
    assert "is 2 ± 1 (standard error) on 2 seeds, which chose it among those tested" in lines[0]
    assert lines[2] == expected.replace("to report", "To report")


def test_what_was_measured_when_follows_the_value_that_it_is_about() -> None:
    """Every run's value is that of its evaluation after update 15; the figure to report has another value."""

    def evaluated(number: int, seed: int, worth: float) -> RunRecord:
        best = {"update": 15, "kl": 4.2, "score": worth}
        return replace(run(number, seed, worth, best=best), objective=Objective(("eval/score",), ("maximize",)))

    source = of([
        trial(
            number,
            {"ppo.lr": f"{number + 1}e-4"},
            [sum(row) / 3],
            runs=[evaluated(number, seed, worth) for seed, worth in enumerate(row)],
        )
        for number, row in enumerate(ROWS)
    ])  # fmt: skip
    lines = dict(make_answers(source, rank_source(source), [], []).answers)["Which setting is best?"]
    assert lines[0].endswith("its objective is 3, the mean over 3 seeds")
    assert lines[1] == "this was measured after update 15, at a KL of 4.2 nats to the base policy"
    assert lines[2].startswith("To report: objective 1")


def test_the_lines_of_the_terminal() -> None:
    trials = [make(0, [5.0], tested={7: [1.0], 8: [3.0]}), make(1, [4.0], tested={7: [2.0], 8: [1.0]})]
    figure = LeftOut(1.0, [7, 8], True, None)
    assert block(trials, left_out={"": figure})[:4] == [
        "leading (not decided): trial 0, objective 2 +- 1 (standard error), on 2 test seeds",
        "    ppo.kl_coef=0.00",
        "    chosen by objective 5",
        f"    to report: objective 1, {MEANING} (each of 2 test seeds left out in turn)",
    ]
    content = written(make_results(trials, ["maximize"], left_out={"": figure}))
    assert content["left_out"] == {"mean": 1.0, "seeds": [7, 8], "num_confirming": None}


@pytest.mark.parametrize("end", [{"state": "failed"}, {"state": "diverged"}, {"objective": None}])
def test_nothing_is_reported_if_all_runs_on_test_seeds_failed(tmp_path: Path, end: dict[str, Any]) -> None:
    """Without them, 1.0 would be the figure of the seeds 0, 1 and 2."""
    folder, trials = Sweep(tmp_path), by_seed(*ROWS)
    trials[0].tested = {7: "diverged", 8: NO_VALUE}
    figures = measure_left_out_seeds(folder, trials, plan())
    assert figures == {}
    lines = block(trials, left_out=figures)
    assert f"    nothing to report: all test seeds failed (7 diverged, 8 {NO_VALUE})" in lines
    assert not any("    to report" in line for line in lines)
    source = swept([{"ppo.lr": "1e-4"}, {"ppo.lr": "2e-4"}], ROWS)
    (view,) = make_views(source)
    assert measure_view_left_out(view) == LeftOut(1.0, [0, 1, 2], False, None)
    failed = replace(run(0, 7, end.get("objective", 1.0)), state=end.get("state", "complete"))
    (view,) = make_views(of([replace(source.trials[0], tests=[failed]), source.trials[1]]))
    assert measure_view_left_out(view) is None


def test_test_seeds_that_several_settings_do_not_share_have_no_number_to_report(tmp_path: Path) -> None:
    """Without a shared seed nothing is left out, and the test seeds have chosen the first: 2 is better than 1."""
    trials = [make(0, [5.0], tested={7: [2.0], 8: "error"}), make(1, [4.0], tested={7: "error", 8: [1.0]})]
    assert measure_left_out_seeds(Sweep(tmp_path), trials, plan(seeds=[0])) == {}
    lines = block(trials)
    assert lines[0] == "leading (not decided): trial 0, objective 2, on 1 test seed; 1 more failed (8 error)"
    assert not any("to report" in line for line in lines)
    records = [
        trial(number, {"ppo.lr": f"{number + 1}e-4"}, [5.0 - number], runs=[run(number, 0, 5.0 - number)], tests=[test])
        for number, test in enumerate([run(0, 7, 2.0), run(1, 8, 1.0)])
    ]
    source = of(records)
    statements = [statement.text for statement in write_view_statements(analyse_sweep(source).views[0])]
    assert statements[0].startswith("leading objective 2 on 1 test seed, chosen by 5 (not decided)")
    lines = dict(make_answers(source, rank_source(source), [], []).answers)["Which setting is best?"]
    assert lines[0].endswith("is 2 on 1 seed, which chose it among those tested")
    assert not any("to report" in line for line in (*statements, *lines))
    # If one setting alone has a value there, the test seeds have chosen nothing.
    source = of([records[0], replace(records[1], tests=[])])
    statements = [statement.text for statement in write_view_statements(analyse_sweep(source).views[0])]
    assert statements[0].startswith("leading objective 2 on 1 test seed (the number to report), chosen by 5")
    lines = dict(make_answers(source, rank_source(source), [], []).answers)["Which setting is best?"]
    assert lines[0].endswith("is 2 on 1 seed that had no part in choosing it: this is the number to report")


def test_where_reward_models_are_compared_each_has_its_own() -> None:
    trials = [
        make(number, [1.0], settings={"reward_model": name}, reward_model=name) for number, name in enumerate("ab")
    ]
    figures = {"a": LeftOut(1.5, [0, 1], False, None)}
    lines = block(trials, is_comparison=True, left_out=figures)
    assert f"best setting of a, to report: objective 1.5, {MEANING} (each of 2 seeds left out in turn)" in lines
    comparison = {"ranking": [], "reward_models": [{"reward_model": name, "trial": n} for n, name in enumerate("ab")]}
    content = make_results(trials, ["maximize"], comparison, is_comparison=True, left_out=figures)
    assert [entry.get("left_out", {}).get("mean") for entry in content["comparison"]] == [1.5, None]


def by_seed(*rows: tuple[float, ...]) -> list[SweepTrial]:
    """Complete trials with seeds 0, 1 and 2."""
    return [
        make(number, [sum(row) / 3], by_seed={seed: [value] for seed, value in enumerate(row)}, reward_model="a")
        for number, row in enumerate(rows)
    ]


ROWS = ((6.0, 1.0, 2.0), (0.0, 2.0, 2.0))  # seed 0 chooses nothing but the second, the others the first


def plan(**changes: Any) -> Any:
    return SimpleNamespace(**{"directions": ["maximize"], "has_own_scales": False, "seeds": [0, 1, 2], **changes})


@pytest.mark.parametrize(("state", "recorded"), [(PRUNED, "pruned"), (WAITING, "unfinished"), (RUNNING, "unfinished")])
def test_a_seed_on_which_a_trial_did_not_come_to_its_end_is_not_left_out(
    tmp_path: Path, state: str, recorded: str
) -> None:
    """Of 0, 1 and 2, which count without it, the first is lost: the trial was pruned, or put off until the end."""
    folder, trials = Sweep(tmp_path), by_seed(*ROWS)
    assert measure_left_out_seeds(folder, trials, plan()) == {"": LeftOut(1.0, [0, 1, 2], False, None)}
    trials.append(make(2, state=state, objectives=None))
    assert measure_left_out_seeds(folder, trials, plan())[""].mean == 1.0  # it has begun no run
    write_run(folder.run(2, 0).folder)
    assert measure_left_out_seeds(folder, trials, plan()) == {"": LeftOut(1.5, [1, 2], False, None)}
    # The trial's reward model is tiny, and the figure is that of a.
    assert measure_left_out_seeds(folder, trials, plan(has_own_scales=True))["a"].mean == 1.0
    source = swept([{"ppo.lr": "1e-4"}, {"ppo.lr": "2e-4"}], ROWS)
    lost = trial(2, {"ppo.lr": "3e-4"}, None, state=recorded, runs=[run(2, 0)])
    (view,) = make_views(of([*source.trials, lost]))
    assert measure_view_left_out(view) == LeftOut(1.5, [1, 2], False, None)


@pytest.mark.parametrize("changes", [{"state": PRUNED, "is_compared": False}, {"state": FAILED}])
def test_a_trial_that_others_did_not_end_takes_no_seed_away(tmp_path: Path, changes: dict[str, Any]) -> None:
    """It failed by itself, or it was pruned under an earlier configuration, whose trials the analysis leaves out."""
    folder, trials = Sweep(tmp_path), [*by_seed(*ROWS), make(2, objectives=None, **changes)]
    write_run(folder.run(2, 0).folder)
    assert measure_left_out_seeds(folder, trials, plan()) == {"": LeftOut(1.0, [0, 1, 2], False, None)}


def test_several_objectives_have_no_such_figure(tmp_path: Path) -> None:
    assert measure_left_out_seeds(Sweep(tmp_path), by_seed(*ROWS), plan(directions=["maximize"] * 2)) == {}
