import os
import signal
from collections.abc import Iterator

import pytest

from lenet_multi.errors import StoppedError
from lenet_multi.machine import signals


@pytest.fixture(autouse=True)
def outside() -> Iterator[None]:
    """Let no signal that a block misses end the tests."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, frame: None) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_both_signals_are_told_within_the_block() -> None:
    """Both signals reach the handler inside the block; outside, the old handlers are in place."""
    told: list[int] = []
    numbers = [signal.SIGINT, signal.SIGTERM]
    before = [signal.getsignal(number) for number in numbers]
    with signals.obeying(lambda number, frame: told.append(number)):
        for number in numbers:
            os.kill(os.getpid(), number)
    assert told == numbers
    assert [signal.getsignal(number) for number in numbers] == before


def test_an_ignored_signal_stays_ignored() -> None:
    """If SIGINT is ignored, as in a shell's background job, it stays ignored in the block."""
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
    """`except Exception` does not catch the stop of a signal, as with Ctrl-C."""
    with pytest.raises(StoppedError, match="stopped by SIGTERM"), signals.obeying(signals.stop):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Exception:
            pytest.fail("swallowed")


def test_a_signal_put_off_comes_at_the_end() -> None:
    """A signal that is put off arrives at the end of the block, which runs completely."""
    done = False
    with pytest.raises(StoppedError, match="stopped by SIGTERM"), signals.obeying(signals.stop):
        with signals.put_off():
            os.kill(os.getpid(), signal.SIGTERM)
            done = True
        pytest.fail("forgotten")
    assert done
