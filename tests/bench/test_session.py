import io
import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress, TaskID

from lenet_multi.bench import session
from lenet_multi.bench.process import FailedError
from lenet_multi.bench.result import Bench, Row
from lenet_multi.bench.ways import JIT_OFF, OTHER_JIT, OURS, STOCK, Job
from lenet_multi.bench.worker import BUILD, CODE, FIRST, INPUT, OTHER, ROUND, STAGES
from lenet_multi.config import TrainConfig
from lenet_multi.errors import UserError
from lenet_multi.machine import children, environment, frameworks
from tests.stand_ins import Calls

STEPS = {"jax": 1.0, "torch": 2.0}  # milliseconds of ours; stock takes twice as long
TIMEOUT = 9.0
FACTS: dict[str, Any] = {
    "device": "cpu:0",
    "threads": 1,
    "versions": {"keras": "3"},
    "why_stock": "it has a state",
}

NOTES = ["[b] rows are taken for images, all 1000 of them"]

Fault = Callable[[Job, str], FailedError | None]


class StandIn:
    """A worker without a process: it answers at once, or fails as `fault` says."""

    asked: list[tuple[str, str, str]]
    jobs: list[tuple[Job, Path]]
    fault: Fault
    reason = "no such thing on any"

    def __init__(self, job: Job, folder: Path) -> None:
        self.job = job
        self.jobs.append((job, folder))

    @property
    def traceback(self) -> str:
        """The traceback of an error, whose last line does not name the backend."""
        reason = self.reason.format(self.job.backend)
        return f"Traceback (most recent call last):\n{self.job.backend}\nValueError: {reason}\n"

    def ask(self, request: str, *, timeout: float) -> dict[str, Any]:
        """Return made-up figures; a round takes more memory than the one before."""
        assert timeout == TIMEOUT
        job = self.job
        self.asked.append((job.backend, job.way, request))
        if failed := type(self).fault(job, request):
            raise failed
        way = JIT_OFF if job.way == OTHER_JIT else job.way
        step = STEPS[job.backend] * (2 if job.is_stock else 1)
        told = {"seconds": {"import": 1.0}, "way": way, "parameters": 7, "notes": NOTES}
        answers: dict[str, dict[str, Any]] = {
            BUILD: told | FACTS,
            FIRST: {"seconds": {"first step": 1.0}, "steps": {"step": 9}},
            ROUND: {"step_ms": step, "predict_ms": 3.0, "peak_mib": 400.0 + len(self.asked)},
            STAGES: {"step": step, "forward": 0.5, "forward_and_backward": 1.0, "layers": []},
        }
        return answers[request]

    def close(self) -> None:
        """Do nothing."""


class Bars(Progress):
    """Progress bars that keep what they show."""

    def __init__(self) -> None:
        self.text = io.StringIO()
        console = Console(
            file=self.text, width=20, force_terminal=True, color_system="standard", _environ={}
        )
        super().__init__(console=console, disable=True)
        self.shown: list[str] = []

    def add_task(self, description: str, *given: Any, **more: Any) -> TaskID:
        """Keep the task's first words."""
        self.shown.append(description)
        return super().add_task(description, *given, **more)

    def update(self, *given: Any, **more: Any) -> None:
        """Keep the task's next words."""
        self.shown += [more["description"]] if "description" in more else []
        super().update(*given, **more)


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> Bars:
    """The bars of the next bench."""
    shown = Bars()
    monkeypatch.setattr(children, "bars", lambda: shown)
    return shown


Run = Callable[..., Bench]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a bench of two backends with stand-ins, which fail as `fault` says."""
    monkeypatch.setattr(session, "Worker", StandIn)
    monkeypatch.setattr(frameworks, "installed", lambda known=(): tuple(STEPS))
    monkeypatch.setenv("KERAS_BACKEND", "torch")  # it chooses nothing here
    StandIn.asked, StandIn.jobs = [], []

    def benched(
        fault: Fault = lambda job, request: None,
        backends: Sequence[str] = ("jax", "torch"),
        **more: Any,
    ) -> Bench:
        monkeypatch.setattr(StandIn, "fault", staticmethod(fault), raising=False)
        given = {"rounds": 2, "threads": 1, "timeout": TIMEOUT, **more}
        return session.run(TrainConfig(), backends, **given)

    return benched


def test_all_ways_start_and_then_take_turns(run: Run) -> None:
    """Each round asks every process once, so that all see the same minutes of the machine."""
    run()
    ways = [(backend, way) for backend in STEPS for way in (STOCK, OTHER_JIT, OURS)]
    starts = [(*way, request) for way in ways for request in (BUILD, FIRST)]
    rounds = 2 * [(*way, ROUND) for way in ways]
    assert StandIn.asked[: len(starts + rounds)] == starts + rounds


def test_each_way_gets_its_job_and_its_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """All processes have the same settings and processors; a log of one is not another's."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {5, 3, 9}, raising=False)
    monkeypatch.setattr(environment, "threads", lambda: 3)
    run(threads=2)
    ways = [(backend, way) for backend in STEPS for way in (STOCK, OTHER_JIT, OURS)]
    assert [job for job, _ in StandIn.jobs] == [Job(*way, TrainConfig(), (3, 5)) for way in ways]
    assert [folder.name for _, folder in StandIn.jobs] == list("123456")
    assert not StandIn.jobs[0][1].parent.exists()


def test_a_row_has_what_its_process_said(run: Run) -> None:
    """The seconds are of both starts, the steps of the first step, the memory of the last round."""
    assert run(rounds=2).rows[0] == Row(
        backend="jax",
        way=STOCK,
        seconds={"import": 1.0, "first step": 1.0},
        steps={"step": 9},
        step_ms=[2.0, 2.0],
        predict_ms=[3.0, 3.0],
        peak_mib=419.0,
        **FACTS,
    )
    found = run(lambda job, request: FailedError("no") if job.backend == "jax" else None)
    assert found.rows[0] == Row(backend="jax", way=STOCK, step_ms=[], predict_ms=[], failure="no")


def test_a_bench_has_its_settings(run: Run) -> None:
    """It keeps the model, the settings, the machine, the seconds, and that nothing stopped it."""
    found = run(rounds=1)
    assert (found.model, found.config, found.rounds) == ("lenet", TrainConfig(), 1)
    assert (found.threads, found.parameters, found.stopped_by) == (1, 7, None)
    assert found.machine == environment.machine()
    assert 0 < found.seconds < 60
    assert run(threads=None).threads == run(threads=environment.threads()).threads


@pytest.mark.parametrize(
    ("asked", "timed"), [((), ["jax", "torch"]), (["torch", "torch"], ["torch"])]
)
def test_all_that_is_installed_is_timed_unless_told(
    run: Run, asked: Sequence[str], timed: list[str]
) -> None:
    """A backend that is named twice is timed once."""
    assert run(backends=asked).backends == timed


def test_a_backend_that_is_not_there_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody knows is, and so is a machine without any."""
    with pytest.raises(UserError, match="unknown backend 'jaxx'; did you mean 'jax'"):
        run(backends=["jax", "jaxx"])
    monkeypatch.setattr(frameworks, "installed", lambda known=(): ())
    monkeypatch.setattr(frameworks, "refuse_hidden", lambda *packages: None)
    with pytest.raises(UserError, match="no Keras backend is installed"):
        run(backends=())
    assert StandIn.asked == []


def test_a_folder_that_cannot_be_deleted_is_left(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures are worth more, so cleaning up raises no error."""
    calls, made = Calls(), tempfile.TemporaryDirectory()
    monkeypatch.setattr(tempfile, "TemporaryDirectory", calls.of("folder", made))
    run()
    assert calls == [("folder", {"ignore_cleanup_errors": True})]


def test_the_first_processors_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are of those that this process may use; not every system names them."""
    monkeypatch.setattr(os, "sched_getaffinity", {0: {5, 3, 9}}.get, raising=False)
    assert session._processors(2) == (3, 5)
    monkeypatch.delattr(os, "sched_getaffinity")
    assert session._processors(2) == ()


def test_the_bar_says_what_is_done(run: Run, bars: Bars) -> None:
    """It is full at the end, and names the backend, the way and the part that it waits for."""
    run(tries_jit=False)
    (task,) = bars.tasks
    assert (task.total, task.completed) == (16, 16)
    starts = ("import and build", "first step")
    rounds = ("round 1 of 2", "round 2 of 2")
    ways = [f"{backend}, {way}" for backend in STEPS for way in (STOCK, OURS)]
    assert bars.shown[:-2] == [
        "start",
        *(f"{way}: {words}" for way in ways for words in starts),
        *(f"{way}: {words}" for words in rounds for way in ways),
    ]
    assert set(bars.shown[-2:]) == {f"{backend}, stock: its stages" for backend in STEPS}


def test_what_was_done_to_the_data_is_said_once(run: Run, bars: Bars) -> None:
    """Every process reads the same data: one line says what was converted, in the data's words."""
    run()
    assert bars.text.getvalue() == f"Data: {NOTES[0]}\n"


def test_stock_keras_explains_the_fastest_and_the_slowest_backend(run: Run) -> None:
    """The stages are those of the best stock way of each."""
    found = run()
    explained = {asked[:2] for asked in StandIn.asked if asked[2] == STAGES}
    assert explained == {("jax", STOCK), ("torch", STOCK)}
    assert found.stages["torch"].way == STOCK
    assert [found.stages[backend].step for backend in STEPS] == [2.0, 4.0]
    assert found.best
    assert (found.best.backend, found.best.way) == ("jax", OURS)
    assert found.parameters == 7


def test_a_backend_in_the_middle_is_not_explained(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fastest and the slowest are found by their steps, not by their names."""
    for backend, step in (("torch", 1.0), ("jax", 2.0), ("tensorflow", 3.0)):
        monkeypatch.setitem(STEPS, backend, step)
    assert set(run(backends=list(STEPS)).stages) == {"torch", "tensorflow"}


@pytest.mark.parametrize("request_", [ROUND, STAGES])
@pytest.mark.parametrize(("failing", "other"), [("jax", "torch"), ("torch", "jax")])
def test_a_backend_that_explains_nothing_leaves_the_other(
    run: Run, failing: str, other: str, request_: str
) -> None:
    """Whether its stock Keras was not timed, or its stages were not."""
    wrong = (failing, STOCK, request_)
    found = run(
        lambda job, request: (
            FailedError("no") if (job.backend, job.way, request) == wrong else None
        ),
        tries_jit=False,
    )
    assert set(found.stages) == {other}
    assert [row.backend for row in found.rows if row.is_timed][-1] == "torch"


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
    assert capsys.readouterr().err.count("ValueError: no such thing on any\n") == 1


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


def test_each_error_of_the_user_has_its_traceback(
    run: Run, bars: Bars, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error with other words on another backend is shown too, as it is."""
    monkeypatch.setattr(StandIn, "reason", "no such thing on {}")
    with pytest.raises(UserError, match=r"^oh$"):
        run(lambda job, request: FailedError("oh", CODE))
    assert bars.text.getvalue() == "".join(
        f"Traceback (most recent call last):\n{backend}\nValueError: no such thing on {backend}\n"
        for backend in STEPS
    )


def test_a_signal_leaves_what_was_measured(run: Run) -> None:
    """Ctrl-C in the second round keeps the first."""

    def interrupt(job: Job, request: str) -> None:
        if len([asked for asked in StandIn.asked if asked[2] == ROUND]) == 8:
            os.kill(os.getpid(), signal.SIGINT)

    found = run(interrupt)
    assert found.stopped_by == signal.SIGINT
    assert [len(row.step_ms) for row in found.rows] == [2, 1, 1, 1, 1, 1]
    assert found.sentence.startswith("Take jax (ours)")
    assert found.stages == {}


def test_a_signal_at_once_leaves_nothing(run: Run) -> None:
    """A bench that measured nothing does not know the model's size."""
    found = run(lambda job, request: os.kill(os.getpid(), signal.SIGINT))
    assert (found.parameters, found.stopped_by) == (None, signal.SIGINT)
    assert found.sentence == "Nothing was timed."


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
