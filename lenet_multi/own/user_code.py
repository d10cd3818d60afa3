"""Run a user's code, and show an error in it with the user's traceback alone."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from lenet_multi.errors import UserCodeError, UserError, named_reason

_OURS = str(Path(__file__).parents[1])


@contextmanager
def user_code(what: str, *, let: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn an error in the block into a `UserCodeError` that names `what` and the backend.

    The user's traceback, without our lines, goes to stderr. Errors of the classes `let` pass.
    """
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, let):
            raise
        traceback.print_exception(type(error), error, _without_ours(error.__traceback__))
        backend = os.environ.get("KERAS_BACKEND")
        where = f" on {backend}" if backend and "keras" in sys.modules else ""
        why = named_reason(error)
        raise UserCodeError(f"{what} failed{where}: {why}; see the traceback") from error


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first line that is not of this package."""
    while trace and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return trace
