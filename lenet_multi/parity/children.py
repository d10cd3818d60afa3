"""Run climbers as child processes, each with a Keras configuration of its own."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import FrameType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from lenet_multi import signals
from lenet_multi.sources import keras

_LINES_SHOWN = 5
_WATCH_EVERY = 0.2  # seconds


@dataclass(frozen=True, kw_only=True)
class Child:
    """A process to run: its name, its command, its log, and whose end it waits for."""

    name: str
    command: tuple[str, ...]
    log: Path
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """A child that crashed or was too slow, and the last lines it wrote."""

    child: str
    reason: str
    last_lines: list[str]


def run(children: Sequence[Child], *, timeout: float) -> list[Failure]:
    """Run `children`, one on each processor, those first that others come after; return failures.

    A child that takes longer than `timeout` seconds is killed, which is a failure; the others
    are finished. Progress is shown on stderr: a child tells it as a line of stdout, a JSON list
    of what it does, steps done and steps in all.

    Raises `StoppedError` on SIGINT and SIGTERM, with all children ended.
    """
    progress = bars()
    overall = progress.add_task("processes finished", total=len(children))
    ended = {child.name: threading.Event() for child in children}
    stopped = threading.Event()
    failures: list[Failure] = []
    processors = _processors()

    def run_in_turn(child: Child) -> None:
        for name in child.after:
            ended[name].wait()
        processor = processors.get()
        try:
            if not stopped.is_set():
                failure = _run_on(processor, child, timeout, progress, stopped)
                if failure:
                    failures.append(failure)
        finally:
            processors.put(processor)
            ended[child.name].set()
            progress.advance(overall)

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()  # no further child starts, and those that run are ended
        signals.stop(number)

    with signals.obeying(stop), progress, ThreadPoolExecutor(max(1, len(children))) as pool:
        list(pool.map(run_in_turn, children))
    return failures


def bars() -> Progress:
    """Return bars on stderr, each told what is done and how much; none without a terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


def _processors() -> "SimpleQueue[int | None]":
    """Return a queue of processors; of places, where the system cannot name processors.

    A child is bound to one processor: two children that each believe they own all of them wait
    for one another, which took twice as long on two.
    """
    queue: SimpleQueue[int | None] = SimpleQueue()
    named = hasattr(os, "sched_getaffinity")
    for processor in sorted(os.sched_getaffinity(0)) if named else [None] * (os.cpu_count() or 1):
        queue.put(processor)
    return queue


def _run_on(
    processor: int | None,
    child: Child,
    timeout: float,
    progress: Progress,
    stopped: threading.Event,
) -> Failure | None:
    if processor is not None:
        os.sched_setaffinity(0, {processor})  # of this thread, from which the process inherits
    bar = progress.add_task(child.name, total=None)
    child.log.parent.mkdir(parents=True, exist_ok=True)
    late = threading.Event()

    def watch() -> None:
        """End the process when its time is up, or when all are to stop."""
        until = time.monotonic() + timeout
        while process.poll() is None and not stopped.is_set() and time.monotonic() < until:
            stopped.wait(min(_WATCH_EVERY, max(0.0, until - time.monotonic())))
        if process.poll() is None:
            if not stopped.is_set():
                late.set()
            process.kill()

    with (
        child.log.open("w") as log,
        subprocess.Popen(
            child.command,
            env=_environment(child.log.parent),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        watcher = threading.Thread(target=watch)
        watcher.start()
        assert process.stdout
        for line in process.stdout:
            if (told := _progress(line)) is None:
                log.write(line)
            else:
                what, done, steps = told
                progress.update(
                    bar, description=f"{child.name}: {what}", completed=done, total=steps
                )
        status = process.wait()
        watcher.join()
    progress.remove_task(bar)
    if status == 0:
        return None
    reason = f"took longer than {timeout:g} s" if late.is_set() else _how_it_ended(status)
    lines = child.log.read_text(errors="replace").splitlines()
    return Failure(child.name, reason, lines[-_LINES_SHOWN:])


def _how_it_ended(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed, as the system does when memory runs out"
    return f"ended with status {status}"


def _progress(line: str) -> tuple[str, int, int] | None:
    """Return the progress that a line tells, or None where it is a library's own word."""
    try:
        what, done, steps = json.loads(line)
    except (ValueError, TypeError):
        return None
    return what, done, steps


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment of a child: no Keras variable, an empty Keras home."""
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("KERAS_")}
    return {
        **inherited,
        "KERAS_HOME": str(folder / "keras"),
        keras.HOME: str(keras.keras_home()),  # where the data of --data keras:NAME are
        "PYTHONUNBUFFERED": "1",
    }
