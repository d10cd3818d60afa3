import asyncio
import io
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lenet_multi.commands.demo.process import BackendProcess, _reason, command
from tests.commands.demo.stand_in import SEVEN, stand_in

IMAGE = bytes(784)


def asked(
    manner: str, *, times: int = 1, check: Callable[[BackendProcess], None] = lambda process: None
) -> list[dict[str, Any]]:
    """Ask a stand-in once it is ready or has failed, after `check`; return its answer."""

    async def ask() -> list[dict[str, Any]]:
        process = BackendProcess(
            "jax",
            "runs/a",
            stand_in(manner),
            start_seconds=0.5 if manner == "starts for ever" else 60,
            answer_seconds=0.5 if manner == "is silent when asked" else 60,
        )
        running = asyncio.create_task(process.run())
        while not (process.version or process.failure or running.done()):
            await asyncio.sleep(0.01)
        if running.done():
            await running  # raises what it raised
        check(process)
        answers = [await process.ask(IMAGE) for _ in range(times)]
        if not process.failure:
            running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return answers

    return asyncio.run(ask())


def test_a_process_answers_again_and_again(capsys: pytest.CaptureFixture[str]) -> None:
    """Each question gets its answer, with the backend's name; stderr says when it is ready."""
    answers = asked("answers", times=3)
    version = answers[0]["version"]
    unset = {"failure": None, "class_names": None}
    state = {"backend": "jax", "model": "runs/a", "version": version, **unset}
    assert answers == 3 * [{**state, **SEVEN}]
    announced = capsys.readouterr().err.splitlines()
    (line,) = announced
    found = re.fullmatch(rf"jax {version}: ready in (\d+\.\d) s", line)
    assert found
    assert float(found[1]) < 60


def test_a_cancelled_process_is_ended() -> None:
    """A cancelled backend leaves no process behind; until then Ctrl-C does not reach it."""

    def check(process: BackendProcess) -> None:
        number = int(process.version or 0)
        assert os.getsid(number) == number

    (answer,) = asked("answers", check=check)
    with pytest.raises(ProcessLookupError):
        os.kill(int(answer["version"]), 0)


@pytest.mark.parametrize(
    ("manner", "failure"),
    [
        ("never starts", "RuntimeError: out of luck (status 1)"),
        ("starts for ever", "it was silent for 0.5 s"),
        ("dies when asked", "it printed nothing (SIGKILL)"),
        ("is silent when asked", "it was silent for 0.5 s"),
    ],
)
def test_a_process_that_fails_says_why(
    manner: str, failure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each answer is the reason of the failure; stderr names it once."""
    answers = asked(manner, times=2)
    assert [answer["failure"] for answer in answers] == [failure, failure]
    assert not any("probabilities" in answer for answer in answers)
    announced = capsys.readouterr().err.splitlines()
    assert [line for line in announced if "ready" not in line] == [
        f"jax: stopped answering: {failure}"
    ]


def test_a_process_that_starts_is_not_waited_for() -> None:
    """Until the process is ready, `ask` returns its state at once."""
    process = BackendProcess("jax", "runs/a", stand_in("starts for ever"))
    assert asyncio.run(process.ask(IMAGE)) == process.state


def test_the_command_line_names_backend_and_model() -> None:
    """The worker is a module that this Python runs."""
    assert command("jax", Path("a/model.keras")) == (
        *(sys.executable, "-m", "lenet_multi.commands.demo.worker", "jax", "a/model.keras"),
    )


@pytest.mark.parametrize(
    ("log", "status", "reason"),
    [
        (b"a", -signal.SIGKILL, "a (SIGKILL)"),
        (b"x" * 9999 + b"\nlast \xe9\n", 3, "last \ufffd (status 3)"),
        (b"first\n" + b"\n" * 4096, 0, "it printed nothing (status 0)"),
        (b"first" + b"\n" * 4095, -1, "t (SIGHUP)"),
    ],
    ids=["short", "long", "far", "cut"],
)
def test_a_reason_is_in_the_end_of_the_log(log: bytes, status: int, reason: str) -> None:
    """Only the last 4,096 bytes are read, whatever they are."""
    assert _reason(status, io.BytesIO(log)) == reason
