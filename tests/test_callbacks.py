import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.config import STEP_FACTOR, STEPS_DOWN, TrainConfig
from lenet_multi.data import Dataset, split
from lenet_multi.runs import Epoch

pytestmark = pytest.mark.backend

PATIENCE = 2
# So that training goes astray: the rate is far too large.
ASTRAY = {"learning_rate": 0.03, "lr_schedule": "constant", "validation_split": 0.2, "epochs": 6}


def trained(backend: str, small: Dataset, folder: Path, **settings: Any) -> tuple[Any, list[Epoch]]:
    """Return the model and its epochs after a training that keeps in `folder` what is asked."""
    from lenet_multi.train import train

    run = train(
        dataclasses.replace(TrainConfig(), **settings),
        lambda: small,
        backend=backend,
        folder=folder,
        announce=lambda line: None,
        quiet=True,
    )
    return run.model, run.result.epochs


def validation_loss(model: Any, small: Dataset) -> float:
    """Return the loss of `model` on the validation images of a run astray."""
    from lenet_multi.evaluate import evaluate

    _, validation = split(small.train, ASTRAY["validation_split"])
    return evaluate(model, validation).loss


def test_every_epoch_leaves_a_checkpoint(backend: str, small: Dataset, tmp_path: Path) -> None:
    """Each epoch's model is kept; the last one's weights are those of the run."""
    import keras

    model, _ = trained(backend, small, tmp_path, checkpoint="every-epoch", epochs=2)
    kept = sorted((tmp_path / "checkpoints").iterdir())
    assert [path.name for path in kept] == ["epoch-001.keras", "epoch-002.keras"]
    first, last = (keras.models.load_model(path).get_weights() for path in kept)
    assert all(map(np.array_equal, last, model.get_weights()))
    assert not np.array_equal(first[0], last[0])


def test_the_best_is_kept_and_training_ends_there(
    backend: str, small: Dataset, tmp_path: Path
) -> None:
    """Patience ends a training astray, and the model, kept too, is that of the best epoch."""
    import keras

    model, epochs = trained(
        backend, small, tmp_path, checkpoint="best", early_stopping=PATIENCE, **ASTRAY
    )
    losses = [epoch["val_loss"] for epoch in epochs]
    assert len(losses) == int(np.argmin(losses)) + 1 + PATIENCE < ASTRAY["epochs"]
    (kept,) = (tmp_path / "checkpoints").iterdir()
    assert kept.name == "best.keras"
    # Keras's mean over batches in float32; measured 1e-6.
    assert validation_loss(model, small) == pytest.approx(min(losses), rel=1e-4)
    assert validation_loss(keras.models.load_model(kept), small) == pytest.approx(
        min(losses), rel=1e-4
    )


def test_a_checkpoint_is_free_of_its_backend(backend: str, small: Dataset, tmp_path: Path) -> None:
    """The optimizer in the file is Keras's documented one, which every backend can go on with."""
    import json
    import zipfile

    trained(backend, small, tmp_path, checkpoint="best", epochs=1)
    with zipfile.ZipFile(tmp_path / "checkpoints" / "best.keras") as archive:
        compiled = json.loads(archive.read("config.json"))["compile_config"]
    assert compiled["optimizer"]["module"] == "keras.optimizers"
    assert (compiled["jit_compile"], compiled["steps_per_execution"]) == ("auto", 1)


@pytest.mark.usefixtures("backend")
def test_the_rate_steps_down() -> None:
    """It falls to a tenth after half the steps, and again after three quarters."""
    import keras

    from lenet_multi.model import make_optimizer

    config = TrainConfig(lr_schedule="step", epochs=4, batch_size=10)
    rate = make_optimizer(config, training_images=50)._learning_rate
    rates = [float(keras.ops.convert_to_numpy(rate(step))) for step in range(20)]
    halfway, later = (round(share * 20) for share in STEPS_DOWN)
    expected = config.learning_rate * np.array(
        [1] * halfway + [STEP_FACTOR] * (later - halfway) + [STEP_FACTOR**2] * (20 - later)
    )
    np.testing.assert_allclose(rates, expected, rtol=1e-6)  # float32's digits


def test_without_a_folder_nothing_is_kept(backend: str, small: Dataset, tmp_path: Path) -> None:
    """Asked or not, a training that was given no folder writes no file."""
    from lenet_multi.train import train

    config = TrainConfig(epochs=1, checkpoint="best", tensorboard=True)
    train(config, lambda: small, backend=backend, announce=lambda line: None, quiet=True)
    assert list(tmp_path.iterdir()) == []
