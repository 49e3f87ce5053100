"""What a sweep shows, on a terminal of known size and in a log."""

import io
import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rlhf_sweeps.sweep import display
from rlhf_sweeps.sweep.display import Display
from rlhf_sweeps.sweep.study.trials import COMPLETE, FAILED, PRUNED, RUNNING, SweepTrial


def make(number: int, state: str = RUNNING, **changes: Any) -> SweepTrial:
    fields = {"params": {}, "settings": {"ppo.lr": f"{number}e-5"}, "folder": Path(str(number)), "num_updates": 30}
    return SweepTrial(number=number, **{**fields, "state": state, **changes})


def complete(number: int, value: float, **changes: Any) -> SweepTrial:
    return make(number, COMPLETE, objectives=[value], update=30, **changes)


class Clock:
    """The time, to be set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def strftime(self, _: str) -> str:
        return "12:34:56"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Clock:
    time = Clock()
    monkeypatch.setattr(display, "time", time)
    caplog.set_level(logging.INFO, logger="rlhf_sweeps")
    return time


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines since the last look."""
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return lines


def plain(total: int | None = 5, done_before: int = 0) -> Display:
    return Display(["eval/score"], ["maximize"], total, done_before, console=Console(file=io.StringIO()))


def terminal(width: int = 100, height: int = 20) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, height=height, record=True, _environ={"TERM": "xterm"}
    )


def screen(trials: list[SweepTrial], console: Console, metrics: tuple[str, ...] = ("eval/score",)) -> list[str]:
    """What one look at these trials draws."""
    directions = ["maximize", "minimize"][: len(metrics)]
    with Display(list(metrics), directions, 50, 0, console=console) as shown:
        shown.show(trials, 750.4)
        return [line.rstrip() for line in console.export_text().splitlines()]


def test_lines_from_start_to_end(caplog: pytest.LogCaptureFixture) -> None:
    with plain() as shown:
        shown.show([make(0), make(1, update=12)], None)
        assert lines_of(caplog) == ["trial 0 started: ppo.lr=0e-5", "trial 1 continues after update 12: ppo.lr=1e-5"]
        shown.show([complete(0, 1.23456, seconds=18.6), make(1)], None)
        assert lines_of(caplog) == [
            "trial 0 complete: objective 1.23, 19 s",
            "best so far: objective 1.23, trial 0: ppo.lr=0e-5",
        ]
        shown.show([complete(0, 1.0), complete(1, 0.5), make(2, PRUNED, update=10)], None)
        assert lines_of(caplog) == [
            "trial 1 complete: objective 0.5, 0 s",
            "trial 2 started: ppo.lr=2e-5",
            "trial 2 pruned after update 10/30",
        ]
        shown.event("50% of it: trial 3 is tried again")
        assert lines_of(caplog) == ["50% of it: trial 3 is tried again"]


def test_a_retried_trial_is_told_to_have_failed_once_each_time(caplog: pytest.LogCaptureFixture) -> None:
    failed = make(0, FAILED, cause="lost_process", message="killed by signal 9")
    with plain() as shown:
        for trial in (failed, failed, make(0), failed):
            shown.show([trial], None)
    assert lines_of(caplog).count("trial 0 failed (lost_process): killed by signal 9") == 2


def test_a_progress_line_every_15_seconds_at_most(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    trials = [make(0, update=3, score=1.5), make(1), complete(2, 1.0)]
    progress = "1/5 trials done, 0:12:30 left: 1 complete, 2 running; trial 0 3/30 score now 1.5, trial 1 0/30"
    with plain() as shown:
        shown.show(trials, 750.4)
        lines_of(caplog)
        for seconds in range(1, 61):
            clock.now = 1000.0 + seconds / 2
            shown.show(trials, 750.4)
    assert lines_of(caplog) == [progress, progress]


def test_runs_on_test_seeds_are_counted_once_they_are_planned(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    trials = [complete(0, 1.0), complete(1, 2.0)]
    with plain(total=2) as shown:
        for num_tests, seconds_left in [((0, 0), 90.0), ((0, 4), 60.0), ((3, 4), None)]:
            clock.now += 15
            shown.show(trials, seconds_left, num_tests)
    assert [line for line in lines_of(caplog) if "trials done" in line] == [
        "2/2 trials done, 0:01:30 left: 2 complete",
        "2/2 trials done, 0/4 test runs done, 0:01:00 left: 2 complete",
        "2/2 trials done, 3/4 test runs done: 2 complete",
    ]


def test_a_continued_sweep_does_not_repeat_itself(caplog: pytest.LogCaptureFixture) -> None:
    before = [complete(0, 1.0), make(1, FAILED, cause="error", message="old")]
    with plain(done_before=2) as shown:
        shown.show([*before, make(2, FAILED, cause="error", message="new")], None)
        assert lines_of(caplog) == [
            "trial 2 started: ppo.lr=2e-5",
            "trial 2 failed (error): new",
            "best so far: objective 1, trial 0: ppo.lr=0e-5",
        ]


def test_the_table() -> None:
    trials = [
        complete(0, 1.234, score=1.2, kl=4.31),
        complete(1, 1.912, score=1.85, kl=9.2),
        make(2, FAILED, cause="diverged", message="loss is nan", settings={"ppo.lr": "1", "a.x": "[1,2]"}),
        make(3, update=12),
    ]
    lines = screen(trials, terminal())
    assert lines[0] == "12:34:56 trial 2 failed (diverged): loss is nan"
    assert lines[1] == "3/50 trials done, 0:12:30 left: 2 complete, 1 failed (diverged), 1 running"
    assert lines[2] == "best so far: objective 1.91, trial 1: ppo.lr=1e-5"
    assert [line.split() for line in lines[3:]] == [
        ["trial", "lr", "x", "update", "score", "now", "KL", "now", "objective", "state"],
        ["3", "3e-5", "12/30", "running"],
        ["1", "1e-5", "30/30", "1.85", "9.2", "1.91", "complete"],
        ["0", "0e-5", "30/30", "1.2", "4.31", "1.23", "complete"],
        ["2", "1", "[1,2]", "0/30", "failed", "(diverged)"],
    ]


def test_as_many_rows_as_fit_the_running_the_best_and_the_newest() -> None:
    trials = [complete(number, 10.0 - number) for number in range(8)] + [make(8), make(9, PRUNED)]
    lines = screen(trials, terminal(height=9))
    # 9 lines, 3 above the rows and the cursor's: 5 rows. One is running; of the other 4 half are best, half newest.
    assert [int(line.split()[0]) for line in lines[3:]] == [8, 0, 1, 7, 9]
    assert len(screen(trials, terminal(height=40))) == 3 + 10
    assert len(screen([make(number) for number in range(9)], terminal(height=9))) == 3 + 5
    assert len(screen(trials, terminal(height=3))) == 3


def test_a_narrow_terminal_cuts_the_settings() -> None:
    long = "a-setting-that-has-a-long-text" * 3
    lines = screen([complete(0, 1.5, settings={"m.path": long}), make(1)], terminal(width=60))
    assert all(len(line) <= 60 for line in lines)
    assert len(lines) == 5
    assert re.search(r"a-set\w*.*… +30/30 +1.5 +complete$", lines[-1])


def test_keys_with_the_same_last_part_are_written_out() -> None:
    settings = {"model.path": "a", "reward_model.path": "b", "+ppo.extra": "c"}
    (header,) = [line for line in screen([make(0, settings=settings)], terminal()) if line.startswith("trial")]
    assert header.split()[1:4] == ["model.path", "reward_model.path", "extra"]


def test_several_objectives() -> None:
    trials = [make(number, COMPLETE, objectives=values) for number, values in enumerate([[1.0, 2.0], [2.0, 3.0]])]
    lines = screen([*trials, make(2, COMPLETE, objectives=[0.5, 2.5])], terminal(), ("eval/score", "eval/kl"))
    assert lines[1] == "best so far (Pareto front): trials 1, 0"
    assert lines[2].split()[-3:] == ["eval/score", "eval/kl", "state"]
    assert [int(line.split()[0]) for line in lines[3:]] == [1, 0, 2]


def test_of_several_seeds_at_once_the_last_one_and_their_number_are_shown() -> None:
    trials = [make(0, update=8, going={7: 12, 8: 8, 9: 30}), complete(1, 1.0, tested={5: [0.5]})]
    lines = screen(trials, terminal())
    assert lines[1] == "best so far: objective 0.5 on 1 test seed, chosen by objective 1, trial 1: ppo.lr=1e-5"
    assert lines[3].split() == ["0", "0e-5", "8/30", "(3", "seeds)", "running"]


def test_the_table_is_drawn_twice_a_second_at_most(clock: Clock) -> None:
    console = terminal()
    with Display(["s"], ["maximize"], None, 0, console=console) as shown:
        for tenth in range(21):
            clock.now = 1000.0 + tenth / 10
            shown.show([make(0)], None)
        assert console.export_text().count("best so far: none yet") == 5


def test_what_is_logged_and_printed_goes_above_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    console = terminal()
    handler = logging.StreamHandler(sys.stdout)  # as Hydra makes it, before the table is there
    logging.getLogger().addHandler(handler)
    stream = handler.stream
    try:
        with Display(["s"], ["maximize"], None, 0, console=console) as shown:
            shown.show([make(0)], None)
            logging.getLogger("rlhf_sweeps").warning("logged")
            print("printed")
            shown.event("told [red]")
        assert handler.stream is stream
    finally:
        logging.getLogger().removeHandler(handler)
    drawn = console.export_text()
    places = [drawn.index(word) for word in ("logged\n", "printed\n", "12:34:56 told [red]\n")]
    assert places == sorted(places)
    assert all(drawn.find("best so far", place) > 0 for place in places)  # the table again, below it
    assert capsys.readouterr().out == ""


def test_a_failure_on_the_way_gives_the_terminal_back() -> None:
    stdout, seen = sys.stdout, []

    def sweep() -> None:
        with Display(["s"], ["maximize"], None, 0, console=terminal()):
            seen.append(sys.stdout is stdout)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep()
    assert seen == [False]
    assert sys.stdout is stdout


@pytest.mark.parametrize(("stdout", "stderr"), [(True, True), (True, False), (False, True)])
def test_a_table_only_where_both_outputs_are_a_terminal(
    stdout: bool, stderr: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: stdout)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: stderr)
    with Display(["s"], ["maximize"], None, 0) as shown:
        shown.event("told")
    assert lines_of(caplog) == ([] if stdout and stderr else ["told"])


def test_while_reward_models_are_compared_none_is_the_best(caplog: pytest.LogCaptureFixture) -> None:
    with Display(["eval/score"], ["maximize"], 2, 0, Console(file=io.StringIO()), is_comparison=True) as shown:
        shown.show([complete(0, 1.0), complete(1, 2.0)], None)
    assert not [line for line in lines_of(caplog) if "best" in line]
    console = terminal()
    with Display(["eval/score"], ["maximize"], 2, 0, console, is_comparison=True) as shown:
        table = shown._make_table([complete(0, 1.0), complete(1, 2.0)], 9, 100)
    assert [str(cell) for cell in table.columns[0].cells] == ["0", "1"]  # in no order of scores
    assert len({str(row.style) for row in table.rows}) == 1


def test_trials_that_do_not_count_come_on_top_of_the_total(caplog: pytest.LogCaptureFixture) -> None:
    """Of five that are wanted one is complete; of two others one is a copy, and one of an earlier configuration."""
    trials = [complete(0, 1.5), complete(1, 1.5, has_run=False), complete(2, 1.0, is_compared=False)]
    assert plain(total=5)._describe_progress(trials, None).startswith("3/7 trials done")
