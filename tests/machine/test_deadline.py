import signal
import subprocess
import sys

import pytest

from lenet_multi.machine import deadline

LINE = "this took too long"


@pytest.mark.parametrize(
    ("call", "blocked", "status"),
    [
        ("ctypes.PyDLL(None).sleep(60)", "", 2),
        ("time.sleep(60)", "", 2),
        ("time.sleep(60)", "signal.pthread_sigmask(signal.SIG_BLOCK, {2})", -signal.SIGKILL),
    ],
    ids=["with Python's lock", "without it", "with the signal blocked"],
)
def test_a_call_that_takes_too_long_ends_the_process(call: str, blocked: str, status: int) -> None:
    """The line is all that it says, and the status is 2 unless the signal cannot arrive."""
    code = f"""
import ctypes, signal, time
from lenet_multi.machine import deadline
{blocked}
with deadline.ended_after(0.5, {LINE!r}):
    {call}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.stderr, done.stdout) == (f"{LINE}\n", "")
    assert done.returncode == status


def test_a_call_in_time_changes_nothing() -> None:
    """Afterwards Ctrl-C is Python's again."""
    with deadline.ended_after(30, LINE):
        pass
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
