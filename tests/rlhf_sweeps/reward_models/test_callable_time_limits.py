"""A Python function that does not end is ended, wherever it hangs, and nothing of its time limit is left."""

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from helpers.called_functions import HANG, exchanges, failure, reward_model, told

from rlhf_sweeps.reward_models.time_limit import TimeLimit, TimeLimitError


def sleep() -> None:
    time.sleep(30)


def spin() -> None:
    while True:
        pass


def catastrophic() -> None:
    re.search(r"(a+)+$", "a" * 60 + "b")


def guarded() -> None:
    while True:
        try:
            time.sleep(30)
        except Exception:
            continue


def stubborn() -> None:
    while True:
        try:
            time.sleep(30)
        except:  # noqa: E722
            continue


def doubly_stubborn() -> None:
    while True:
        try:
            while True:
                try:
                    spin()
                except:  # noqa: E722
                    continue
        except:  # noqa: E722
            continue


def late() -> None:
    try:
        time.sleep(30)
    except BaseException:
        return


HANGS = [sleep, spin, catastrophic, guarded, stubborn, doubly_stubborn, late]


@pytest.mark.parametrize("hang", HANGS)
def test_what_hangs_is_ended_and_named(hang: Callable[[], None]) -> None:
    def hanging(prompts: list[str], responses: list[str]) -> list[float]:
        hang()
        return [0.0] * len(responses)

    start = time.monotonic()
    error = failure(hanging, "a", "b")
    assert str(error).endswith(": took longer than 0.2 s for 2 responses; the first: prompt 'Hi?', response 'a'")
    assert time.monotonic() - start < 4  # the alarm comes again where it was swallowed; to wait would take 30 s
    assert isinstance(error.__cause__, TimeLimitError)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_generator_hangs_in_time_too() -> None:
    def hanging(prompts: list[str], responses: list[str]) -> Iterator[float]:
        sleep()
        yield 0.0

    assert told(hanging, "a") == "took longer than 0.2 s for prompt 'Hi?', response 'a'"


def test_the_search_for_the_one_at_fault_ends_in_time() -> None:
    def hangs_alone(prompts: list[str], responses: list[str]) -> list[float]:
        if len(responses) == 1:
            sleep()
        raise ValueError("boom")

    start = time.monotonic()
    assert told(hangs_alone, "a", "b").startswith("raised ValueError: boom for 2 responses; the first: prompt")
    assert time.monotonic() - start < 4


# The limit itself.


def test_handler_and_timer_are_given_back() -> None:
    rung: list[int] = []
    previous = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 10.0, 5.0)
        with TimeLimit(20.0):
            time.sleep(0.05)
        delay, interval = signal.getitimer(signal.ITIMER_REAL)
        assert 9.0 < delay <= 9.95
        assert interval == 5.0
        # One that ran out meanwhile rings afterwards.
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with TimeLimit(20.0):
            time.sleep(0.05)
            assert rung == []
        time.sleep(0.05)
        assert rung == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def interrupted_late() -> None:
    try:
        spin()
    finally:
        raise KeyboardInterrupt


def test_a_limit_disturbs_no_other_handler() -> None:
    before = signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyError), TimeLimit(HANG):
        raise KeyError
    with pytest.raises(TimeLimitError), TimeLimit(HANG):
        spin()
    with pytest.raises(KeyboardInterrupt), TimeLimit(HANG):
        interrupted_late()
    after = signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert after == before


def test_an_alarm_at_the_first_lines_leaves_nothing_behind() -> None:
    before = signal.getsignal(signal.SIGALRM)
    for seconds in range(1, 200):
        with pytest.raises(TimeLimitError), TimeLimit(seconds * 1e-6):
            spin()
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_other_threads_have_no_limit() -> None:
    found: list[float] = []

    def patient(prompts: list[str], responses: list[str]) -> list[float]:
        time.sleep(2 * HANG)
        return [1.0]

    thread = threading.Thread(target=lambda: found.extend(reward_model(patient).score(exchanges("a")).tolist()))
    thread.start()
    thread.join()
    assert found == [1.0]
