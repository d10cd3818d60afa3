"""A backend's process as its parent sees it: start it, ask it, end it."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import click

from lenet_multi.commands.demo import worker

_LOG_BYTES_READ = 4096


def command(backend: str, model: Path) -> tuple[str, ...]:
    """Return the command that answers with the saved `model` on `backend`."""
    return (sys.executable, "-m", worker.__name__, backend, str(model))


@dataclass
class BackendProcess:
    """The process that `command` starts to answer with `model`, and how it fares.

    What happens to it is told on stderr, a line at a time. `version` is the backend's, once it is
    ready; `failure` says why it answers no more.
    """

    backend: str
    model: str
    command: Sequence[str]
    start_seconds: float = 120.0  # three that start at once on two busy processors take 24
    answer_seconds: float = 30.0  # an answer takes a thousandth
    version: str | None = field(default=None, init=False)
    failure: str | None = field(default=None, init=False)
    _process: asyncio.subprocess.Process = field(init=False)
    _ended: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    @property
    def state(self) -> dict[str, Any]:
        """Return how it fares: `backend`, `model`, and `version` and `failure` or None."""
        names = ("backend", "model", "version", "failure")
        return {name: getattr(self, name) for name in names}

    async def run(self) -> None:
        """Start the process and return when it has ended; cancelled, end it."""
        began = time.monotonic()
        with tempfile.TemporaryFile() as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is the parent's to act on
            )
            try:
                if first := await self._next_line(self.start_seconds):
                    self.version = first["version"]
                    seconds = time.monotonic() - began
                    ready = f"{self.backend} {self.version}: ready after {seconds:.1f} s"
                    click.echo(ready, err=True)
                status = await self._process.wait()
            finally:
                self._kill()
                await self._process.wait()
            self.failure = self.failure or _reason(status, log)
        click.echo(f"{self.backend}: answers no more: {self.failure}", err=True)
        self._ended.set()

    async def ask(self, image: bytes) -> dict[str, Any]:
        """Return `state` and, where it is ready, what the worker answers to `image`."""
        async with self._turn:
            if not self.version or self.failure:
                return self.state
            assert self._process.stdin
            self._process.stdin.write(image)
            if answer := await self._next_line(self.answer_seconds):
                return {**self.state, **answer}
            await self._ended.wait()
            return self.state

    async def _next_line(self, seconds: float) -> dict[str, Any] | None:
        """Return what the process tells next, or None where it has ended or is silent, and ended.

        What has ended by itself is not killed: asyncio would lose its status.
        """
        assert self._process.stdout
        try:
            async with asyncio.timeout(seconds):
                line = await self._process.stdout.readline()
        except TimeoutError:
            self.failure = f"it was silent for {seconds:g} s"
            self._kill()
            return None
        return json.loads(line) if line else None

    def _kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()


def _reason(status: int, log: IO[bytes]) -> str:
    """Return the last line in `log`, and with what the process ended."""
    log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_BYTES_READ))
    lines = log.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    end = signal.Signals(-status).name if status < 0 else f"status {status}"
    return f"{last} ({end})"
