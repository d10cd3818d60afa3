import os
import signal

import pytest

from lenet_multi.errors import StoppedError
from lenet_multi.machine import signals


def test_both_signals_are_told_within_the_block() -> None:
    """Outside the block both signals keep their handlers."""
    told: list[int] = []
    numbers = [signal.SIGINT, signal.SIGTERM]
    before = [signal.getsignal(number) for number in numbers]
    with signals.obeying(lambda number, frame: told.append(number)):
        for number in numbers:
            os.kill(os.getpid(), number)
    assert told == numbers
    assert [signal.getsignal(number) for number in numbers] == before


def test_an_ignored_signal_stays_ignored() -> None:
    """A run in the background of a shell continues when Ctrl-C is typed to another."""
    told: list[int] = []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.obeying(lambda number, frame: told.append(number)):
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(os.getpid(), number)
        assert told == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_no_except_exception_takes_a_signal_for_a_failure() -> None:
    """`except Exception` catches neither Ctrl-C nor `StoppedError`."""
    with pytest.raises(StoppedError, match="stopped by SIGTERM"), signals.obeying(signals.stop):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Exception:
            pytest.fail("swallowed")


def test_a_signal_put_off_comes_at_the_end() -> None:
    """The block runs to its end before the signal arrives."""
    done = False
    with pytest.raises(StoppedError, match="stopped by SIGTERM"), signals.obeying(signals.stop):
        with signals.put_off():
            os.kill(os.getpid(), signal.SIGTERM)
            done = True
        pytest.fail("forgotten")
    assert done
