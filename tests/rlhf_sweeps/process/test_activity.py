"""What a user hears of something that takes long: by a clock that is set, and on a terminal that is a list."""

import io
import logging
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from rlhf_sweeps.process import activity
from rlhf_sweeps.process.activity import Activity, format_seconds, report_activity


@pytest.fixture(autouse=True)
def _reports_come_as_for_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "FIRST_LINE", 5.0)


class Clock:
    """The time, which passes only where somebody waits; then whatever is planned for it happens."""

    def __init__(self, end: float, on_wait: Any = lambda now: None) -> None:
        self.now, self.end, self.on_wait = 0.0, end, on_wait

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now = min(self.now + seconds, self.end)
        self.on_wait(self.now)
        return self.now == self.end


def lines_within(
    seconds: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, patience: float = 5.0
) -> list[tuple[float, str]]:
    """When which lines come about work that is done at an even speed."""
    caplog.set_level(logging.INFO, logger="rlhf_sweeps")
    working = Activity("sampling 77 responses", total=100, begun=0.0)
    clock = Clock(seconds, lambda now: setattr(working, "done", 100 * now / seconds))
    monkeypatch.setattr(activity, "time", clock)
    times: list[float] = []
    monkeypatch.setattr(activity, "hide", lambda line: times.append(clock.now) or line)
    activity._write_lines(working, clock, patience)  # type: ignore[arg-type]
    return list(zip(times, [record.getMessage() for record in caplog.records], strict=True))


def test_lines_come_after_5_seconds_and_then_ever_more_rarely(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert lines_within(100, monkeypatch, caplog) == [
        (5, "sampling 77 responses (5 % after 5 s, about 95 s left)"),
        (15, "sampling 77 responses (15 % after 15 s, about 85 s left)"),
        (35, "sampling 77 responses (35 % after 35 s, about 65 s left)"),
        (65, "sampling 77 responses (65 % after 65 s, about 35 s left)"),
        (95, "sampling 77 responses (95 % after 95 s, about 5 s left)"),
    ]


def test_who_hears_of_it_anyway_is_told_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert [when for when, _ in lines_within(200, monkeypatch, caplog, patience=60)] == [60, 120, 180]


def test_of_something_quick_nothing_is_heard(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert lines_within(4.9, monkeypatch, caplog) == []


def test_a_line_names_the_parts_and_counts_the_outermost_that_can_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(1e9)
    monkeypatch.setattr(activity, "time", clock)
    with report_activity("loading") as loading:
        clock.now = 10
        assert loading.describe() == "loading (for 10 s)"
        with report_activity("fitting the head"), report_activity("reading 200 prompts", 200) as reading:
            clock.now = 40
            assert loading.describe() == "loading: fitting the head: reading 200 prompts (0 % after 30 s)"
            reading.done = 50
            with report_activity("reading a prompt", 7):
                assert loading.describe().split(": ") == [
                    "loading",
                    "fitting the head",
                    "reading 200 prompts (25 % after 30 s, about 90 s left)",
                    "reading a prompt",
                ]
            reading.done = 210  # an estimate was too low
            assert reading.describe() == "reading 200 prompts (100 % after 30 s, about 0 s left)"
        assert loading.describe() == "loading (for 40 s)"


def test_after_an_error_nothing_is_reported_any_more() -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="no"), report_activity("loading"), report_activity("reading"):
        raise ValueError("no")
    assert threading.active_count() == before
    with report_activity("training") as training:
        assert training.list_parts() == [training]


def test_a_part_in_another_thread_is_an_activity_of_its_own() -> None:
    with report_activity("uploading") as uploading:
        heard: list[Activity] = []

        def work() -> None:
            with report_activity("hashing"):
                heard.extend(uploading.list_parts())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert heard == [uploading]


def test_a_program_without_a_log_writes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("rlhf_sweeps").setLevel(logging.WARNING)
    try:
        activity._write("reading (for 5 s)")
    finally:
        logging.getLogger("rlhf_sweeps").setLevel(logging.NOTSET)
    assert capsys.readouterr() == ("", "reading (for 5 s)\n")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (119.4, "119 s"), (119.6, "2 min"), (7140, "119 min"), (11100, "3:05 h")]
)
def test_times_are_short(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_one_line_is_drawn_anew_each_second_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(activity.sys, "stderr", screen)
    monkeypatch.setattr(activity.shutil, "get_terminal_size", lambda: SimpleNamespace(columns=200))
    working = Activity("reading 1000 runs", total=10, begun=0.0)
    clock = Clock(7.5, lambda now: setattr(working, "done", now))
    monkeypatch.setattr(activity, "time", clock)
    activity._draw(working, clock, 60.0)  # type: ignore[arg-type]
    drawings = [text.rstrip() for text in screen.getvalue().split("\r") if text.strip()]
    assert [text.partition(" |")[0] for text in drawings[-3:]] == [
        "reading 1000 runs (50 % after 5 s, about 5 s left)",
        "reading 1000 runs (60 % after 6 s, about 4 s left)",
        "reading 1000 runs (70 % after 7 s, about 3 s left)",
    ]
    assert drawings[-1].count("#") == 14  # of 20 characters
    assert screen.getvalue().endswith("\r")


def test_lines_of_the_log_stand_above_the_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(activity.sys, "stderr", screen)
    handler = logging.StreamHandler(screen)
    logging.getLogger().addHandler(handler)
    clock = Clock(6.5, lambda now: logging.getLogger("x").warning("a fault") if now == 6 else None)
    monkeypatch.setattr(activity, "time", clock)
    try:
        activity._draw(Activity("loading", begun=0.0), clock, 5.0)  # type: ignore[arg-type]
    finally:
        logging.getLogger().removeHandler(handler)
    assert "\ra fault\n" in screen.getvalue()


def test_a_handler_that_is_added_meanwhile_stays_and_one_of_the_terminal_gets_its_stream_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hydra replaces handlers when it sets up the log of a job."""
    screen, root = Terminal(), logging.getLogger()
    monkeypatch.setattr(activity.sys, "stderr", screen)
    handlers = [logging.StreamHandler(screen), logging.StreamHandler(io.StringIO())]
    root.addHandler(handlers[0])
    clock = Clock(6.5, lambda now: root.addHandler(handlers[1]) if now == 6 else None)
    monkeypatch.setattr(activity, "time", clock)
    try:
        activity._draw(Activity("loading", begun=0.0), clock, 5.0)  # type: ignore[arg-type]
        assert [handler for handler in root.handlers if handler in handlers] == handlers
        assert handlers[0].stream is screen
    finally:
        for handler in handlers:
            root.removeHandler(handler)


def test_a_live_table_owns_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console
    from rich.live import Live

    screen = Terminal()
    monkeypatch.setattr(activity.sys, "stderr", screen)
    assert activity.is_on_terminal()
    with Live(console=Console(file=screen, force_terminal=True), auto_refresh=False):
        assert not activity.is_on_terminal()
    assert activity.is_on_terminal()
