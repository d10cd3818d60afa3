"""Example runs, made without training."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from lenet_multi.config import TrainConfig, with_settings
from lenet_multi.data.metrics import count_correct, cross_entropy, errors
from lenet_multi.runs.folder import new_run_folder
from lenet_multi.runs.record import SCHEMA_VERSION, VERSIONS, Epoch, Result, Run, write_run

IMAGES, RIGHT = 1000, 990

STANDARD_FLOOR = 0.989  # for the recipe standard's test accuracy on real MNIST


def example_run(backend: str = "jax", *, right: int = RIGHT, seed: int = 0, **change: Any) -> Run:
    """Return a run with `right` right answers of 1,000; `change` replaces fields of its result."""
    labels = (np.arange(IMAGES) % 10).astype(np.uint8)
    answers = np.where(np.arange(IMAGES) < right, labels, (labels + 1) % 10)
    logits = np.eye(10, dtype=np.float32)[answers]
    correct = count_correct(logits, labels)
    result = _result(
        backend,
        schema_version=VERSIONS[0],
        config=dataclasses.asdict(TrainConfig(seed=seed)),
        epochs=example_epochs(1),
        test_correct=correct,
        test_accuracy=correct / IMAGES,
        test_loss=cross_entropy(logits, labels),
    )
    return Run(Path(backend), dataclasses.replace(result, **change), logits, labels)


def example_values_run(backend: str = "jax", *, error: float = 1.0, **change: Any) -> Run:
    """Return a regression's run, wrong by `error` on each of 1,000 examples.

    `change` replaces fields of its result. Its headline is the mean absolute error.
    """
    targets = (np.arange(IMAGES) % 10).astype(np.float32)
    outputs = (targets + np.float32(error))[:, np.newaxis]
    found = errors(outputs, targets)
    metric = "mean_absolute_error"
    result = _result(
        backend,
        schema_version=SCHEMA_VERSION,
        config=dataclasses.asdict(
            with_settings(TrainConfig(), {"architecture": "tests.guest:GUEST"})
        ),
        epochs=example_epochs(1, metric),
        test_correct=None,
        test_accuracy=None,
        test_loss=found["mean_squared_error"],
        test_metrics={metric: found[metric]} | found,
    )
    return Run(Path(backend), dataclasses.replace(result, **change), outputs, targets)


def _result(backend: str, **facts: Any) -> Result:
    """Return the record of a run, with `facts` about its model and its results."""
    return Result(
        backend=backend,
        versions={"keras": "3.15.1"},
        machine={"cores": 2},
        device="cpu",
        threads=2,
        keras_config={"floatx": "float32"},
        execution={"form": "stock", "jit_compile": False, "steps_per_execution": 1},
        data_sha256="d" * 64,
        train_images=57_000,
        validation_images=3_000,
        test_images=IMAGES,
        parameters=110,
        weights=[
            {"path": "dense/kernel", "shape": [10, 10], "dtype": "float32"},
            {"path": "dense/bias", "shape": [10], "dtype": "float32"},
        ],
        initial_weights_sha256="a" * 64,
        first_epoch_order_sha256="b" * 64,
        final_weights_sha256="c" * 64,
        seconds={"import": 1.0, "build_and_compile": 0.5, "train": 4.2, "evaluate": 0.1},
        peak_memory_bytes=500 * 2**20,
        **facts,
    )


def example_epochs(count: int, metric: str = "accuracy") -> list[Epoch]:
    """Return epochs whose losses fall and whose metric grows."""
    return [
        {
            "epoch": epoch,
            "loss": 0.2 / epoch,
            metric: 1 - 0.1 / epoch,
            "val_loss": 0.1 / epoch,
            f"val_{metric}": 1 - 0.05 / epoch,
            "train_seconds": 4.0,
            "validation_seconds": 0.2,
        }
        for epoch in range(1, count + 1)
    ]


def keep(run: Run, folder: Path, *, overwrite: bool = False) -> Path:
    """Write `run` to `folder`, with a stand-in for the model's file."""
    with new_run_folder(folder, overwrite=overwrite) as draft:
        write_run(dataclasses.replace(run, folder=draft), lambda path: Path(path).touch())
    return folder
