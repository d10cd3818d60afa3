import io
import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from lenet_multi.bench import worker
from lenet_multi.bench.process import FailedError, Worker
from lenet_multi.bench.ways import OURS, STOCK, Job
from lenet_multi.bench.worker import BUILD, CODE, FIRST, INPUT, OTHER, ROUND, STAGES
from lenet_multi.config import TrainConfig, with_settings
from lenet_multi.errors import StartError, UserCodeError, UserError
from lenet_multi.machine import environment, keras_start, threads
from tests.bench.material import write_model
from tests.stand_ins import Calls


class Pipe(io.StringIO):
    """A pipe that counts how often it is flushed."""

    flushed = 0

    def flush(self) -> None:
        """Count."""
        self.flushed += 1


class StandIn:
    """A trial that measures nothing."""

    seconds: dict[str, float]
    way, why_stock, notes = "jit off", "it has a state", ("a note",)
    model = SimpleNamespace(count_params=lambda: 7)

    def __init__(self, job: Job) -> None:
        self.job = job
        self.seconds = {"build": 2.0}

    def first(self) -> dict[str, Any]:
        """Return what was asked."""
        return {"was": FIRST, "way": self.job.way}

    def round(self) -> dict[str, Any]:
        """Return what was asked."""
        return {"was": ROUND}

    def stages(self) -> dict[str, Any]:
        """Return what was asked."""
        return {"was": STAGES}


@pytest.mark.parametrize("way", [STOCK, OURS])
def test_requests_are_answered_in_lines_of_json(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """The first one starts Keras; nothing that libraries print comes between the answers."""
    calls = Calls()
    answers = Pipe()

    monkeypatch.setattr(signal, "signal", calls.of("signal"))
    monkeypatch.setattr(os, "dup", calls.of("dup", 99))
    monkeypatch.setattr(os, "dup2", calls.of("dup2"))
    monkeypatch.setattr(os, "fdopen", calls.of("fdopen", answers))
    monkeypatch.setattr(os, "sched_setaffinity", calls.of("processors"), raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{BUILD}\n{FIRST} \n{ROUND}\n{STAGES}\n"))
    monkeypatch.setattr(keras_start, "start", calls.of("start"))
    monkeypatch.setattr(keras_start, "device", lambda: "cpu:0")
    monkeypatch.setattr(environment, "versions", lambda backend: {backend: "1"})
    monkeypatch.setattr(threads, "used", {"jax": 3}.get)
    monkeypatch.setitem(sys.modules, "lenet_multi.bench.measures", SimpleNamespace(Trial=StandIn))
    worker.serve(Job("jax", way, TrainConfig(dtype_policy="mixed_float16"), [1, 2]))
    built, *others = map(json.loads, answers.getvalue().splitlines())
    assert 0 <= built["seconds"].pop("import") < 60
    assert built == {
        "seconds": {"build": 2.0},
        "way": "jit off",
        "why_stock": "it has a state",
        "notes": ["a note"],
        "parameters": 7,
        "versions": {"jax": "1"},
        "device": "cpu:0",
        "threads": 3,
    }
    assert answers.flushed == 4
    assert others == [{"was": FIRST, "way": way}, {"was": ROUND}, {"was": STAGES}]
    assert calls == [
        ("signal", signal.SIGINT, signal.SIG_IGN, {}),
        ("dup", 1, {}),
        ("fdopen", 99, "w", {}),
        ("dup2", 2, 1, {}),
        ("processors", 0, [1, 2], {}),
        ("start", "jax", {"dtype_policy": "mixed_float16", "stock": way == STOCK}),
    ]
    del calls[:]
    worker.serve(Job("jax", way, TrainConfig()))
    monkeypatch.delattr(os, "sched_setaffinity")
    worker.serve(Job("jax", way, TrainConfig(), [1, 2]))
    assert "processors" not in [call[0] for call in calls]


@pytest.mark.parametrize(
    ("error", "answer", "has_traceback"),
    [
        (UserCodeError("it broke"), {"error": "it broke", "fault": CODE}, False),
        (
            StartError("jax", "no GPU", "get one"),
            {"error": "jax does not start: no GPU; get one", "fault": OTHER},
            False,
        ),
        (UserError("no file"), {"error": "no file", "fault": INPUT}, False),
        (ValueError("3"), {"error": "ValueError: 3", "fault": OTHER}, True),
    ],
    ids=["code", "start", "input", "other"],
)
def test_an_answer_says_whose_fault_an_error_is(
    error: Exception,
    answer: dict[str, str],
    has_traceback: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The traceback of what nobody expected is kept; other errors say what to do."""

    def fail() -> NoReturn:
        raise error

    assert worker._answer(fail) == answer
    assert ("Traceback" in capsys.readouterr().err) is has_traceback


def started(folder: Path, backend: str, way: str, name: str, **settings: object) -> Worker:
    """Start the process of a way to train a small model of a user."""
    given = {"architecture": f"{write_model(folder)}:{name}", **settings}
    job = Job(backend, way, with_settings(TrainConfig(epochs=1), given))
    return Worker(job, folder / "worker")


@pytest.mark.backend
def test_a_process_builds_trains_and_times(backend: str, tmp_path: Path) -> None:
    """It answers with its versions, then with the first step, then with rounds."""
    worker = started(tmp_path, backend, OURS, "build")
    built = worker.ask(BUILD, timeout=100)
    assert {"import", "data", "build"} == {*built["seconds"]}
    assert backend in built["versions"]
    assert worker.ask(FIRST, timeout=100)["seconds"]["first step"] > 0
    assert worker.ask(ROUND, timeout=100)["step_ms"] > 0
    worker.close()


@pytest.mark.backend
@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("name", "settings", "fault", "words"),
    [
        ("nowhere", {}, INPUT, "has no nowhere; give one of"),
        ("build", {"data": "my_model.py:misfit"}, INPUT, "but the model takes float32 6"),
        ("broken", {}, CODE, "broken failed on .*no such thing; see the traceback"),
        ("bad_loss", {}, OTHER, "."),
    ],
    ids=["name", "data", "code", "loss"],
)
def test_an_error_says_whose_fault_it_is(
    backend: str,
    tmp_path: Path,
    name: str,
    settings: dict[str, str],
    fault: str,
    words: str,
) -> None:
    """A user's input, a user's code and anything else are told apart."""
    if data := settings.get("data"):
        settings = {"data": str(tmp_path / data)}
    worker = started(tmp_path, backend, STOCK, name, **settings)
    with pytest.raises(FailedError, match=words) as raised:
        worker.ask(BUILD, timeout=100)
        worker.ask(FIRST, timeout=100)
    assert raised.value.fault == fault
    assert worker.traceback.count("Traceback") == (0 if fault == INPUT else 1)
    worker.close()
