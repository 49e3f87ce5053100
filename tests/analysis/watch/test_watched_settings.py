"""A setting of several trials, one for each seed, as earlier versions left it: its tests and its limits in watch."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers.records import lose, rows, write_run, write_sweep
from helpers.watched import from_here as from_here
from helpers.watched import see

from analysis.reading.folders import read_folder
from analysis.results.ranking import rank_source
from analysis.watch.rows import Snapshot, TrialRow
from analysis.watch.table import _describe_best
from analysis.wording.statements import join_words


def test_the_tests_of_a_setting_are_those_of_all_its_trials(tmp_path: Path) -> None:
    """As an earlier version left them, a trial for each seed: (1 + 3 + 5) / 3 = 3, before the 2.9 of the other one."""

    def row(label: str, lr: str, seed: str, worth: float, *tests: float) -> TrialRow:
        values = [[value] for value in tests]
        return TrialRow(label, {"ppo.lr": lr, "seed": seed}, [], "complete", objectives=[worth], tests=values)

    rows_ = [row("0", "1", "0", 2.0, 1.0, 3.0), row("1", "1", "1", 2.0, 5.0), row("2", "2", "0", 9.0, 2.9)]
    seen = Snapshot("s", tmp_path, rows_)
    assert _describe_best(seen) == (
        "best so far: objective 3 on 3 test seeds, chosen by objective 2, trials 0 and 1: ppo.lr=1"
    )


@pytest.mark.parametrize("study", [True, False])
@pytest.mark.parametrize(
    ("lengths", "kls", "best"),
    [
        ((60.0, 24.0, 24.0), (3.0, 3.0, 3.0), "trials 3, 4 and 5"),  # 36 in the mean, although trial 1 keeps to 30
        ((24.0, 24.0, 24.0), (99.0, 3.0, 3.0), "trials 0, 1 and 2"),  # seed 0 never stayed within the budget
    ],
)
def test_watch_and_report_have_a_setting_keep_its_limits_in_the_mean_over_the_seeds_that_tell(
    lengths: Sequence[float], kls: Sequence[float], best: str, study: bool, tmp_path: Path
) -> None:
    """Of an earlier version's sweep, with a trial for each seed: 0 to 2 are worth more than 3 to 5."""
    points = [{"ppo.lr": lr, "seed": seed} for lr in (1e-3, 1e-4) for seed in range(3)]
    sweep = write_sweep(tmp_path / "s", points, heights=[3.0] * 3 + [2.0] * 3, study=study)
    for number, point in enumerate(points):
        length, kl = (lengths[number], kls[number]) if number < 3 else (24.0, 3.0)
        told = {"eval/length": length, "eval/kl": kl}
        metrics = [
            {**row, "objective/kl": kl, **{name: value for name, value in told.items() if name in row}}
            for row in rows(30, height=3.0 if number < 3 else 2.0)
        ]
        for file in ("run.json", "summary.json"):
            lose(sweep.trial(number) / file)
        settings = {"objective__constraints": ["eval/length<=30"], "seed": point["seed"]}
        overrides = [f"{key}={value}" for key, value in point.items()]
        write_run(sweep.trial(number), metrics, settings=settings, overrides=overrides)
    assert f", {best}: ppo.lr=" in _describe_best(see(sweep.folder))
    winner = rank_source(read_folder(sweep)).best
    assert winner is not None
    assert best == "trials " + join_words([str(number) for number in winner.numbers])
