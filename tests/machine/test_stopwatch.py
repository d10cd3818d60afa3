import time

import pytest

from lenet_multi.machine.stopwatch import Stopwatch


def test_a_block_has_its_seconds() -> None:
    """The seconds of a block are kept under its name, and other blocks do not add to them."""
    stopwatch = Stopwatch()
    with stopwatch("sleep"):
        time.sleep(0.02)
    with stopwatch("nothing"):
        pass
    assert stopwatch.seconds["sleep"] >= 0.02 > stopwatch.seconds["nothing"]


def test_the_seconds_of_equal_names_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name begins at nothing, and each of its blocks adds its own."""
    times = iter([1.0, 3.0, 10.0, 15.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    stopwatch = Stopwatch()
    assert stopwatch.seconds == {}
    for _ in range(2):
        with stopwatch("part"):
            pass
    assert stopwatch.seconds == {"part": 7.0}
