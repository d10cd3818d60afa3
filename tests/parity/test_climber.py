import dataclasses
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lenet_multi.backends import choice
from lenet_multi.backends.choice import STOCK, TILES, WINOGRAD, Execution
from lenet_multi.config import TrainConfig, with_settings
from lenet_multi.data.examples import Examples
from lenet_multi.errors import UserError
from lenet_multi.machine import keras_start
from lenet_multi.machine.instruction_sets import SSE41, held_to
from lenet_multi.parity import climber, oracle
from lenet_multi.parity.climber import CLIMB, GO_ON, Climber, Job
from lenet_multi.parity.evidence import read
from lenet_multi.parity.plan import ORACLE, Plan
from lenet_multi.parity.start import Start


def test_a_climber_may_name_its_form() -> None:
    """A backend alone climbs in its fastest form, as the training command computes."""
    assert Climber.of("jax") == Climber("jax")
    assert Climber.of("jax").execution().form == WINOGRAD
    assert Climber.of("torch:stock").execution().form == STOCK
    with pytest.raises(UserError, match="tensorflow cannot compute it"):
        Climber.of("tensorflow:channels-first").execution()
    with pytest.raises(UserError, match="unknown --form 'tile'; did you mean 'tiles'"):
        Climber.of("jax:tile").execution()


def test_a_climber_may_name_its_instruction_set() -> None:
    """Its process is held to it; one that names none gets no variable."""
    assert Climber.of("torch:stock@sse4.1") == Climber("torch", "stock", SSE41)
    assert Climber.of("torch@sse4.1").environment() == held_to(SSE41)
    assert Climber.of("torch").environment() == {}
    with pytest.raises(UserError, match="unknown instruction set 'axv2'; did you mean 'avx2'"):
        Climber.of("torch@axv2").environment()


@pytest.mark.parametrize("name", ["jax:", "jax@", "jax:@avx2", "jax:stock@"])
def test_an_empty_name_is_refused(name: str) -> None:
    """What is announced is given."""
    with pytest.raises(UserError) as refused:
        Climber.of(name)
    assert str(refused.value) == (
        f"--backend {name}: a name is missing; give BACKEND[:FORM][@INSTRUCTIONS]"
    )


def let_compute(patch: pytest.MonkeyPatch, why_stock: str | None = None) -> list[str | None]:
    """Let a started Keras compute in any form, or as Keras does alone; return what is asked."""
    asked: list[str | None] = []

    def here(form: str | None = None) -> Execution:
        asked.append(form)
        own = STOCK if why_stock else form or WINOGRAD
        return Execution(own, "other", True, 25, True, True, why_stock)

    patch.setattr(choice, "here", here)
    return asked


def test_a_climber_answers_as_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes single steps. A user's model is computed as by Keras, unless another form is given.

    Where Keras alone computes, the reason is kept.
    """
    asked = let_compute(monkeypatch)
    whose = "a climb with a user's model tests stock Keras"
    how = Execution(WINOGRAD, WINOGRAD, True, 25, False, True, None)
    assert Climber("jax").here() == how
    stock = dataclasses.replace(how, form=STOCK, answer_form=STOCK, why_stock=whose)
    assert Climber("jax").here(own=True) == stock
    assert Climber("jax", TILES).here(own=True).form == TILES
    assert Climber("jax", TILES).here().form == TILES
    assert asked == [None, STOCK, TILES, TILES]
    let_compute(monkeypatch, "nothing faster was tried on a gpu")
    assert Climber("jax").here().why_stock == "nothing faster was tried on a gpu"
    assert Climber("jax", STOCK).here().form == STOCK
    with pytest.raises(UserError) as refused:
        Climber("jax", TILES).here()
    assert str(refused.value) == (
        "--backend jax:tiles: nothing faster was tried on a gpu; give --backend jax"
    )


OF = Job(CLIMB, "float32", "jax:stock@avx2", "out", "today", {})
GOES_ON = dataclasses.replace(OF, task=GO_ON, saved_by=["torch", "jax:stock@avx2"])


def test_a_job_has_a_name_and_a_folder() -> None:
    """Signs that a file's name may not have everywhere are replaced."""
    assert (OF.name, GOES_ON.name) == (
        "jax:stock@avx2 float32",
        "jax:stock@avx2 float32 goes on",
    )
    assert OF.folder == Path("out", "jax-stock-avx2-float32-climb")
    assert GOES_ON.folder == Path("out", "jax-stock-avx2-float32-go-on")


def test_a_job_goes_on_after_its_writers() -> None:
    """They are the climbs that save the models which it loads."""
    assert OF.writers() == []
    torch = dataclasses.replace(OF, climber="torch")
    assert GOES_ON.writers() == [torch, OF]
    child = GOES_ON.child()
    assert child.name == "jax:stock@avx2 float32 goes on"
    assert child.command[:3] == (sys.executable, "-m", "lenet_multi.parity.climber")
    assert Job(**json.loads(child.command[3])) == GOES_ON
    assert child.log == GOES_ON.folder / "log.txt"
    assert child.environ == held_to("avx2")
    assert child.after == ("torch float32", "jax:stock@avx2 float32")


def test_progress_is_told_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first and the last step always, others only after a while; each line goes out at once."""
    told: list[Any] = []
    monkeypatch.setattr(
        climber, "print", lambda line, **how: told.append((json.loads(line), how)), raising=False
    )
    clock = iter([100.0, 100.25, 100.5, 100.5, 100.75, 101.0])
    monkeypatch.setattr(climber, "_TELL_EVERY", 0.25)
    monkeypatch.setattr(climber, "_told", 0.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    for done in range(5):
        climber._tell("L4", done, 4)
    assert told == [(["L4", done, 4], {"flush": True}) for done in (0, 2, 4)]


class Process:
    """What a climber's process calls, without a backend: remembers it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.asked: list[Any] = []
        clock = iter([10.0, 12.5])
        patch.setattr(time, "perf_counter", lambda: next(clock))
        patch.setattr(keras_start, "start", self.start)
        patch.setattr(climber, "find_task", self.find_task)
        patch.setattr(oracle, "climb", self.oracle)
        climbs = SimpleNamespace(Climb=self.climb)  # the real one imports Keras
        patch.setitem(sys.modules, "lenet_multi.parity.climb", climbs)
        patch.setattr(sys.modules["lenet_multi.parity"], "climb", climbs, raising=False)
        let_compute(patch)
        self.task = SimpleNamespace(load=lambda config: ("the data of", config))

    def start(self, backend: str, *, floatx: str, devices: int) -> None:
        """Start Keras."""
        assert devices == 1
        self.asked.append(("start", backend, floatx))

    def find_task(self, config: TrainConfig) -> Any:
        """Return a task."""
        self.asked.append(("find", config.architecture))
        return self.task

    def oracle(self, *given: Any) -> None:
        """Climb without a backend."""
        self.asked.append(("oracle", given))

    def climb(self, *given: Any, keep: Path) -> Any:
        """Return what climbs."""
        self.asked.append(("Climb", given, keep))
        return SimpleNamespace(
            climb=lambda save_to: self.asked.append(("climb", save_to)),
            go_on=lambda *models: self.asked.append(("go on", models)),
        )


LENET_PLAN = Plan(float32_images=640, precisions=["float32"], devices=[])


def job_of(folder: Path, task: str, who: str, plan: Plan, **more: Any) -> Job:
    """Return a job in float64."""
    content = json.loads(json.dumps(dataclasses.asdict(plan)))
    return Job(task, "float64", who, str(folder), "today", content, **more)


def test_a_climber_climbs_and_saves_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras starts in the job's precision; the evidence says how long it took."""
    process = Process(monkeypatch)
    job = job_of(tmp_path / "new", CLIMB, "jax:tiles", LENET_PLAN)
    climber.run(job)
    found, start, (_, given, keep), climbed = process.asked
    assert (found, start) == (("find", "lenet"), ("start", "jax", "float64"))
    evidence, plan, task, data, how, tell, weights = given
    assert (evidence.climber, evidence.climb) == ("jax:tiles", "today")
    assert (plan, task, data) == (LENET_PLAN, process.task, ("the data of", plan.config))
    assert (how.form, tell, weights) == (TILES, climber._tell, None)
    assert keep == job.folder
    assert climbed == ("climb", job.folder / "model.keras")
    assert read(job.folder, climb="today").record == {"seconds": 2.5}


def test_the_oracle_needs_no_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It climbs with the task's reference; its log may be in its folder already."""
    process = Process(monkeypatch)
    job = job_of(tmp_path, CLIMB, ORACLE, LENET_PLAN)
    job.folder.mkdir()
    climber.run(job)
    found, (_, given) = process.asked
    assert found == ("find", "lenet")
    assert given[0].climber == ORACLE
    data = ("the data of", LENET_PLAN.config)
    assert given[1:] == (LENET_PLAN, process.task, data, climber._tell)
    assert read(job.folder, climb="today").record == {"seconds": 2.5}


def test_a_climber_goes_on_with_what_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of writers that failed there may be evidence without a model, or neither."""
    process = Process(monkeypatch)
    names = ["jax", "torch", "tensorflow"]
    job = job_of(tmp_path, GO_ON, "jax", LENET_PLAN, saved_by=names)
    folders = [writer.folder for writer in job.writers()]
    for folder in folders[:2]:
        folder.mkdir()
        (folder / "evidence.json").touch()
    (folders[0] / "model.keras").touch()
    climber.run(job)
    evidence = {"jax": folders[0], "torch": folders[1]}
    assert process.asked[-1] == ("go on", (evidence, {"jax": folders[0] / "model.keras"}))


@pytest.mark.parametrize(("who", "on"), [("torch", "torch"), (ORACLE, "jax")])
def test_a_users_model_starts_from_what_was_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str, on: str
) -> None:
    """Keras starts once, before the user's file is imported, for the oracle where it was drawn."""
    process = Process(monkeypatch)
    own = with_settings(TrainConfig(), {"architecture": "mine.py:build"})
    weights = [np.ones(2)]
    Start(Examples(np.ones((3, 1)), np.ones(3)), weights, {"backend": "jax"}).write(
        tmp_path / "start"
    )
    climber.run(job_of(tmp_path, CLIMB, who, Plan.for_own(own, steps=20)))
    start, found, (_, given, *_), *_ = process.asked
    assert (start, found) == (("start", on, "float64"), ("find", "mine.py:build"))
    assert len(given[3].train) == 3
    if who != ORACLE:
        assert given[4].why_stock == "a climb with a user's model tests stock Keras"
        np.testing.assert_equal(given[6], weights)
    assert sum(name == "start" for name, *_ in process.asked) == 1


@pytest.mark.backend
@pytest.mark.parametrize("name", ["mps:0", "xpu:0"])
def test_stock_keras_climbs_where_nothing_faster_was_tried(
    name: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On such a device the climb is one of what trains there; a form that is asked for is not."""
    import keras

    monkeypatch.setattr(keras.ops, "zeros", lambda shape: SimpleNamespace(device=name))
    how = Climber.of(backend).here()
    assert how.form == how.answer_form == STOCK
    assert how.why_stock == f"nothing faster was tried on {name}"
    assert Climber.of(f"{backend}:stock").here(own=True).form == STOCK
    with pytest.raises(UserError, match=f"pool-first: nothing faster .* give --backend {backend}$"):
        Climber.of(f"{backend}:pool-first").here()


@pytest.mark.backend
def test_a_users_model_climbs_as_keras_trains_it(backend: str) -> None:
    """It has no form by default, and the climber's own reason for that."""
    how = Climber.of(backend).here(own=True)
    assert (how.form, how.xla_loops) == (STOCK, False)
    assert how.why_stock == "a climb with a user's model tests stock Keras"
    how = Climber.of(backend).here()
    assert (how.answer_form, how.xla_loops, how.why_stock) == (how.form, False, None)
