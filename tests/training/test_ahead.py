import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from lenet_multi.training.ahead import Ahead


def test_each_epoch_gets_its_own_inputs() -> None:
    """Epochs get what is made for them, in order or after a resumption, each made once."""
    made: list[int] = []

    def make(epoch: int) -> NDArray[np.int64]:
        made.append(epoch)
        return np.array([epoch])

    with Ahead(make, epochs=5) as ahead:
        assert [int(ahead[epoch][0]) for epoch in (2, 2, 3, 4)] == [2, 2, 3, 4]
        ahead.thread.shutdown(wait=True)
    assert made == [2, 3, 4]


def test_one_epoch_is_made_at_a_time() -> None:
    """Two threads would take both processors from the training."""
    at_once, most = 0, 0

    def make(epoch: int) -> NDArray[np.int64]:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.02)
        at_once -= 1
        return np.array([epoch])

    with Ahead(make, epochs=2) as ahead:
        assert ahead[0] == [0]
        assert ahead[1] == [1]
    assert most == 1


def test_the_end_does_not_wait_for_an_epoch() -> None:
    """A training that stops does not wait for the images of an epoch that never comes."""
    left = threading.Event()
    finished = threading.Event()

    def make(epoch: int) -> NDArray[np.int64]:
        if epoch == 1:
            assert left.wait(10)
            finished.set()
        return np.array([epoch])

    with Ahead(make, epochs=2) as ahead:
        assert ahead[0] == [0]
    assert not finished.is_set()
    left.set()
    assert finished.wait(10)


def test_the_next_epoch_is_made_meanwhile() -> None:
    """The next epoch's inputs are made in another thread, without waiting to be asked for."""
    second = threading.Event()
    names = []

    def make(epoch: int) -> NDArray[np.int64]:
        names.append(threading.current_thread().name)
        if epoch == 1:
            second.set()
        return np.array([epoch])

    with Ahead(make, epochs=2) as ahead:
        assert ahead[0] == [0]
        assert second.wait(10)
    assert all(name.startswith("next-epoch") for name in names)


def test_at_most_two_epochs_are_kept() -> None:
    """What was used is forgotten."""
    with Ahead(lambda epoch: np.array([epoch]), epochs=9) as ahead:
        for epoch in range(9):
            assert ahead[epoch] == [epoch]
            assert len(ahead.made) <= 2


def test_an_error_reaches_the_training() -> None:
    """What making an epoch raises, the training raises when it needs that epoch."""

    def make(epoch: int) -> NDArray[np.int64]:
        if epoch == 1:
            raise MemoryError("no room")
        return np.array([epoch])

    with Ahead(make, epochs=3) as ahead:
        assert ahead[0] == [0]
        with pytest.raises(MemoryError, match="no room"):
            ahead[1]
