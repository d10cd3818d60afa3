import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.lenet.tasks import LENET
from lenet_multi.train import TrainedRun
from tests.conftest import train_quietly

pytestmark = pytest.mark.backend

PATIENCE = 2


@pytest.fixture(scope="module")
def astray(
    backend: str, small: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainedRun, Path, Dataset]:
    """A run with random training labels: the more it learns, the worse it validates."""
    labels = np.random.default_rng(0).permutation(small.train.y)
    dataset = Dataset(Examples(small.train.x, labels), small.test)
    folder = tmp_path_factory.mktemp("astray")
    config = TrainConfig(
        lr_schedule="constant",
        validation_split=0.2,
        epochs=20,
        checkpoint="best",
        early_stopping=PATIENCE,
    )
    return train_quietly(config, dataset, backend, folder), folder, dataset


def test_every_epoch_leaves_a_checkpoint(kept: tuple[TrainedRun, Path]) -> None:
    """Each epoch's model is kept; the last one has the run's weights."""
    import keras

    run, folder = kept
    paths = sorted((folder / "checkpoints").iterdir())
    assert [path.name for path in paths] == ["epoch-001.keras", "epoch-002.keras"]
    first, last = (keras.models.load_model(path).get_weights() for path in paths)
    assert all(map(np.array_equal, last, run.model.get_weights()))
    assert not np.array_equal(first[0], last[0])


def test_patience_ends_a_training_astray(astray: tuple[TrainedRun, Path, Dataset]) -> None:
    """Training ends that many epochs after the best one, with the best epoch's model."""
    import keras

    from lenet_multi.inference.evaluate import evaluate

    run, folder, dataset = astray
    losses = [epoch["val_loss"] for epoch in run.result.epochs]
    assert len(losses) == int(np.argmin(losses)) + 1 + PATIENCE < 20
    (path,) = (folder / "checkpoints").iterdir()
    assert path.name == "best.keras"
    for model in (run.model, keras.models.load_model(path)):
        found = evaluate(model, LENET, dataset.train[800:])
        # Keras takes the mean over batches in float32; measured 1e-6.
        assert found.loss == pytest.approx(min(losses), rel=1e-4)


def test_a_checkpoint_is_free_of_its_backend(kept: tuple[TrainedRun, Path]) -> None:
    """The file's optimizer is Keras's documented class, so every backend can continue."""
    with zipfile.ZipFile(kept[1] / "checkpoints" / "epoch-001.keras") as archive:
        compiled = json.loads(archive.read("config.json"))["compile_config"]
    assert compiled["optimizer"]["module"] == "keras.optimizers"
    assert (compiled["jit_compile"], compiled["steps_per_execution"]) == ("auto", 1)
