"""What a process does when it is told to end: by Ctrl-C, or by a system that shuts down."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from lenet_multi.errors import StoppedError


@contextmanager
def obeying(note: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have SIGINT and SIGTERM call `note` with their number, in the main thread, in the block.

    One that this process was started to ignore, as a shell's background jobs do Ctrl-C, stays so.
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
    """Have a signal that comes within the block come at its end."""
    noted: list[int] = []
    with obeying(lambda number, frame: noted.append(number)):
        yield
    if noted:
        signal.raise_signal(noted[0])


def stop(number: int, frame: FrameType | None = None) -> NoReturn:
    """Raise `StoppedError`, wherever the process is."""
    raise StoppedError(number)
