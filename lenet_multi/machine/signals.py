"""What a process does on SIGINT (Ctrl-C) and SIGTERM (a system that shuts down)."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from lenet_multi.errors import StoppedError

KILL = 9  # SIGKILL, which no process can refuse; Windows has no name for it


@contextmanager
def obeying(note: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Make SIGINT and SIGTERM call `note` in the main thread while the block runs.

    A signal that the process ignores, like Ctrl-C in a shell's background job, stays ignored.
    """
    before = {
        number: signal.signal(number, note)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def put_off() -> Iterator[None]:
    """Delay a signal that arrives in the block until its end."""
    noted: list[int] = []
    with obeying(lambda number, frame: noted.append(number)):
        yield
    if noted:
        signal.raise_signal(noted[0])


def stop(number: int, frame: FrameType | None = None) -> NoReturn:
    """Raise `StoppedError` wherever the process is."""
    raise StoppedError(number)
