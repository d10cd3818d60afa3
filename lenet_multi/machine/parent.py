"""A process that ends with its parent, even when nothing could tell it to."""

import os
import threading
import time

_VARIABLE = "LENET_MULTI_PARENT"  # the number of the process to end with
_LOOK_EVERY = 0.5  # seconds


def of_this() -> dict[str, str]:
    """Return the variable that lets a child of this process end with it."""
    return {_VARIABLE: str(os.getpid())}


def end_with_it() -> None:
    """Let this process end with its parent, if the variable asks for that."""
    if parent := os.environ.pop(_VARIABLE, ""):
        end_with(int(parent), status=1)


def end_with(parent: int, *, status: int) -> None:
    """Let this process end, with exit status `status`, as soon as `parent` is its parent no more.

    It ends like one that was killed: it cleans nothing up.
    """
    threading.Thread(target=_watch, args=(parent, status), daemon=True).start()


def _watch(parent: int, status: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)
    os._exit(status)
