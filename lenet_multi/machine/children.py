"""Run child processes, each with its own processors, log and Keras configuration."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lenet_multi.machine import parent, signals

_LINES_SHOWN = 5
_WATCH_EVERY = 0.2  # seconds
_REFUSED = "ended with status 2"  # bad input, as the commands of this package say it


@dataclass(frozen=True, kw_only=True)
class Child:
    """A process to run."""

    name: str
    command: tuple[str, ...]
    log: Path
    after: tuple[str, ...] = ()  # names of the children that end before it starts
    environ: Mapping[str, str] = field(default_factory=dict)  # besides that of this process
    folders: tuple[Path, ...] = ()  # that it goes on with or leaves; its command names them
    beside: Path | None = None  # the folder for its relative paths, if not that of this process


@dataclass(frozen=True)
class Failure:
    """A child that crashed or took too long, with the last lines it wrote."""

    child: str
    reason: str
    last_lines: list[str]

    @property
    def is_refusal(self) -> bool:
        """Whether the child refused its input, which its last line says."""
        return self.reason == _REFUSED

    @property
    def words(self) -> str:
        """Why it failed, in a line."""
        if not (self.is_refusal and self.last_lines):
            return self.reason
        return self.last_lines[-1].removeprefix("lenet-multi: ")


def run(children: Sequence[Child], *, timeout: float, threads: int = 1) -> list[Failure]:
    """Run `children`, each on `threads` processors of its own, and return the failures.

    `children` lists a child after those in its `after`; it waits for them on its processors. One
    that takes longer than `timeout` seconds is killed and is a failure; the others continue.
    Progress is shown on stderr: a child reports it as a line on stdout, a JSON list of its
    activity, the steps done and all steps. Raises `StoppedError` on SIGINT and SIGTERM, after all
    children have ended.
    """
    places = _places(threads)
    progress = bars()
    overall = progress.add_task("processes finished", total=len(children))
    turns: dict[str, Future[Failure | None]] = {}
    stopped = threading.Event()

    def bind() -> None:
        """Bind this thread to free processors; the processes that it starts inherit them."""
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, places.pop())

    def run_in_turn(child: Child, before: list[Future[Failure | None]]) -> Failure | None:
        wait(before)
        failure = None if stopped.is_set() else run_one(child, timeout, progress, stopped)
        progress.advance(overall)
        return failure

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()  # starts no further child and ends the running ones
        signals.stop(number)

    with signals.obeying(stop), progress, ThreadPoolExecutor(len(places), initializer=bind) as pool:
        for child in children:
            before = [turns[name] for name in child.after if name in turns]  # others have ended
            turns[child.name] = pool.submit(run_in_turn, child, before)
        return [failure for turn in turns.values() if (failure := turn.result())]


def bars() -> Progress:
    """Return progress bars on stderr; without a terminal they show nothing."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


def _places(threads: int) -> list[Sequence[int]]:
    """Return groups of `threads` processor numbers, one for each child that runs at a time."""
    # Two children that shared both processors waited for each other and took twice as long.
    named = hasattr(os, "sched_getaffinity")
    processors = sorted(os.sched_getaffinity(0)) if named else range(os.cpu_count() or 1)
    firsts = range(0, len(processors) - threads + 1, threads)
    return [processors[first : first + threads] for first in firsts]


@contextmanager
def bound(number: int, threads: int) -> Iterator[None]:
    """Bind this thread, and the processes that it starts, to `threads` processors.

    Equal numbers give the same processors, and numbers that follow each other give others, while
    there are some.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before, places = os.sched_getaffinity(0), _places(threads)
    os.sched_setaffinity(0, places[number % len(places)])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run_one(
    child: Child, timeout: float, progress: Progress, stopped: threading.Event
) -> Failure | None:
    """Run one child on the processors of this thread; end it once `stopped` is set.

    See `run`.
    """
    bar = progress.add_task(child.name, total=None)
    child.log.parent.mkdir(parents=True, exist_ok=True)
    late = threading.Event()

    def watch() -> None:
        until = time.monotonic() + timeout
        while process.poll() is None and not stopped.wait(_WATCH_EVERY):
            if time.monotonic() > until:
                late.set()
                break
        process.kill()  # does nothing if it has ended

    with (
        child.log.open("w") as log,
        subprocess.Popen(
            child.command,
            cwd=child.beside,
            env={**environment(), **parent.of_this(), **child.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            errors="backslashreplace",  # of texts: a library may print any bytes
        ) as process,
    ):
        watcher = threading.Thread(target=watch)
        watcher.start()
        assert process.stdout
        for line in process.stdout:
            try:
                what, done, steps = json.loads(line)
            except (ValueError, TypeError):  # not progress: a library's output
                log.write(line)
            else:
                doing = f"{child.name}: {what}"
                progress.update(bar, description=doing, completed=done, total=steps)
        status = process.wait()
        watcher.join()
    progress.remove_task(bar)
    if status == 0:
        return None
    if late.is_set():
        reason = f"took longer than {timeout:g} s"
    elif status == -signals.KILL:
        reason = "was killed; the system does that when memory runs out"
    else:
        reason = f"ended with status {status}"
    lines = child.log.read_text().splitlines()
    return Failure(child.name, reason, lines[-_LINES_SHOWN:])


def environment() -> dict[str, str]:
    """Return the environment of a child: of Keras's variables, the folder of its downloads alone.

    Settings in that folder change nothing: `keras_start.start` does not read them.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name == "KERAS_HOME" or not name.startswith("KERAS_")
    }
    return {**inherited, "PYTHONUNBUFFERED": "1"}
