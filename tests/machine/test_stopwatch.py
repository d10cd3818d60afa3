import time

from lenet_multi.machine.stopwatch import Stopwatch


def test_a_block_has_its_seconds() -> None:
    """The seconds of a block are kept under its name, and other blocks do not add to them."""
    stopwatch = Stopwatch()
    with stopwatch("sleep"):
        time.sleep(0.02)
    with stopwatch("nothing"):
        pass
    assert stopwatch.seconds["sleep"] >= 0.02 > stopwatch.seconds["nothing"]
