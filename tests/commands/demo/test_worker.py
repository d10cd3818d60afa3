import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from lenet_multi.commands.demo import worker
from lenet_multi.commands.demo.process import BackendProcess, command
from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError
from lenet_multi.machine.frameworks import installed_version
from lenet_multi.runs.record import read_run

pytestmark = pytest.mark.backend

IMAGES = 50

ROUNDING = 1e-5  # of probabilities; measured 1e-6, because another form trained the run


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
