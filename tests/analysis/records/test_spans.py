"""Sums over updates, whichever of these were logged."""

import csv
from pathlib import Path

import numpy as np
import pytest
from helpers.curve_runs import noise

from analysis.curves.axis import place_along
from analysis.curves.metrics import read_curve
from analysis.curves.phases import find_sum_phases
from analysis.reading.sources import read
from analysis.reading.wandb_runs import make_run
from analysis.records.runs import CUMULATIVE_REWARD, REWARD, RunRecord, Source
from analysis.records.spans import count_spans
from analysis.sweep.ledger import make_ledger


@pytest.mark.parametrize(
    ("updates", "expected"),
    [
        ([1, 2, 3], [1, 1, 1]),
        ([0, 1, 2], [1, 1, 1]),  # counted from 0
        ([10, 20, 30], [10, 10, 10]),
        ([1, 11, 21], [1, 10, 10]),
        ([0, 10, 20], [1, 10, 10]),
        ([501, 502, 503], [1, 1, 1]),  # what was before is unknown
        ([1, 2, 6, 7], [1, 1, 4, 1]),  # three rows were lost
        ([10, 20, 30, 40, 41, 42, 43], [10, 10, 10, 10, 1, 1, 1]),  # sparse, then dense
        ([41, 42, 43, 53, 63], [1, 1, 1, 10, 10]),
        ([500], [1]),  # alone, it does not tell how far rows are apart
        ([], []),
    ],
)
def test_a_row_stands_for_the_updates_since_the_row_before(updates: list[float], expected: list[float]) -> None:
    assert count_spans(np.array(updates, dtype=np.float64)).tolist() == expected


AXES = [
    ("episode", [{"_step": u - 1, "episode": 64 * u, REWARD: 1.0} for u in range(1, 11)]),
    ("train/episode", [{"_step": u - 1, "train/episode": 64 * u, REWARD: 1.0} for u in range(1, 11)]),
    (
        "_step",
        [row for u in range(10) for row in ({"_step": 2 * u, REWARD: 1.0}, {"_step": 2 * u + 1, "eval/score": 1.0})],
    ),
    ("update", [{"update": u, REWARD: 1.0} for u in range(1, 11)]),
]


@pytest.mark.parametrize(("axis", "logged"), AXES)
def test_ten_rewards_of_1_are_10_whatever_counts_the_rows(axis: str, logged: list[dict[str, float]]) -> None:
    run = make_run(
        {}, [{"perf/update_seconds": 3.0, **row} if REWARD in row else row for row in logged], {}, "finished"
    )
    assert run.axis == axis
    assert run.select_points(CUMULATIVE_REWARD)[1].tolist() == [*range(1, 11)]
    assert read_curve(run, CUMULATIVE_REWARD)[1][-1] == 10
    assert run.seconds == 30
    episodes = place_along(run, "episode")  # there are none, or they are the rows' places already
    assert read_curve(episodes, CUMULATIVE_REWARD)[1][-1] == 10


def test_steps_of_a_trainer_or_a_table_are_updates(tmp_path: Path) -> None:
    steps = range(100, 1100, 100)
    logged = [{"_step": n, "train/global_step": step, REWARD: 0.5} for n, step in enumerate(steps)]
    assert make_run({}, logged, {}, "finished").select_points(CUMULATIVE_REWARD)[1][-1] == 500
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"step": {step}, "reward": {step / 1000}}}\n' for step in steps), encoding="utf-8")
    (run,) = read(path).runs
    # 100 (0.1 + 0.2 + ... + 1)
    assert run.select_points(CUMULATIVE_REWARD)[1][[0, -1]] == pytest.approx([10, 550])


def every(step: int, values: np.ndarray) -> RunRecord:
    """A run of steady rewards that logs every so many updates."""
    updates = np.arange(float(step), len(values) + 1, step)
    rewards = values[updates.astype(int) - 1]
    return RunRecord("a", {"update": updates, REWARD: rewards, "perf/update_seconds": np.full(len(updates), 2.0)})


def test_cumulative_reward_does_not_depend_on_how_often_rows_were_logged() -> None:
    rewards = np.repeat(np.arange(10.0), 10)  # 0 to 9, ten updates each: 450 in all
    for step in (1, 2, 5, 10):
        for updates, sums in (
            every(step, rewards).select_points(CUMULATIVE_REWARD),
            read_curve(every(step, rewards), CUMULATIVE_REWARD),
        ):
            assert (updates[-1], sums[-1]) == (100, 450)
    missing = every(1, rewards)
    missing.metrics[REWARD][[14, 15, 16]] = np.nan
    assert missing.select_points(CUMULATIVE_REWARD)[1][-1] == 450


def test_time_and_updates_do_not_either() -> None:
    for step in (1, 10):
        run = every(step, np.ones(100))
        assert run.seconds == 200
        cost = make_ledger(Source("s", "table", [run])).total
        assert (cost.seconds, cost.updates) == (200, 100)


def test_the_published_curve_is_the_sum_of_its_scores_from_update_0_on(tmp_path: Path) -> None:
    # The figure's own running sum, of another reward than the step's: it begins with one update's, at update 0.
    path = tmp_path / "rewards.csv"
    rewards = [1.4062, 1.25, 1.0938, 1.4062]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("update", "reward"), *enumerate(rewards)])
    (run,) = read(path).runs
    assert run.select_points(CUMULATIVE_REWARD)[1] == pytest.approx([1.4062, 2.6562, 3.75, 5.1562])


GAP = [*range(1, 41), *range(81, 121)]
OFTEN_LATER = [*range(10, 410, 10), *range(411, 491)]


@pytest.mark.parametrize("logged", [GAP, OFTEN_LATER])
def test_gaps_are_no_turns_of_a_running_sum(logged: list[int]) -> None:
    """Of 150 curves each, 2 and 4 level ones were said to have a phase; 73 and 89 if noise is not counted by gaps."""
    updates, wrong = np.array(logged, dtype=np.float64), 0
    for seed in range(30):
        rewards = 0.3 * noise(len(updates), seed)
        rising = RunRecord("a", {"update": updates, REWARD: 1 + rewards})
        (phase,) = find_sum_phases(*read_curve(rising, CUMULATIVE_REWARD))
        assert phase.kind == "rises"
        assert phase.slope == pytest.approx(1, rel=0.3)
        level = RunRecord("b", {"update": updates, REWARD: rewards})
        wrong += [phase.kind for phase in find_sum_phases(*read_curve(level, CUMULATIVE_REWARD))] != ["level"]
    assert wrong <= 3


@pytest.mark.parametrize(("column", "total"), [("episode", 10.0), ("_step", 10.0), ("step", 640.0), ("update", 640.0)])
def test_rows_of_a_table_stand_for_updates_where_these_count_them(tmp_path: Path, column: str, total: float) -> None:
    """Ten rewards of 1, at 64, 128, ... 640 of what is counted."""
    table = tmp_path / "t.csv"
    table.write_text(f"{column},reward\n" + "".join(f"{64 * n},1.0\n" for n in range(1, 11)), encoding="utf-8")
    (run,) = read(table).runs
    assert run.select_points(CUMULATIVE_REWARD)[1][-1] == total


@pytest.mark.parametrize(
    ("updates", "expected"),
    [
        ([10, 13, 20], [3, 3, 7]),  # what was before 8 is not known
        ([2, 12, 15], [2, 10, 3]),
        ([0, 5, 10], [1, 5, 5]),
        ([7], [1]),
        ([], []),
    ],
)
def test_the_first_row_stands_for_no_more_than_lies_between_it_and_the_next(
    updates: list[float], expected: list[float]
) -> None:
    assert count_spans(np.array(updates, dtype=np.float64)).tolist() == expected
