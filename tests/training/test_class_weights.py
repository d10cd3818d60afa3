"""Weights of classes in training: each way computes what Keras's `class_weight` does."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.config import TrainConfig
from lenet_multi.data.class_weights import balanced
from lenet_multi.data.examples import Dataset, epoch_order, split
from lenet_multi.lenet.pixels import scaled
from lenet_multi.lenet.tasks import LENET
from lenet_multi.runs.record import read_run
from lenet_multi.train import TrainedRun, train
from tests.conftest import Lenet, train_quietly
from tests.training.test_resume import assert_same

pytestmark = pytest.mark.backend

CONFIG = TrainConfig(
    architecture="softmax-regression", epochs=2, batch_size=50, class_weights="balanced"
)

ROUNDING = 1e-5  # relative to the largest weight; measured 2e-7
OTHERWISE = 1e-2  # relative to it too: training without weights differs by more


@pytest.fixture(scope="module")
def uneven(small: Dataset) -> Dataset:
    """The small images with few of the digits from 5 on, and none of the digit 9."""
    y = small.train.y
    kept = np.flatnonzero((y < 5) | ((y < 9) & (np.arange(len(y)) % 6 == 0)))
    return Dataset(small.train[kept], small.test)


def apart(run: TrainedRun, weights: list[Any]) -> float:
    """Return the largest difference of a run's weights from others, over the largest weight."""
    pairs = zip(run.model.get_weights(), weights, strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def by_keras(config: TrainConfig, dataset: Dataset, *, weighs: bool = True) -> list[Any]:
    """Return the weights after Keras's own `fit` with `class_weight`, on the same batches."""
    from lenet_multi.training.setup import build, make_optimizer

    training, _ = split(dataset, config)
    by_class = {int(label): weight for label, weight in balanced(training)[1].items()}
    model = build(LENET, config, dataset)
    steps = config.epochs * config.steps_per_epoch(len(training))
    optimizer = make_optimizer(config, steps=steps, kerass=True)
    model.compile(optimizer, LENET.loss(config))
    for epoch in range(config.epochs):
        some = training[epoch_order(len(training), seed=config.seed, epoch=epoch)]
        model.fit(
            scaled(some.x),
            some.y,
            batch_size=config.batch_size,
            shuffle=False,
            verbose=0,
            class_weight=by_class if weighs else None,
        )
    found: list[Any] = model.get_weights()
    return found


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
@pytest.mark.parametrize("form", [None, "stock"], ids=["fastest", "stock"])
def test_class_weights_compute_what_keras_does(
    uneven: Dataset, backend: str, form: str | None, loss: str
) -> None:
    """The fast way and stock Keras end where `fit(class_weight=...)` ends, within rounding."""
    config = dataclasses.replace(CONFIG, loss=loss)
    run = train(
        config, lambda: uneven, backend=backend, form=form, announce=lambda line: None, quiet=True
    )
    sparse = dataclasses.replace(config, loss="sparse_categorical_crossentropy")
    assert apart(run, by_keras(sparse, uneven)) < ROUNDING
    assert apart(run, by_keras(sparse, uneven, weighs=False)) > OTHERWISE


def test_the_lenet_weighs_in_its_own_forms(uneven: Dataset, backend: str) -> None:
    """Winograd's form and an epoch's smaller last batch weigh the same as stock Keras."""
    config = dataclasses.replace(CONFIG, architecture="lenet", epochs=1)
    run = train_quietly(config, uneven, backend)
    assert len(uneven.train) * 0.95 % config.batch_size
    assert apart(run, by_keras(config, uneven)) < 1e-3  # a decision of ReLU may turn
    assert apart(run, by_keras(config, uneven, weighs=False)) > OTHERWISE


def test_a_resumed_run_weighs_too(uneven: Dataset, backend: str, tmp_path: Path) -> None:
    """A run continued within an epoch ends with the same bits, and records the same weights."""
    from lenet_multi.runs import checkpoint

    config = dataclasses.replace(CONFIG, save_every="7", batch_size=5)
    whole = train_quietly(config, uneven, backend, tmp_path)
    newest, _ = sorted((tmp_path / "resume").iterdir(), reverse=True)
    newest.unlink()
    state = checkpoint.read(newest.parent, pytest.fail)
    assert state
    again = train_quietly(config, uneven, backend, tmp_path, state)
    assert_same(again, whole)
    assert again.result.class_weights == whole.result.class_weights


@pytest.mark.any_backend
def test_the_command_records_the_weights(
    uneven: Dataset, backend: str, lenet: Lenet, tmp_path: Path
) -> None:
    """result.json has the weight of each class that has training labels."""
    path = tmp_path / "uneven.npz"
    sides = {"x_train": uneven.train.x, "y_train": uneven.train.y}
    np.savez(path, **sides, x_test=uneven.test.x, y_test=uneven.test.y)
    done = lenet(
        *("train", "--architecture", "softmax-regression", "--epochs", 1, "--data", path),
        *("--class-weights", "balanced", "--out", "a-run"),
    )
    assert done.returncode == 0, done.stderr
    result = read_run(tmp_path / "a-run").result
    training, _ = split(uneven, CONFIG)
    assert result.class_weights == balanced(training)[1]
    assert [*result.class_weights] == [str(digit) for digit in range(9)]
    assert result.config["class_weights"] == "balanced"


OWN = """
import keras
import numpy as np

def build():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model

def data():
    x = np.random.default_rng(0).normal(size=(400, 3)).astype("float32")
    return x, (x.sum(axis=1, keepdims=True) > 2).astype("float32")

def values():
    x, _ = data()
    return x, x[:, :1] * 0.3
"""


@pytest.mark.any_backend
@pytest.mark.usefixtures("backend")
def test_a_users_model_weighs_its_labels(lenet: Lenet, tmp_path: Path) -> None:
    """Labels 0.0 and 1.0 of a user's model weigh in a fast way; values are refused in one line."""
    (tmp_path / "my_model.py").write_text(OWN)
    model = ("train", "my_model.py:build", "--class-weights", "balanced")
    done = lenet(*model, "--data", "my_model.py:data", "--epochs", 2, "--out", "a-run")
    assert done.returncode == 0, done.stderr
    assert "stock Keras" not in done.stdout
    weights = read_run(tmp_path / "a-run").result.class_weights
    assert weights["1"] > 2 > 1 > weights["0"]
    done = lenet(*model, "--data", "my_model.py:values", "--epochs", 2, "--out", "b-run")
    assert done.returncode == 2
    assert "but the targets are float32 1; drop it" in done.stderr
    assert "Traceback" not in done.stderr


def test_validation_does_not_weigh(uneven: Dataset, backend: str) -> None:
    """Class weights change the training loss but not the validation loss."""
    config = dataclasses.replace(CONFIG, learning_rate=1e-12, epochs=1)
    weighted = train_quietly(config, uneven, backend).result.epochs[0]
    plain = train_quietly(
        dataclasses.replace(config, class_weights="none"), uneven, backend
    ).result.epochs[0]
    assert weighted["val_loss"] == pytest.approx(plain["val_loss"], rel=1e-6)
    assert weighted["loss"] != pytest.approx(plain["loss"], rel=1e-4)
