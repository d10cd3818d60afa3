from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.errors import UserError
from lenet_multi.own import keras_file

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]


def network(units: int = 5, *, deep: bool = False, normal: bool = True) -> Any:
    """Return a model with layers that have state, and with as many weights as asked."""
    import keras

    layers = keras.layers
    stack = [keras.Input((4,)), layers.Dense(units, activation="relu"), layers.Dropout(0.5)]
    stack += [layers.BatchNormalization()] if normal else []
    stack += [layers.Dense(units)] if deep else []
    return keras.Sequential([*stack, layers.Dense(2)])


def trained(folder: Path, **settings: Any) -> tuple[Any, Path]:
    """Return a model that was trained, and its file, which has an optimizer's state too."""
    model = network(**settings)
    model.compile("adam", "mse")
    model.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0)
    path = folder / "model.keras"
    model.save(path)
    return model, path


def test_a_file_gives_all_of_its_weights(tmp_path: Path) -> None:
    """Moving means too come from the file, and the optimizer of the file is not looked at."""
    model, path = trained(tmp_path)
    other = network()
    keras_file.fill(other, path, "mine")
    for wanted, found in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_compiled_model_gets_the_optimizers_state(tmp_path: Path) -> None:
    """Moments and steps come from the file."""
    import keras

    model, path = trained(tmp_path)
    other = network()
    other.compile("adam", "mse")
    other.optimizer.build(other.trainable_variables)
    keras_file.fill(other, path, "mine", optimizer=True)
    for wanted, found in zip(model.optimizer.variables, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (found, wanted)))
    assert int(keras.ops.convert_to_numpy(other.optimizer.iterations)) == 1


@pytest.mark.parametrize(
    ("of_file", "of_model", "message"),
    [
        ({"units": 3}, {}, "it has layers/batch_normalization/vars/0 3, the model has"),
        ({"deep": True}, {}, "the model has layers/dense_1/vars/0 5x2"),
        ({"normal": False}, {}, "it has no layers/batch_normalization/vars/0, the model has"),
        ({}, {"normal": False}, "vars/0 5, the model has no layers/batch_normalization/vars/0"),
    ],
    ids=["other sizes", "a layer more", "lacks a layer", "one that the model lacks"],
)
def test_a_file_of_another_architecture_is_refused(
    of_file: dict[str, Any], of_model: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """The error names the file, the model and the first array that differs; nothing changes."""
    _, path = trained(tmp_path, **of_file)
    other = network(**of_model)
    before = other.get_weights()
    with pytest.raises(UserError, match=f"does not fit mine: .*{message}") as raised:
        keras_file.fill(other, path, "mine")
    assert str(raised.value).endswith("give a model of the same architecture")
    for wanted, found in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_file_of_another_optimizer_is_refused(tmp_path: Path) -> None:
    """Keras alone would only warn, and train on with an optimizer that begins anew."""
    import keras

    _, path = trained(tmp_path)
    other = network()
    other.compile("sgd", "mse")
    other.optimizer.build(other.trainable_variables)
    with pytest.raises(UserError, match="it has optimizer/vars/"):
        keras_file.fill(other, path, "mine", optimizer=True)
    keras_file.fill(other, path, "mine")  # the weights alone
    assert int(keras.ops.convert_to_numpy(other.optimizer.iterations)) == 0
