"""Ctrl-C and SIGTERM: who hears of them."""

import signal

import pytest

from rlhf_sweeps.interruption import Interruption


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
