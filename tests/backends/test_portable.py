import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.backends.choice import execution
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.lenet.tasks import LENET
from tests.backends.models import fast

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]


def config_of(path: Path) -> dict[str, Any]:
    """Return the configuration in a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        return dict(json.loads(archive.read("config.json")))


def saved(model: Any, folder: Path) -> Path:
    """Save a fast `model`, and return its file."""
    fast(model)
    model.save(folder / "model.keras")
    assert [path.name for path in folder.iterdir()] == ["model.keras"]
    return folder / "model.keras"


def layer() -> Any:
    """Return a model of one layer."""
    import keras

    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])


def test_a_saved_model_asks_each_backend_how_to_compile(
    backend: str, small: Dataset, tmp_path: Path
) -> None:
    """The file says "auto" where Keras alone would write this backend's answer, and loads.

    Nor does it name torch's own class of Adam, which no other backend can load or step.
    """
    import keras

    from lenet_multi.training.setup import build, compile_model

    model = build(LENET, TrainConfig(), small)
    compile_model(model, LENET, TrainConfig(), execution(backend), examples=128)
    model.save(tmp_path / "model.keras")
    config = config_of(tmp_path / "model.keras")
    compile_config = config["compile_config"]
    assert "keras.src.backend" not in json.dumps(config)
    assert compile_config["optimizer"]["module"] == "keras.optimizers"
    assert (compile_config["jit_compile"], compile_config["steps_per_execution"]) == ("auto", 1)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert loaded.jit_compile == (backend == "jax")


@pytest.mark.parametrize("optimizer", ["SGD", "RMSprop", "AdamW", "Adagrad", "Nadam", "Adam"])
def test_a_file_is_bound_to_no_backend(optimizer: str, tmp_path: Path) -> None:
    """The file's optimizer is Keras's class, which every backend has."""
    import keras

    model = layer()
    model.compile(optimizer=getattr(keras.optimizers, optimizer)(0.01), loss="mse")
    kept = config_of(saved(model, tmp_path))["compile_config"]["optimizer"]
    named = {name: kept[name] for name in ("module", "class_name", "registered_name")}
    assert named == {
        "module": "keras.optimizers",
        "class_name": optimizer,
        "registered_name": None,
    }


def test_somebody_elses_optimizer_keeps_its_name(tmp_path: Path) -> None:
    """A user's optimizer stays, even if it has the name of one of Keras's."""
    import keras

    class Adam(keras.optimizers.Adam):  # type: ignore[misc]  # Keras carries no types
        pass

    model = layer()
    model.compile(optimizer=Adam(0.01), loss="mse")
    kept = config_of(saved(model, tmp_path))["compile_config"]["optimizer"]
    assert kept["module"] != "keras.optimizers"


def test_a_model_that_is_not_compiled_is_saved_as_it_is(tmp_path: Path) -> None:
    """A model that is not compiled is saved exactly as the stock model."""
    model = layer()
    (tmp_path / "ours").mkdir()
    ours = saved(model, tmp_path / "ours")
    stock = tmp_path / "stock.keras"
    model.__class__ = model.fast.stock
    model.save(stock)
    with zipfile.ZipFile(ours) as one, zipfile.ZipFile(stock) as two:
        assert one.namelist() == two.namelist()
        for name in ("config.json", "model.weights.h5"):
            assert len(one.read(name)) == len(two.read(name))
    assert config_of(ours) == config_of(stock)


def test_a_file_of_another_kind_is_left_as_it_is(tmp_path: Path) -> None:
    """Keras saves and loads it as usual."""
    import keras

    model = layer()
    fast(model)
    model.save(tmp_path / "model.h5")
    loaded = keras.saving.load_model(tmp_path / "model.h5")
    assert all(map(np.array_equal, loaded.get_weights(), model.get_weights()))
