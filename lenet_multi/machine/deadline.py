"""A limit for a call that may hold Python's lock: no thread of this process could end it."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# It ends with the process that it watches. See `_ends_with_2` for SIGINT.
_WATCH = """
import os, signal, sys, time
watched, until = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
while os.getppid() == watched:
    if time.monotonic() > until:
        print(sys.argv[3], file=sys.stderr, flush=True)
        os.kill(watched, signal.SIGINT)
        time.sleep(2)
        if os.getppid() == watched:
            os.kill(watched, signal.SIGKILL)
    time.sleep(0.2)
"""


@contextmanager
def ended_after(seconds: float, line: str) -> Iterator[None]:
    """End this process with status 2 when the block takes longer; another process prints `line`."""
    words = ("-c", _WATCH, str(os.getpid()), str(seconds), line)
    with _ends_with_2(), subprocess.Popen([sys.executable, "-S", "-E", *words]) as watcher:
        try:
            yield
        finally:
            watcher.kill()


@contextmanager
def _ends_with_2() -> Iterator[None]:
    """Let SIGINT, which is signal 2, end this process with status 2 at once.

    Python's own handler would wait for the lock. C's `_exit` needs none; as a handler it gets the
    signal's number, which becomes the status.
    """
    libc = ctypes.CDLL(None)
    libc.signal.restype = ctypes.c_void_p
    libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    before = libc.signal(signal.SIGINT, ctypes.cast(libc._exit, ctypes.c_void_p))
    try:
        yield
    finally:
        libc.signal(signal.SIGINT, before)
