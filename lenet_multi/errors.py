"""The errors that end a command early, and helpers that word messages."""

import re
import signal
from collections.abc import Iterable
from difflib import get_close_matches

_MOST_LISTED = 20  # names in a message
_LONGEST = 60  # letters of such a name


class UserError(Exception):
    """Bad usage or bad input: a line on stderr with culprit and remedy, then exit status 2."""


class UserCodeError(UserError):
    """A user's own code raised an error; on another backend it may run."""


class StartError(UserError):
    """Keras or a backend did not start; another backend may. `why` and `remedy` are its parts."""

    def __init__(self, backend: str, why: str, remedy: str) -> None:
        super().__init__(f"{backend} does not start: {why}; {remedy}")
        self.why, self.remedy = why, remedy


class DivergedError(UserError):
    """The training diverged: its loss or its weights are NaN or infinite."""


class LostError(Exception):
    """Another process of the same training is gone, which a line has said already."""


class StoppedError(BaseException):
    """A signal asked the command to stop; no `Exception`, so other code does not handle it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


def reason(error: BaseException) -> str:
    """Return the cause in the text of another library's `error`, as one line."""
    line = _cause(str(error)).removesuffix(":")
    # No text, or a single word such as a KeyError's, needs the error's type.
    return line if " " in line else f"{type(error).__name__}: {line}".removesuffix(": ")


def named_reason(error: BaseException) -> str:
    """Return `reason` with the error's type in front."""
    kind = type(error).__name__
    return f"{kind}: {reason(error).removeprefix(kind).removeprefix(': ')}".removesuffix(": ")


def reason_in(output: str) -> str:
    """Return the reason for a process's end in its `output`, as one line; empty without output."""
    _, is_traceback, trace = output.rpartition("Traceback (most recent call last):\n")
    if is_traceback and (raised := re.search(r"^([\w.]+)(?:: (.*))?", trace, re.M | re.S)):
        kind, text = raised[1].rpartition(".")[2], _cause(raised[2] or "")
        is_ours = raised[1].startswith("lenet_multi.")
        return text if is_ours else f"{kind}: {text}".removesuffix(": ")
    if fatal := re.findall(r"^F\d{4} .*?\] (.*)", output, re.M):  # as TensorFlow and XLA log it
        return str(fatal[0]).strip()
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else ""


# What stands before and after the cause in texts of Keras and TensorFlow.
_AROUND = re.compile(
    r"\x1b\[[\d;]*m|\{\{function_node [^}]*\}\} *|\s*\[Op:\w+\]( name:.*)?| Full object config:.*"
)
_RAISED = re.compile(r"^ *[\w.]*(?:Error|Exception|Interrupt|StopIteration): ", re.M)
_IN_A_CALL = re.compile(r"^Exception encountered when calling (.+?)\.\n\s*(.*)", re.S)
_OF_A_CALL = re.compile(r"\n\s*Arguments received by ")
_INNER = re.compile(r"(?:Exception|Error) encountered:")
_PLACE = re.compile(
    r"Graph execution error:|Detected at node |File \"|<stack traces unavailable>|\[\[|"
    r"\d+ root error\(s\) found|Stack trace for op definition:"
)
_ROOT = re.compile(r"^\(\d+\) (?:[A-Z_]+: +)?")


def _cause(text: str) -> str:
    """Return the line of an error's `text` that says what is wrong, without the places of it."""
    text = _AROUND.sub("", text).strip()
    has_frames = "(most recent call last)" in text or text.startswith("in user code:")
    if has_frames and (raised := [*_RAISED.finditer(text)]):
        return _cause(text[raised[-1].end() :])
    if call := _IN_A_CALL.match(text):
        return f"{_cause(_OF_A_CALL.split(call[2])[0])} (in {call[1]})"
    if _INNER.search(text):
        inner = _INNER.split(text)[-1].strip()
        return _cause(inner[1:-1] if inner[:1] == inner[-1:] == "'" else inner)
    stripped = [line.strip() for line in text.splitlines()]
    lines = [_ROOT.sub("", line) for line in stripped if line and not _PLACE.match(line)]
    while len(lines) > 1 and lines[0].endswith(":"):  # the reason follows
        lines[:2] = [f"{lines[0]} {lines[1]}"]
    return lines[0] if lines else text.partition("\n")[0]


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
