import asyncio
import os
from typing import Any

import pytest

from lenet_multi.commands.demo.process import BackendProcess
from tests.commands.demo.stand_in import SEVEN, stand_in

IMAGE = bytes(784)


def asked(manner: str, *, times: int = 1) -> list[dict[str, Any]]:
    """Ask a stand-in once it is ready or has failed; return its answer."""

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
    assert [line.partition(" in")[0] for line in announced] == [f"jax {version}: ready"]


def test_a_cancelled_process_is_ended() -> None:
    """A cancelled backend leaves no process behind."""
    (answer,) = asked("answers")
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
