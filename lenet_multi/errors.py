"""The errors that end a command early, and helpers that word messages."""

import signal
from collections.abc import Iterable
from difflib import get_close_matches

_MOST_LISTED = 20  # names in a message
_LONGEST = 60  # letters of such a name


class UserError(Exception):
    """Bad usage or bad input: a line on stderr with culprit and remedy, then exit status 2."""


class UserCodeError(UserError):
    """A user's own code raised an error; on another backend it may run."""


class DivergedError(UserError):
    """The training diverged: its loss or its weights are NaN or infinite."""


class StoppedError(BaseException):
    """A signal asked the command to stop; no `Exception`, so other code does not handle it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


def reason(error: BaseException) -> str:
    """Return the line of another library's `error` that gives the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    while len(lines) > 1 and lines[0].endswith(":"):  # the reason follows
        lines[:2] = [f"{lines[0]} {lines[1]}"]
    line = lines[0].removesuffix(":") if lines else ""
    # No text, or a single word such as a KeyError's, needs the error's type.
    return line if " " in line else f"{type(error).__name__}: {line}".removesuffix(": ")


def printable(text: str) -> str:
    """Return `text` with escapes for what moves a terminal's cursor or cannot be written."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def by(shape: Iterable[int | None]) -> str:
    """Return a shape as messages show it, such as 28x28x1; a length of None is shown as "any"."""
    return "x".join("any" if length is None else str(length) for length in shape)


def listed(names: Iterable[object]) -> str:
    """Return names with commas between them; of many, the first ones and how many more there are.

    A name of many letters is cut.
    """
    words = [
        name if len(name := str(one)) <= _LONGEST else f"{name[:_LONGEST]}..." for one in names
    ]
    more = len(words) - _MOST_LISTED
    return ", ".join(words[:_MOST_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def cannot_read(source: object, error: OSError) -> str:
    """Return the message for a `source` that the system refuses to read."""
    return f"cannot read {source}: {error.strerror or error}; give a readable file"


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a `name` that is not `known`; it gives the nearest known name."""
    known = list(known)
    if near := get_close_matches(name.lower(), known, n=1):
        hint = f"did you mean {near[0]!r}?"
    elif len(known) > _MOST_LISTED:
        hint = f"give another: none of the {len(known):,} known is like it"
    else:
        hint = f"choose from {', '.join(known)}"
    return f"unknown {kind} {name!r}; {hint}"
