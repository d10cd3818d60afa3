"""Made-up benches, and small models of a user."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lenet_multi.bench.result import Bench, Row, Stages
from lenet_multi.bench.ways import OURS, STOCK
from lenet_multi.config import TrainConfig

MODEL = """
import keras
import numpy as np

def build():
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse", metrics=["mae"])
    return model

def data():
    x = np.random.default_rng(0).normal(size=(200, 6)).astype("float32")
    return x, x[:, :1]

def misfit():
    return np.zeros((9, 7), "float32"), np.zeros((9, 1), "float32")

def broken():
    raise ValueError("no such thing")

def without_jax():
    if keras.backend.backend() == "jax":
        raise ValueError("it has no kernel for this")
    return build()

def bad_loss():
    model = build()
    model.compile("adam", {"nothing": "mse"})
    return model

class Stubborn(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.supports_jit = False

    def call(self, x):
        return x

def without_jit():
    model = build()
    model = keras.Sequential([keras.Input((6,)), *model.layers, Stubborn()])
    model.compile("adam", "mse")
    return model
"""


def write_model(folder: Path, name: str = "my_model.py") -> Path:
    """Write the small models to a file in `folder`, and return its path."""
    path = folder / name
    path.write_text(MODEL)
    return path


def row(backend: str, way: str, *step_ms: float, **more: Any) -> Row:
    """Return a row with the milliseconds of a step, a figure for each round."""
    seconds = {"import": 1.0, "data": 0.25, "build": 0.5, "first step": 2.0}
    given = {"seconds": seconds, "predict_ms": step_ms, "peak_mib": 400.0, **more}
    return Row(backend=backend, way=way, step_ms=step_ms, **given)


def stages(step: float, forward: float, both: float, **layers: float) -> Stages:
    """Return the stages of a step; a layer is called by its kind."""
    found = [{"name": kind.lower(), "kind": kind, "ms": ms} for kind, ms in layers.items()]
    return Stages(way=STOCK, step=step, forward=forward, forward_and_backward=both, layers=found)


def bench(rows: Sequence[Row], **more: Any) -> Bench:
    """Return a bench of `rows`."""
    given = {"stages": {}, "stopped_by": None, "threads": 1, **more}
    return Bench(
        model="my_model.py:build",
        config=TrainConfig(batch_size=32),
        rows=rows,
        rounds=3,
        machine={},
        seconds=9.0,
        parameters=1234,
        **given,
    )


THREE = (
    row("tensorflow", STOCK, 9.0, 9.2, 9.4),
    row("tensorflow", OURS, 8.0, 8.2, 8.4),
    row("jax", STOCK, 5.0, 5.1, 5.2),
    row("jax", OURS, 6.0, 6.1, 6.2),
    row("torch", STOCK, 4.0, 4.1, 4.2),
    row("torch", OURS, 2.0, 2.1, 2.2),
)
