"""The parent's side of a backend's process: start it, ask it, end it."""

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
from lenet_multi.errors import reason_in

_LOG_BYTES_READ = 4096


def command(backend: str, model: Path) -> tuple[str, ...]:
    """Return the command line of the worker that runs the saved `model` on `backend`."""
    return (sys.executable, "-m", worker.__name__, backend, str(model))


@dataclass
class BackendProcess:
    """The process that `command` starts to answer with `model`; prints events on stderr.

    `version`: the backend's version, once it is ready. `failure`: why it has stopped answering.
    """

    backend: str
    model: str
    command: Sequence[str]
    start_seconds: float = 120.0  # three starting at once on two busy processors take 24
    answer_seconds: float = 30.0  # an answer takes 1/1000 of it
    class_names: Sequence[str] | None = None
    version: str | None = field(default=None, init=False)
    failure: str | None = field(default=None, init=False)
    _process: asyncio.subprocess.Process = field(init=False)
    _ended: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    @property
    def state(self) -> dict[str, Any]:
        """Return `backend`, `model`, `version`, `failure` and `class_names`; None if unset."""
        names = ("backend", "model", "version", "failure", "class_names")
        return {name: getattr(self, name) for name in names}

    async def run(self) -> None:
        """Start the process and wait for its end; kill it if this task is cancelled."""
        began = time.monotonic()
        with tempfile.TemporaryFile() as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # so that Ctrl-C reaches only the parent
            )
            try:
                if first := await self._next_line(self.start_seconds):
                    self.version = first["version"]
                    seconds = time.monotonic() - began
                    click.echo(f"{self.backend} {self.version}: ready in {seconds:.1f} s", err=True)
                status = await self._process.wait()
            finally:
                self._kill()
                await self._process.wait()
            self.failure = self.failure or _reason(status, log)
        click.echo(f"{self.backend}: stopped answering: {self.failure}", err=True)
        self._ended.set()

    async def ask(self, image: bytes) -> dict[str, Any]:
        """Return `state` and, if the process is ready, the worker's answer to `image`."""
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
        """Return the process's next line, or None if it has ended or was killed for its silence."""
        assert self._process.stdout
        try:
            async with asyncio.timeout(seconds):
                line = await self._process.stdout.readline()
        except TimeoutError:
            self.failure = f"it was silent for {seconds:g} s"
            self._kill()
            return None
        return json.loads(line) if line else None  # a kill now would lose the exit status

    def _kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()


def _reason(status: int, log: IO[bytes]) -> str:
    """Return the reason in `log`, with the process's signal or exit status."""
    log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_BYTES_READ))
    why = reason_in(log.read().decode(errors="replace")) or "it printed nothing"
    end = signal.Signals(-status).name if status < 0 else f"status {status}"
    return f"{why} ({end})"
