"""A limit for a call that may hold Python's lock: no thread of this process could end it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# It ends with the process that it watches. SIGKILL is the only way to end a call without the lock.
_WATCH = """
import os, signal, sys, time
watched, until = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
while os.getppid() == watched:
    if time.monotonic() > until:
        print(sys.argv[3], file=sys.stderr, flush=True)
        os.kill(watched, signal.SIGKILL)
    time.sleep(0.2)
"""


@contextmanager
def ended_after(seconds: float, line: str) -> Iterator[None]:
    """Kill this process when the block takes longer, after another process has printed `line`."""
    words = ("-c", _WATCH, str(os.getpid()), str(seconds), line)
    with subprocess.Popen([sys.executable, "-S", "-E", *words]) as watcher:
        try:
            yield
        finally:
            watcher.kill()
