import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lenet_multi.bench.process import FailedError, Worker
from lenet_multi.bench.ways import STOCK, Job
from lenet_multi.bench.worker import CODE, OTHER, ROUND
from lenet_multi.config import TrainConfig

Start = Callable[[str], Worker]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Start a worker whose process is a script of the shell."""

    def started(script: str) -> Worker:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(path))
        return Worker(Job("jax", STOCK, TrainConfig()), tmp_path / "worker")

    return started


def test_each_request_has_its_answer(start: Start) -> None:
    """The process reads a line, and the worker returns the JSON that it answers."""
    worker = start('while read asked; do echo "{\\"did\\": \\"$asked\\"}"; done')
    assert worker.ask("build", timeout=10) == {"did": "build"}
    assert worker.ask(ROUND, timeout=10) == {"did": ROUND}
    worker.close()


@pytest.mark.parametrize(
    ("script", "words", "fault"),
    [
        ("read asked; echo odd >&2; echo last >&2; exit 3", "ended with status 3: last", OTHER),
        ("read asked; kill -9 $$", "was killed; the system does that when memory runs", OTHER),
        ('read asked; echo \'{"error": "it broke", "fault": "code"}\'; read on', "it broke", CODE),
    ],
    ids=["exit", "kill", "error"],
)
def test_a_failure_has_its_reason(start: Start, script: str, words: str, fault: str) -> None:
    """An exit, a kill and an error in the process each raise what happened."""
    worker = start(script)
    with pytest.raises(FailedError, match=words) as raised:
        worker.ask(ROUND, timeout=10)
    assert raised.value.fault == fault
    worker.close()


def test_a_process_that_takes_too_long_is_ended(start: Start) -> None:
    """The message names the flag that gives it more time, and the process is gone."""
    worker = start("exec sleep 60")
    began = time.monotonic()
    with pytest.raises(FailedError, match=r"took longer than 0.2 s; give a longer --timeout"):
        worker.ask(ROUND, timeout=0.2)
    assert time.monotonic() - began < 30
    assert worker._process.poll() is not None
    worker.close()


def test_the_last_traceback_is_kept(start: Start) -> None:
    """What libraries print before it is left out."""
    said = "echo noise >&2; echo 'Traceback (most recent call last):' >&2; echo Oh >&2"
    worker = start(f"{said}; read asked; echo '{{}}'; read on")
    worker.ask(ROUND, timeout=10)
    assert worker.traceback == "Traceback (most recent call last):\nOh\n"
    worker.close()
