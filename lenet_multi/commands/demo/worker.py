"""The process of one backend: `python -m lenet_multi.commands.demo.worker BACKEND MODEL`.

A request on stdin is the 784 bytes of one image, row by row. The answer on stdout is a line of
JSON. The first line on stdout, before any request, says that the model is loaded and compiled.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_multi.errors import UserError
from lenet_multi.inference import saved
from lenet_multi.lenet.photographs.placing import SIDE
from lenet_multi.machine import frameworks, keras_start

DIGITS = 10

Network = Callable[[NDArray[np.uint8]], NDArray[np.float64]]


def load(backend: str, model: Path) -> Network:
    """Return the saved `model` on `backend`: a function from image (28, 28) to probabilities (10,).

    Raises `UserError` when it cannot be loaded or has other input or output shapes.
    """
    keras_start.start(backend)
    from lenet_multi.inference.predict import probabilities

    found = saved.find(model)
    network, task = found.load(), found.task
    shapes = network.input_shape[1:], network.output_shape[1:]
    if shapes != ((SIDE, SIDE, 1), (DIGITS,)):
        raise UserError(
            f"{model} maps shape {shapes[0]} to {shapes[1]}, the demo needs {(SIDE, SIDE, 1)} to "
            f"{(DIGITS,)}; give a model of MNIST"
        )

    def ask(image: NDArray[np.uint8]) -> NDArray[np.float64]:
        (row,) = probabilities(network, task, image.reshape(1, SIDE, SIDE, 1))
        if not np.isfinite(row).all():
            raise UserError(f"{model} answers NaN: its run diverged; give another model")
        return np.asarray(row)

    return ask


def serve(backend: str, model: Path) -> None:
    """Answer until stdin ends; it ends with the parent, whatever ends that."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)  # flushes each line
    os.dup2(2, 1)  # libraries' prints go to stderr
    network = load(backend, model)
    network(np.zeros((SIDE, SIDE), np.uint8))  # compiles
    print(json.dumps({"version": frameworks.installed_version(backend)}), file=answers)
    while request := sys.stdin.buffer.read(SIDE * SIDE):
        image = np.frombuffer(request, np.uint8).reshape(SIDE, SIDE)
        began = time.perf_counter()
        probabilities = network(image)
        milliseconds = 1000 * (time.perf_counter() - began)
        answer = {
            "answer": int(probabilities.argmax()),
            "probabilities": probabilities.tolist(),
            "milliseconds": milliseconds,
        }
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    try:
        serve(sys.argv[1], Path(sys.argv[2]))
    except UserError as error:
        sys.exit(str(error))
