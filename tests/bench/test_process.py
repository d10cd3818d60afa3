import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lenet_multi.bench.process import FailedError, Worker
from lenet_multi.bench.ways import STOCK, Job
from lenet_multi.bench.worker import CODE, OTHER, ROUND
from lenet_multi.config import TrainConfig
from lenet_multi.machine import cache

Start = Callable[[str], Worker]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Start a worker whose process is a script of the shell."""

    def started(script: str) -> Worker:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(path))
        return Worker(Job("jax", STOCK, TrainConfig()), tmp_path / "new" / "worker")

    return started


def test_each_request_has_its_answer(start: Start) -> None:
    """The process reads a line, and the worker returns the JSON that it answers.

    Ctrl-C in a terminal does not reach it, and the end of the bench waits for no thread.
    """
    before = {*threading.enumerate()}
    worker = start('while read asked; do echo "{\\"did\\": \\"$asked\\"}"; done')
    assert [thread.daemon for thread in {*threading.enumerate()} - before] == [True]
    assert os.getpgid(worker._process.pid) == worker._process.pid
    assert worker.ask("build", timeout=10) == {"did": "build"}
    assert worker.ask(ROUND, timeout=10) == {"did": ROUND}
    worker.close()


def test_the_process_gets_its_job_and_an_empty_cache(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder, which is new, has its log; a backend of this process is not its own."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    worker = start(
        f'echo "$1 $2 ${{KERAS_BACKEND-none}} ${cache.FOLDER}" >&2\n'
        'echo "$3" >&2; read asked; exit 3'
    )
    with pytest.raises(FailedError):
        worker.ask(ROUND, timeout=10)
    folder = tmp_path / "new" / "worker"
    module = "-m lenet_multi.bench.worker"
    assert (folder / "log.txt").read_text().splitlines() == [
        f"{module} none {folder / 'jax'}",
        Job("jax", STOCK, TrainConfig()).as_json(),
    ]
    worker.close()


def test_a_process_that_has_ended_is_asked_no_more(start: Start) -> None:
    """Neither asking it nor closing it fails with a broken pipe."""
    worker = start("exit 3")
    worker._process.wait()
    with pytest.raises(FailedError, match=r"^its process ended with status 3: no message$"):
        worker.ask(ROUND, timeout=10)
    assert worker.traceback == ""
    worker.close()


@pytest.mark.parametrize(
    ("script", "words", "fault"),
    [
        (
            "read asked; echo odd >&2; printf '\\303d\\n' >&2; exit 3",
            "its process ended with status 3: \ufffdd",
            OTHER,
        ),
        (
            "read asked; kill -9 $$",
            "was killed; the system does that when memory runs out",
            OTHER,
        ),
        ('read asked; echo \'{"error": "it broke", "fault": "code"}\'; read on', "it broke", CODE),
    ],
    ids=["exit", "kill", "error"],
)
def test_a_failure_has_its_reason(start: Start, script: str, words: str, fault: str) -> None:
    """An exit, a kill and an error in the process each raise what happened."""
    worker = start(script)
    with pytest.raises(FailedError) as raised:
        worker.ask(ROUND, timeout=10)
    assert (str(raised.value), raised.value.fault) == (words, fault)
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
    said = "echo 'Traceback (most recent call last):' >&2; echo Oh >&2; printf '\\303\\n' >&2"
    worker = start(f"{said}; {said}; read asked; echo '{{}}'; read on")
    worker.ask(ROUND, timeout=10)
    assert worker.traceback == "Traceback (most recent call last):\nOh\n\ufffd\n"
    worker.close()
