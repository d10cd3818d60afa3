"""A worker as the bench sees it: start it, ask it, end it."""

import contextlib
import json
import subprocess
import sys
import threading
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from lenet_multi.bench.ways import Job
from lenet_multi.bench.worker import OTHER
from lenet_multi.errors import reason_in
from lenet_multi.machine import cache, children, signals

_TRACEBACK = "Traceback (most recent call last):"


class FailedError(Exception):
    """A worker could not do what it was asked; `fault` says whose fault that is."""

    def __init__(self, reason: str, fault: str = OTHER) -> None:
        super().__init__(reason)
        self.fault = fault


class Worker:
    """The process of one job; `folder`, which is its own, gets its log and its caches."""

    def __init__(self, job: Job, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._log = folder / "log.txt"
        # An empty cache: the first step compiles as it does for a model that is new.
        caches = {cache.FOLDER: str(folder / "jax")}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lenet_multi.bench.worker", job.as_json()],
                env={**children.environment(), **caches},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                process_group=0,  # Ctrl-C in a terminal is for the bench alone
            )
        self._lines: SimpleQueue[str] = SimpleQueue()
        # Windows can wait for no pipe; a thread can.
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, request: str, *, timeout: float) -> dict[str, Any]:
        """Return the answer to `request`; raise `FailedError` after `timeout` seconds, or on one.

        After a failure without an answer the process is gone.
        """
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            print(request, file=self._process.stdin, flush=True)
        try:
            line = self._lines.get(timeout=timeout)
        except Empty:
            self.close()
            raise FailedError(f"took longer than {timeout:g} s; give a longer --timeout") from None
        if not line:
            raise FailedError(self._ended())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise FailedError(answer["error"], answer["fault"])
        return answer

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put("")  # the end

    def _ended(self) -> str:
        status = self._process.wait()
        if status == -signals.KILL:
            return "was killed; the system does that when memory runs out"
        why = reason_in(self._log.read_text(errors="replace")) or "no message"
        return f"its process ended with status {status}: {why}"

    @property
    def traceback(self) -> str:
        """The last traceback that it printed, if any."""
        log = self._log.read_text(errors="replace")
        return log[log.rindex(_TRACEBACK) :] if _TRACEBACK in log else ""

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin:
                self._process.stdin.close()
