"""Ctrl-C and other requests to end: who hears of them."""

import os
import pty
import signal

import pytest

from rlhf_sweeps.process.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_hears_of_what_its_trial_in_the_same_process_is_told(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Interruption() as sweep:
        with Interruption() as trial:
            signal.raise_signal(number)
            assert (trial.reason, sweep.reason) == ("interrupted", "interrupted")
        with Interruption() as other:
            assert (other.reason, sweep.reason) == (None, "interrupted")
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_a_second_ctrl_c_ends_at_once() -> None:
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interruption.reason == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_warning_is_heard_once_and_may_be_repeated(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Interruption() as interruption:
        signal.raise_signal(number)
        assert interruption.reason == "interrupted"
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            pytest.fail("a repeated warning cuts the update")
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(number) == before


def test_what_nohup_has_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGHUP)
            assert interruption.reason is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_is_written_to_a_closed_terminal_is_no_error() -> None:
    terminal, end = pty.openpty()
    kept = [os.dup(1), os.dup(2)]
    try:
        os.dup2(end, 1)
        os.dup2(end, 2)
        os.close(end)
        os.close(terminal)
        with pytest.raises(OSError, match="Input/output error"):
            os.write(1, b"x")
        with Interruption():
            signal.raise_signal(signal.SIGHUP)
            assert os.write(1, b"x") == os.write(2, b"x") == 1
    finally:
        for number, handle in enumerate(kept, 1):
            os.dup2(handle, number)
            os.close(handle)


def test_a_file_goes_on_to_be_written_when_the_terminal_is_closed(capfd: pytest.CaptureFixture[str]) -> None:
    with Interruption():
        signal.raise_signal(signal.SIGHUP)
        os.write(1, b"to the file")
    assert "to the file" in capfd.readouterr().out
