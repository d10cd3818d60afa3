"""How fast a model answers: evaluation and prediction of many images, latency of one image."""

import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.epoch import OURS
from benchmarks.record import Record
from lenet_multi.backends import choice
from lenet_multi.lenet.image_sets import load
from lenet_multi.lenet.recipes import RECIPES

ONE_BY_ONE = 50  # images per sample; the record is their mean


def measure(backend: str, *, what: str, way: str, images: int) -> Record:
    """Return images/s of "evaluation" or "prediction", or ms of "one image"."""
    task, units = _task(backend, what, way, images)
    began = time.perf_counter()
    task()
    seconds = time.perf_counter() - began
    if what == "one image":
        return Record(what, backend, way, "ms", [1000 * seconds / ONE_BY_ONE])
    return Record(what, backend, way, "images/s", [units / seconds], {"images": images})


@functools.cache
def _task(backend: str, what: str, way: str, images: int) -> tuple[Callable[[], object], int]:
    test = load().test[:images]
    scaled = np.divide(test.x, 255, dtype=np.float32)
    model, evaluate = _ours(backend, test) if way == OURS else _stock(scaled, test.y)
    tasks: dict[str, Callable[[], object]] = {
        "evaluation": evaluate,
        "prediction": lambda: model.predict(scaled, batch_size=500, verbose=0),
        "one image": lambda: [
            np.asarray(model.predict_on_batch(scaled[[i]])) for i in range(ONE_BY_ONE)
        ],
    }
    tasks[what]()  # compiles
    return tasks[what], len(test)


def _ours(backend: str, test: Any) -> tuple[Any, Callable[[], object]]:
    from lenet_multi.inference.evaluate import evaluate
    from lenet_multi.lenet.tasks import LENET
    from lenet_multi.training.setup import build, compile_model

    config = RECIPES["standard"]
    model = build(LENET, config, load())
    compile_model(model, LENET, config, choice.here(), examples=len(test))
    return model, lambda: evaluate(model, LENET, test)


def _stock(scaled: Any, labels: Any) -> tuple[Any, Callable[[], object]]:
    import keras

    from benchmarks.peers.stock import notebook_model

    model = notebook_model()
    one_hot = keras.utils.to_categorical(labels, 10)
    return model, lambda: model.evaluate(scaled, one_hot, verbose=0)
