import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lenet_multi.bench import session
from lenet_multi.bench.process import FailedError
from lenet_multi.bench.result import Bench
from lenet_multi.bench.ways import JIT_OFF, OTHER_JIT, OURS, STOCK, Job
from lenet_multi.bench.worker import BUILD, CODE, FIRST, INPUT, OTHER, ROUND, STAGES
from lenet_multi.config import TrainConfig
from lenet_multi.errors import UserError
from lenet_multi.machine import environment, frameworks

STEPS = {"jax": 1.0, "torch": 2.0}
TRACEBACK = "Traceback (most recent call last):\nValueError: no such thing\n"

NOTES = ["rows are taken for images"]

Fault = Callable[[Job, str], FailedError | None]


class StandIn:
    """A worker without a process: it answers at once, or fails as `fault` says."""

    asked: list[tuple[str, str, str]]
    fault: Fault
    traceback = TRACEBACK

    def __init__(self, job: Job, folder: Path) -> None:
        self.job = job

    def ask(self, request: str, *, timeout: float) -> dict[str, Any]:
        """Return made-up figures."""
        job = self.job
        self.asked.append((job.backend, job.way, request))
        if failed := type(self).fault(job, request):
            raise failed
        way = JIT_OFF if job.way == OTHER_JIT else job.way
        step = STEPS[job.backend] * (2 if job.is_stock else 1)
        answers: dict[str, dict[str, Any]] = {
            BUILD: {"seconds": {"import": 1.0}, "way": way, "parameters": 7, "notes": NOTES},
            FIRST: {"seconds": {"first step": 1.0}, "steps": {"step": 9}},
            ROUND: {"step_ms": step, "predict_ms": 1.0, "peak_mib": 400.0},
            STAGES: {"step": 4.0, "forward": 0.5, "forward_and_backward": 1.0, "layers": []},
        }
        return answers[request]

    def close(self) -> None:
        """Do nothing."""


Run = Callable[..., Bench]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a bench of two backends with stand-ins, which fail as `fault` says."""
    monkeypatch.setattr(session, "Worker", StandIn)
    monkeypatch.setattr(frameworks, "installed", lambda known=(): ("jax", "torch"))
    StandIn.asked = []

    def benched(fault: Fault = lambda job, request: None, **more: Any) -> Bench:
        monkeypatch.setattr(StandIn, "fault", staticmethod(fault), raising=False)
        return session.run(TrainConfig(), ["jax", "torch"], **{"rounds": 2, "threads": 1, **more})

    return benched


def test_all_ways_start_and_then_take_turns(run: Run) -> None:
    """Each round asks every process once, so that all see the same minutes of the machine."""
    run()
    ways = [(backend, way) for backend in STEPS for way in (STOCK, OTHER_JIT, OURS)]
    starts = [(*way, request) for way in ways for request in (BUILD, FIRST)]
    rounds = 2 * [(*way, ROUND) for way in ways]
    assert StandIn.asked[: len(starts + rounds)] == starts + rounds


def test_what_was_done_to_the_data_is_said_once(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every process reads the same data: one line on stderr says what was converted."""
    run()
    assert capsys.readouterr().err.count("Data: rows are taken for images") == 1


def test_stock_keras_explains_the_fastest_and_the_slowest_backend(run: Run) -> None:
    """The stages are those of the best stock way of each."""
    found = run()
    explained = {asked[:2] for asked in StandIn.asked if asked[2] == STAGES}
    assert explained == {("jax", STOCK), ("torch", STOCK)}
    assert found.stages["torch"].step == 4.0
    assert found.best
    assert (found.best.backend, found.best.way) == ("jax", OURS)
    assert found.parameters == 7


def test_without_jit_tries_there_are_two_ways(run: Run) -> None:
    """A quick bench times stock and ours alone."""
    assert [row.way for row in run(tries_jit=False).rows] == 2 * [STOCK, OURS]


def test_a_way_that_fails_keeps_its_reason_and_the_others_go_on(run: Run) -> None:
    """It has the name of what was tried, and is asked no more."""
    found = run(
        lambda job, request: (
            FailedError("no compiler") if (job.way, request) == (OTHER_JIT, FIRST) else None
        )
    )
    failed = [(row.backend, row.way, row.failure) for row in found.rows if row.failure]
    assert failed == [(backend, JIT_OFF, "no compiler") for backend in STEPS]
    assert len(found.rows) == 6
    assert not [asked for asked in StandIn.asked if asked[1:] == (OTHER_JIT, ROUND)]


def test_a_backend_that_cannot_has_one_row(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Ours and the other jit would fail alike; the other backend goes on."""
    found = run(lambda job, request: FailedError("no", CODE) if job.backend == "jax" else None)
    assert [(row.backend, row.failure) for row in found.rows][:2] == [
        ("jax", "no"),
        ("torch", None),
    ]
    assert capsys.readouterr().err.count("ValueError: no such thing") == 1


def test_bad_input_is_refused_at_once(run: Run) -> None:
    """A file that is not there is not there for the next backend either."""
    with pytest.raises(UserError, match="there is no file"):
        run(lambda job, request: FailedError("there is no file", INPUT))
    assert len(StandIn.asked) == 1


@pytest.mark.parametrize(
    ("fault", "words", "tracebacks"),
    [
        (CODE, "^oh on jax$", 1),
        (OTHER, "lenet trains on no backend; jax says: oh on jax; make `fit` of Keras", 0),
    ],
    ids=["users-code", "other"],
)
def test_a_model_that_trains_nowhere_is_refused(
    run: Run, capsys: pytest.CaptureFixture[str], fault: str, words: str, tracebacks: int
) -> None:
    """The message is the first backend's; the user's traceback is shown once, for all backends."""
    with pytest.raises(UserError, match=words):
        run(lambda job, request: FailedError(f"oh on {job.backend}", fault))
    assert capsys.readouterr().err.count("Traceback") == tracebacks


def test_a_signal_leaves_what_was_measured(run: Run) -> None:
    """Ctrl-C in the second round keeps the first."""

    def interrupt(job: Job, request: str) -> None:
        if len([asked for asked in StandIn.asked if asked[2] == ROUND]) == 8:
            os.kill(os.getpid(), signal.SIGINT)

    found = run(interrupt)
    assert found.stopped_by == signal.SIGINT
    assert [len(row.step_ms) for row in found.rows] == [2, 1, 1, 1, 1, 1]
    assert found.sentence.startswith("Take jax (ours)")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"rounds": 0}, "--rounds must be at least 1, not 0"),
        ({"threads": 0}, "--threads must be between 1 and"),
        ({"threads": environment.threads() + 1}, "--threads must be between 1 and"),
    ],
    ids=["rounds", "no-threads", "too-many-threads"],
)
def test_settings_out_of_range_are_refused(run: Run, more: dict[str, int], words: str) -> None:
    """The message names the flag, and nothing starts."""
    with pytest.raises(UserError, match=words):
        run(**more)
    assert StandIn.asked == []
