"""Seconds of a training epoch in steady state, for each way of training on this backend.

An epoch ends when the result of its last step is available. Compilation and the first batches run
before it and are not timed. Each epoch trains on MNIST's first images, in shuffled batches.
"""

import dataclasses
import functools
import importlib
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.record import Record
from lenet_multi.backends import choice
from lenet_multi.backends.choice import STEPS_PER_EXECUTION
from lenet_multi.backends.choice import STOCK as STOCK_FORM
from lenet_multi.data.examples import Examples, epoch_order
from lenet_multi.lenet.image_sets import load
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.machine import measured
from lenet_multi.machine.keras_start import CPU, GPU

OURS, OURS_BFLOAT16 = "ours", "ours, bfloat16"
WATCHED, SAVED = "ours, watched", "ours, saved"  # with checkpoints: never due, or often
OURS_AGAIN = "ours, the second time"  # in a second process, with the first one's compiled programs
STOCK = "stock fit"
BY_HAND = "by hand: "

# The loops of `peers` by device and backend, the fastest first. Names are keys of LOOPS there.
LOOPS = {
    CPU: {
        "tensorflow": ("xla", "graph", "bfloat16"),
        "jax": ("winograd", "convolution", "bfloat16"),
        "torch": ("recorded", "eager", "compile", "bfloat16"),
    },
    GPU: {
        "tensorflow": ("xla", "graph", "bfloat16"),
        "jax": ("convolution", "bfloat16"),
        "torch": ("recorded", "compile", "eager", "bfloat16"),
    },
}
SLOW = {CPU: {"convolution", "compile"}, GPU: set()}  # slow to compute or to compile

SAVED_EVERY = STEPS_PER_EXECUTION[CPU]
NEVER = 10**9

FEW = 500  # validation images; their time does not count
FIRST_BATCHES = 20

Train = Callable[[int], float]  # train on the first N images; return the seconds


def ways(
    backend: str,
    device: str,
    *,
    beside: bool = True,
    slow: bool = True,
    kept: bool = True,
    pairs: int = 1,
) -> list[str]:
    """Return the names of the ways to train on `backend`; compared ways are neighbours.

    Stock is always there, and so are ours and the fastest loop by hand, in turn, `pairs` times. If
    `kept`, ours with checkpoints comes first. If `beside`, the other ways come last; `slow`
    includes the slow loops.
    """
    loops = [name for name in LOOPS[device][backend] if slow or name not in SLOW[device]]
    fastest, *others = (BY_HAND + name for name in loops)
    checkpoints = [SAVED, WATCHED] if kept else []
    last = [OURS_BFLOAT16, *others] if beside else []
    return [*checkpoints, *(OURS, fastest) * pairs, STOCK, *last]


def is_bfloat16(way: str) -> bool:
    """Return whether a way computes in bfloat16."""
    return way.endswith("bfloat16")


def measure(backend: str, *, way: str, images: int, batch_size: int) -> Record:
    """Return the seconds of one more epoch on `images` images."""
    train, context = _prepared(backend, way, images, batch_size)
    return Record(
        "epoch",
        backend,
        way,
        "s",
        [train(images)],
        {"images": images, "batch_size": batch_size, **context},
    )


@functools.cache
def _prepared(backend: str, way: str, images: int, batch_size: int) -> tuple[Train, dict[str, Any]]:
    """Return a way's training function, compiled and warmed up, and its description."""
    dataset = load()
    training, validation = dataset.train[:images], dataset.test[:FEW]
    if way == STOCK:
        train, context = _stock(training, validation, batch_size)
    elif way.startswith(BY_HAND):
        train, context = _by_hand(backend, training, batch_size, way.removeprefix(BY_HAND))
    else:
        every = {WATCHED: NEVER, SAVED: SAVED_EVERY}.get(way)
        train, context = _ours(backend, training, validation, batch_size, is_bfloat16(way), every)
    train(min(images, FIRST_BATCHES * batch_size + images % batch_size))  # compiles both sizes
    return train, context


def _ours(
    backend: str,
    training: Examples,
    validation: Examples,
    batch_size: int,
    bfloat16: bool,
    save_every: int | None,
) -> tuple[Train, dict[str, Any]]:
    import keras

    from lenet_multi.lenet.tasks import LENET
    from lenet_multi.training.fit import fit
    from lenet_multi.training.resume import Keeping
    from lenet_multi.training.setup import build, compile_model

    policy = "mixed_bfloat16" if bfloat16 else "float32"
    config = dataclasses.replace(
        RECIPES["standard"],
        epochs=1,
        batch_size=batch_size,
        dtype_policy=policy,
        save_every=str(save_every or NEVER),
    )
    if bfloat16:
        measured.measure_bfloat16(backend)
    how = choice.here(batch_size=batch_size, dtype_policy=policy)
    keras.config.set_dtype_policy(policy)
    model = build(LENET, config, load())
    keras.config.set_dtype_policy("float32")
    how = compile_model(model, LENET, config, how, examples=len(load().train))

    def train(images: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            keeping = Keeping(Path(folder), data_sha256="") if save_every else None
            fitted = fit(model, LENET, training[:images], validation, config, keeping=keeping)
        return fitted.epochs[0]["train_seconds"]

    context = {**dataclasses.asdict(how), "precision": policy, "layout": "channels_last"}
    return train, context | ({"save_every": save_every} if save_every else {})


def _stock(
    training: Examples, validation: Examples, batch_size: int
) -> tuple[Train, dict[str, Any]]:
    from benchmarks.peers.stock import notebook_arrays, notebook_model
    from lenet_multi.training.history import EpochHistory

    model = notebook_model()
    x, y = notebook_arrays(training.x, training.y)
    validation_data = notebook_arrays(validation.x, validation.y)

    def train(images: int) -> float:
        history = EpochHistory()
        model.fit(
            x[:images],
            y[:images],
            batch_size=batch_size,
            validation_data=validation_data,
            callbacks=[history],
            verbose=0,
        )
        return history.epochs[0]["train_seconds"]

    return train, {
        "form": STOCK_FORM,
        "jit_compile": model.jit_compile,
        "steps_per_execution": 1,
        "precision": "float32",
        "layout": "channels_last",
    }


def _by_hand(
    backend: str, training: Examples, batch_size: int, name: str
) -> tuple[Train, dict[str, Any]]:
    loops = importlib.import_module(f"benchmarks.peers.{backend}_loop").LOOPS
    epoch = loops[name](training.x, training.y, batch_size)
    epochs = count()

    def train(images: int) -> float:
        order = epoch_order(images, seed=0, epoch=next(epochs))
        began = time.perf_counter()
        epoch(order)
        return time.perf_counter() - began

    return train, {"form": name, "precision": "bfloat16" if is_bfloat16(name) else "float32"}
