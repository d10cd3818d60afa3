import asyncio
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from lenet_multi.commands.demo import worker
from lenet_multi.commands.demo.process import BackendProcess, command
from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError
from lenet_multi.inference import predict, saved
from lenet_multi.machine import frameworks, keras_start
from lenet_multi.machine.frameworks import installed_version
from lenet_multi.runs.record import read_run
from tests.stand_ins import Calls

IMAGES = 50

ROUNDING = 1e-5  # of probabilities; measured 1e-6, because another form trained the run


MODEL = Path("a/model.keras")
FITS = {"input_shape": (None, 28, 28, 1), "output_shape": (None, 10)}


def loaded(monkeypatch: pytest.MonkeyPatch, calls: Calls, row: Any = None, **shapes: Any) -> Any:
    """Return the function that asks a stand-in for a model, which answers `row`."""
    network = SimpleNamespace(**{**FITS, **shapes})
    found = SimpleNamespace(load=lambda: network, task="its task")
    monkeypatch.setattr(keras_start, "start", calls.of("start"))
    monkeypatch.setattr(saved, "find", calls.of("find", found))
    monkeypatch.setattr(predict, "probabilities", calls.of("ask", [row]))
    return worker.load("jax", MODEL), network


def test_a_model_is_asked_for_one_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras starts on the backend, and the answer is the image's probabilities."""
    calls, row = Calls(), np.eye(10)[7]
    ask, network = loaded(monkeypatch, calls, row)
    assert calls == [("start", "jax", {}), ("find", MODEL, {})]
    image = np.arange(784).astype(np.uint8).reshape(28, 28)
    np.testing.assert_array_equal(ask(image), row)
    ((name, asked, task, images, named),) = calls[2:]
    assert (name, asked, task, named) == ("ask", network, "its task", {})
    np.testing.assert_array_equal(images, image[np.newaxis, :, :, np.newaxis])


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"output_shape": (None, 26)}, "(28, 28, 1) to (26,)"),
        ({"input_shape": (None, 32, 32, 1)}, "(32, 32, 1) to (10,)"),
    ],
    ids=["classes", "size"],
)
def test_other_shapes_are_named(
    monkeypatch: pytest.MonkeyPatch, shapes: dict[str, Any], words: str
) -> None:
    """The error says what the model maps, and what the demo needs."""
    with pytest.raises(UserError) as raised:
        loaded(monkeypatch, Calls(), **shapes)
    assert str(raised.value) == (
        f"{MODEL} maps shape {words}, the demo needs (28, 28, 1) to (10,); give a model of MNIST"
    )


def test_one_answer_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the model."""
    ask, _ = loaded(monkeypatch, Calls(), np.array([1.0, np.nan]))
    with pytest.raises(UserError) as raised:
        ask(np.zeros((28, 28), np.uint8))
    words = f"{MODEL} answers NaN: its run diverged; give another model"
    assert str(raised.value) == words


def test_requests_are_images_and_answers_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line comes after a first image, which compiles; what libraries print is apart."""
    calls, answers, images = Calls(), io.StringIO(), []

    def network(image: Any) -> Any:
        images.append(image)
        return np.eye(10)[image[0, 0]]

    monkeypatch.setattr(os, "dup", calls.of("dup", 99))
    monkeypatch.setattr(os, "dup2", calls.of("dup2"))
    monkeypatch.setattr(os, "fdopen", calls.of("fdopen", answers))
    monkeypatch.setattr(worker, "load", calls.of("load", network))
    monkeypatch.setattr(frameworks, "installed_version", {"jax": "0.10"}.get)
    asked = np.stack([np.full((28, 28), level, np.uint8) for level in (7, 3)])
    asked[:, 1, 0] = 200  # a row is a row
    stdin = SimpleNamespace(buffer=io.BytesIO(asked.tobytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    clock = SimpleNamespace(perf_counter=iter([1.0, 1.5, 2.0, 2.25]).__next__)
    monkeypatch.setattr(worker, "time", clock)
    worker.serve("jax", MODEL)
    assert calls == [
        ("dup", 1, {}),
        ("fdopen", 99, "w", {"buffering": 1}),
        ("dup2", 2, 1, {}),
        ("load", "jax", MODEL, {}),
    ]
    first, *told = map(json.loads, answers.getvalue().splitlines())
    assert first == {"version": "0.10"}
    assert [answer.pop("milliseconds") for answer in told] == [500, 250]
    assert told == [
        {"answer": level, "probabilities": np.eye(10)[level].tolist()} for level in (7, 3)
    ]
    np.testing.assert_array_equal(images, [np.zeros((28, 28), np.uint8), *asked])
    assert {image.dtype for image in images} == {np.dtype(np.uint8)}


@pytest.mark.backend
def test_a_worker_answers_as_the_run_did(backend: str, small_run: Path, small: Dataset) -> None:
    """The process gives each image the probabilities that the run recorded for it."""
    images = small.test.x[:IMAGES]

    async def ask() -> list[dict[str, Any]]:
        process = BackendProcess(backend, "a run", command(backend, small_run))
        running = asyncio.create_task(process.run())
        while not process.version:
            assert not process.failure, process.failure
            await asyncio.sleep(0.02)
        answers = [await process.ask(image.tobytes()) for image in images]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return answers

    answers = asyncio.run(ask())
    recorded = softmax(read_run(small_run).outputs[:IMAGES].astype(np.float64), axis=1)
    found = np.array([answer["probabilities"] for answer in answers])
    np.testing.assert_allclose(found, recorded, atol=ROUNDING)
    assert [answer["answer"] for answer in answers] == recorded.argmax(axis=1).tolist()
    assert all(answer["milliseconds"] > 0 for answer in answers)


@pytest.mark.backend
@pytest.mark.any_backend
def test_a_worker_ends_when_it_is_asked_no_more(
    backend: str, small_run: Path, small: Dataset
) -> None:
    """It answers each question before the end of stdin with a line, and exits with status 0."""
    asked = small.test.x[:2].tobytes()
    command_line = command(backend, small_run)
    done = subprocess.run(command_line, input=asked, capture_output=True, check=True)
    first, *answers = map(json.loads, done.stdout.splitlines())
    assert first == {"version": installed_version(backend)}
    recorded = read_run(small_run).outputs[:2].argmax(axis=1).tolist()
    assert [answer["answer"] for answer in answers] == recorded


@pytest.mark.backend
@pytest.mark.parametrize(
    ("shape", "classes"),
    [((28, 28, 1), 26), ((32, 32, 1), 10), ((28, 28, 3), 10)],
    ids=["classes", "size", "colours"],
)
def test_a_model_of_other_images_is_refused(
    backend: str, tmp_path: Path, shape: tuple[int, ...], classes: int
) -> None:
    """The error names a model without inputs of 28x28x1 or without ten classes."""
    path = save(tmp_path, shape, classes)
    with pytest.raises(UserError, match=r"the demo needs \(28, 28, 1\) to \(10,\); give a model"):
        worker.load(backend, path)


@pytest.mark.backend
def test_a_model_that_diverged_is_refused(backend: str, tmp_path: Path) -> None:
    """The error says that its answers are NaN."""
    network = worker.load(backend, save(tmp_path, bias="nan"))
    with pytest.raises(UserError, match="its run diverged; give another model"):
        network(np.zeros((28, 28), np.uint8))


def save(
    folder: Path, shape: tuple[int, ...] = (28, 28, 1), classes: int = 10, bias: str = "0"
) -> Path:
    """Write a model of one layer; return its file."""
    import keras

    last = keras.layers.Dense(
        classes, bias_initializer=keras.initializers.Constant(float(bias)), name="last"
    )
    path = folder / "model.keras"
    keras.Sequential([keras.Input(shape), keras.layers.Flatten(), last]).save(path)
    return path
