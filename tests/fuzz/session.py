"""Feed inputs to the command in a worker process, and judge each result.

An input passes if it succeeds, or is refused in one line with exit status 2. A worker has limits of
time and memory, and Python's audit events show what else it does.
"""

import contextlib
import multiprocessing
import os
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any

from lenet_multi.__main__ import main
from lenet_multi.machine import cache
from tests.fuzz.canary import CANARY, Watch
from tests.fuzz.inputs import Input, Kind
from tests.fuzz.stand_ins import ReachedError

PATIENCE = 60.0  # seconds per input; one that starts a process took 6 on two busy cores
_PREFIX = "lenet-multi: "
_WARNING = re.compile(r":\d+: \w*Warning: ")


@dataclass(frozen=True)
class Outcome:
    """The result of an input: "read", "refused" or "failed", and the message.

    `seconds` is the time it took, `mebibytes` how much the worker grew.
    """

    word: str
    message: str = ""
    seconds: float = 0.0
    mebibytes: float = 0.0


class Worker:
    """A process that judges inputs of one `kind`; if it hangs or dies, it is replaced."""

    def __init__(self, kind: Kind, *, patience: float = PATIENCE) -> None:
        self.kind, self.patience = kind, patience
        self.folder = Path(tempfile.mkdtemp(prefix="lenet-multi-fuzz-"))
        self._start()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)
        CANARY.unlink(missing_ok=True)

    def judge(self, given: Input) -> Outcome:
        """Return the result of an input."""
        self._pipe.send(given)
        try:
            if self._pipe.poll(self.patience):
                outcome: Outcome = self._pipe.recv()
                return outcome
            outcome = Outcome("failed", f"hangs: no end after {self.patience:g} s", self.patience)
        except (EOFError, ConnectionError):
            self._process.join()
            outcome = Outcome("failed", f"died with exit status {self._process.exitcode}")
        self._end()
        self._start()
        return outcome

    def _start(self) -> None:
        fork = multiprocessing.get_context("fork")  # keeps the imported modules
        self._pipe, theirs = fork.Pipe()
        self._process = fork.Process(target=_serve, args=(self.kind, theirs, self.folder))
        self._process.start()
        theirs.close()
        self._pipe.recv()  # the worker is prepared

    def _end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(kind: Kind, pipe: Any, folder: Path) -> None:
    """Judge inputs for ever, in `folder`."""
    inside = folder / "inside" / "here"  # one step up is still in our folder
    (folder / "tmp").mkdir(exist_ok=True)
    tempfile.tempdir = str(folder / "tmp")
    os.environ |= {"TMPDIR": tempfile.tempdir, "HOME": str(folder), "PYTHONUNBUFFERED": "1"}
    for name in ("KERAS_BACKEND", cache.FOLDER):  # inherited from the forking process
        os.environ.pop(name, None)
    said = _own_streams(folder)
    kind.prepare()
    watch = Watch(folder)
    _limit_memory(kind.mebibytes)
    pipe.send("ready")
    while True:
        given = pipe.recv()
        shutil.rmtree(inside.parent, ignore_errors=True)
        inside.mkdir(parents=True)
        os.chdir(inside)
        pipe.send(_judge(kind, given, said, watch))


def _own_streams(folder: Path) -> dict[int, Path]:
    """Send stdout and stderr, also those of libraries, to files, and return the files."""
    said = {1: folder / "stdout", 2: folder / "stderr"}
    for number, path in said.items():
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        os.dup2(handle, number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    return said


def _limit_memory(mebibytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + mebibytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def _judge(kind: Kind, given: Input, said: dict[int, Path], watch: Watch) -> Outcome:
    for path in said.values():
        os.truncate(path, 0)
    given.lay_out()
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak of resident memory
    before, began = _resident("VmRSS"), time.perf_counter()
    ended: BaseException | None = None
    with _environ(given.environ), watch:
        sys.argv = ["lenet-multi", *given.arguments]
        sys.stdin = TextIOWrapper(BytesIO(given.stdin))
        try:
            main()
        except BaseException as error:
            ended = error
    seconds, grown = time.perf_counter() - began, max(0.0, _resident("VmHWM") - before)
    with contextlib.suppress(ValueError, OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    stderr = said[2].read_text(errors="replace")
    word, message = _verdict(kind, given, ended, stderr)
    if watch.seen:
        word, message = "failed", f"does what no reader may: {', '.join(watch.seen)}"
    elif grown > kind.mebibytes:
        word, message = "failed", f"grew by {grown:.0f} MiB"
    return Outcome(word, message, seconds, grown)


@contextlib.contextmanager
def _environ(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ |= values
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


def _resident(name: str) -> float:
    """Return a size of this process, in MiB."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{name}:")[2].split()[0]) / 1024


def _verdict(kind: Kind, given: Input, ended: BaseException | None, stderr: str) -> tuple[str, str]:
    """Return the word and the message for a call that raised `ended`."""
    if not isinstance(ended, SystemExit | ReachedError):
        return "failed", "".join(traceback.format_exception(ended))
    if any(isinstance(cause, MemoryError) for cause in _causes(ended)):
        return "failed", "".join(traceback.format_exception(ended))
    if "Traceback" in stderr or _WARNING.search(stderr):
        return "failed", f"shows a traceback or a warning: {stderr}"
    status = ended.code if isinstance(ended, SystemExit) else 0
    if status in (0, 1):
        return "read", ""
    if status != 2:
        return "failed", f"exit status {status}: {stderr}"
    lines = [
        line for line in stderr.splitlines() if not (kind.told and re.fullmatch(kind.told, line))
    ]
    message = "\n".join(lines)
    most = len(lines) if "predict" in given.arguments else 1  # predict may name each refused image
    if not 0 < len(lines) <= most or not all(line.startswith(_PREFIX) for line in lines):
        return "failed", f"a refusal of {len(lines)} lines: {message}"
    if given.culprit not in message:
        return "failed", f"does not name {given.culprit}: {message}"
    if message.endswith(":") or "Unable to allocate" in message or "MemoryError" in message:
        return "failed", f"gives no reason, or another than the input's: {message}"
    return "refused", message.removeprefix(_PREFIX)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
