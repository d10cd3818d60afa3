import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lenet_multi.config import TrainConfig, with_settings
from lenet_multi.data.examples import Examples
from lenet_multi.errors import UserError
from lenet_multi.machine import children, keras_start
from lenet_multi.parity import prepare
from lenet_multi.parity.known import SEEDS, Known
from lenet_multi.parity.plan import Plan
from lenet_multi.parity.start import Start
from tests.guest import GUEST

CONFIG = with_settings(TrainConfig(), {"architecture": "tests.guest:GUEST", "batch_size": 4})
PLAN = Plan.for_own(CONFIG, steps=20, precisions=["float32"])
START = Start(Examples(np.ones((2, 1)), np.ones(2)), [np.ones(1)], {"parameters": 7})
NAMES = ["jax", "torch"]


def known(anchor: str, what: str) -> Known:
    """Return a divergence."""
    return Known(anchor=anchor, what=what, backends=(), size="", cause="", way_round="")


class Ended:
    """Stands for `subprocess.run`: a process that ends with a status, and may leave a start."""

    def __init__(self, status: int, said: str = "", start: Start | None = None) -> None:
        self.status, self.said, self.start = status, said, start

    def __call__(self, command: list[str], **how: Any) -> "subprocess.CompletedProcess[str]":
        """Remember the command, and how it was to run."""
        self.command, self.how = command, how
        if self.start:
            self.start.write(Path(command[-1]))
        return subprocess.CompletedProcess(command, self.status, self.said)


def test_a_process_on_the_first_backend_makes_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets the names, the plan and the folder, and asks nobody; what it wrote is read."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    process = Ended(0, start=START)
    monkeypatch.setattr(subprocess, "run", process)
    told: list[Any] = []
    bars = SimpleNamespace(add_task=lambda *given, **how: told.append((given, how)))
    monkeypatch.setattr(children, "bars", lambda: nullcontext(bars))
    folder = tmp_path / "out" / "start"
    assert prepare.prepare(PLAN, NAMES, folder).facts["parameters"] == 7
    prepare.prepare(PLAN, NAMES, folder)
    assert told == [(("jax builds the model",), {"total": None})] * 2
    name = "lenet_multi.parity.prepare"
    assert process.command[:4] == [sys.executable, "-m", name, "jax,torch"]
    plan, place = process.command[4:]
    assert json.loads(plan) == json.loads(json.dumps(dataclasses.asdict(PLAN)))
    assert place == str(folder)
    how = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "text": True,
        "errors": "backslashreplace",
    }
    assert {name: value for name, value in process.how.items() if name != "env"} == how
    assert "KERAS_BACKEND" not in process.how["env"]


@pytest.mark.parametrize(
    ("status", "said", "message"),
    [
        (2, "a note\nanother\nno such size\n", "no such size"),
        (2, "", "tests.guest:GUEST: building it on jax ended with status 2; see above"),
        (1, "words", "tests.guest:GUEST: building it on jax ended with status 1; see above"),
    ],
    ids=["refused", "silent", "crashed"],
)
def test_a_model_that_cannot_be_built_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, said: str, message: str
) -> None:
    """The process's last line is the error, if it refused the model."""
    monkeypatch.setattr(subprocess, "run", Ended(status, said))
    with pytest.raises(UserError) as refused:
        prepare.prepare(PLAN, NAMES, tmp_path)
    assert str(refused.value) == message


class Model:
    """Stands for a Keras model: remembers what it was asked."""

    weights: Any = None
    compiled: Any = None

    def __init__(self) -> None:
        self.called: list[tuple[Any, bool]] = []

    def set_weights(self, weights: Any) -> None:
        """Take the weights."""
        self.weights = weights

    def compile(self, **arguments: Any) -> None:
        """Take what it is compiled with."""
        self.compiled = arguments

    def count_params(self) -> int:
        """Return a number."""
        return 7

    def __call__(self, x: Any, *, training: bool) -> None:
        """Remember the inputs."""
        self.called.append((x, training))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one second go by until the second look at the clock, two until the third, and so on."""
    times = iter(np.arange(9).cumsum())
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(times)))


@pytest.mark.usefixtures("clock")
def test_the_start_is_what_the_climbers_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights that were drawn are the model's; its loss is tried on the first batch."""
    model, weights, tried = Model(), [np.ones(2)], []
    arguments = {"optimizer": "adam", "loss": "mse", "metrics": ["mae"]}
    asked = []

    def drawn(*given: Any) -> Any:
        asked.append(given)
        return model, weights

    def compile_arguments(*given: Any, steps: int) -> Any:
        asked.append((*given, steps))
        return arguments

    made = {  # the real ones import Keras
        "own.builder": SimpleNamespace(refuse_loss=lambda *given: tried.append(given)),
        "training.initial_weights": SimpleNamespace(drawn=drawn),
        "training.setup": SimpleNamespace(compile_arguments=compile_arguments),
    }
    for name, content in made.items():
        monkeypatch.setitem(sys.modules, f"lenet_multi.{name}", content)

    def divergences(*given: Any, **named: Any) -> Iterator[Known]:
        asked.append((*given, named))
        yield known("a", "one")

    monkeypatch.setattr(prepare, "known_divergences", divergences)
    noted = dataclasses.replace(GUEST.load(CONFIG), notes=("halved",))
    task = dataclasses.replace(GUEST, load={CONFIG: noted}.__getitem__)
    monkeypatch.setattr("lenet_multi.own.find.find_task", {CONFIG: task}.__getitem__)
    start = prepare.make(PLAN, NAMES)
    assert asked[0][0] is task
    assert asked[0][1:] == (CONFIG, noted)
    assert asked[1][0] is task
    assert asked[1][1:] == (CONFIG, 1)
    named = {"backends": NAMES, "optimizer": "adam", "loss": "mse"}
    assert asked[2:] == [(model, {"precision": one, **named}) for one in PLAN.precisions]
    assert start.weights is model.weights is weights
    assert model.compiled == arguments
    np.testing.assert_equal(start.examples.sides, PLAN.training_examples(noted, "float32").sides)
    batch = start.examples[:4]
    ((*named_model, examples),) = tried
    assert named_model == ["tests.guest:GUEST", model]
    np.testing.assert_equal(examples.sides, batch.sides)
    np.testing.assert_equal(model.called, [(batch.x, False)] * 2)
    assert start.facts == {
        "parameters": 7,
        "forward_seconds": 2.0,  # of the second pass
        "reference": False,
        "notes": ["halved"],
        "known": [dataclasses.asdict(known("a", "one"))],
    }


def test_a_divergence_is_known_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one in both precisions the last stays; random numbers are left out."""
    found = {
        "float32": [known("a", "one"), known(SEEDS, "none"), known("b", "two")],
        "float64": [known("a", "three")],
    }
    monkeypatch.setattr(
        prepare, "known_divergences", lambda *given, precision, **named: found[precision]
    )
    plan = dataclasses.replace(PLAN, precisions=("float32", "float64"))
    arguments = {"optimizer": "adam", "loss": "mse"}
    one = prepare._known(plan, None, arguments, NAMES)
    assert [each.what for each in one] == ["three", "two"]


def test_the_process_writes_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts Keras on the first backend, and makes the start of the same plan."""
    asked: list[Any] = []
    monkeypatch.setattr(keras_start, "start", asked.append)

    def make(*given: Any) -> Start:
        asked.append(given)
        return dataclasses.replace(START, facts={})

    monkeypatch.setattr(prepare, "make", make)
    content = json.dumps(dataclasses.asdict(PLAN))
    prepare.main("jax,torch", content, str(tmp_path))
    plan = dataclasses.replace(PLAN, precisions=[*PLAN.precisions], devices=[])  # as JSON has it
    assert asked == ["jax", (plan, NAMES)]
    assert Start.read(tmp_path).facts["backend"] == "jax"


def test_the_process_says_what_it_refuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error's line is on stdout, where the parent reads it, and the status is 2."""

    def refuse(name: str) -> None:
        raise UserError(f"{name} does not start")

    monkeypatch.setattr(keras_start, "start", refuse)
    with pytest.raises(SystemExit, match=r"^2$"):
        prepare.main("jax,torch", json.dumps(dataclasses.asdict(PLAN)), "nowhere")
    assert capsys.readouterr().out == "jax does not start\n"
