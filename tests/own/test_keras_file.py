import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.errors import UserError
from lenet_multi.own import keras_file

# A user's file with everything of a model that may be the user's own code.
CODE = """
import keras
from keras import layers, ops


def own_loss(labels, outputs):
    return keras.losses.sparse_categorical_crossentropy(labels, outputs)


class OwnLoss(keras.losses.Loss):
    def call(self, labels, outputs):
        return own_loss(labels, outputs)


def own_metric(labels, outputs):
    return ops.mean(outputs)


@keras.saving.register_keras_serializable(package="mine")
class OwnMetric(keras.metrics.Mean):
    pass


class OwnOptimizer(keras.optimizers.SGD):
    pass


class OwnSchedule(keras.optimizers.schedules.ExponentialDecay):
    pass


class OwnInitializer(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return ops.ones(shape, dtype)


class OwnRegularizer(keras.regularizers.L2):
    pass


class OwnConstraint(keras.constraints.NonNeg):
    pass


def own_activation(x):
    return ops.tanh(x)


class OwnLayer(layers.Dense):
    pass


def stack(*own, **dense):
    return keras.Sequential(
        [keras.Input((6, 6, 1)), layers.Flatten(), *own, layers.Dense(3, **dense)]
    )
"""

UNUSED = {
    "loss": "m.compile('adam', own_loss)",
    "loss class": "m.compile('adam', OwnLoss())",
    "metric": "m.compile('adam', 'mse', metrics=[own_metric])",
    "metric class": "m.compile('adam', 'mse', metrics=[OwnMetric()])",
    "optimizer": "m.compile(OwnOptimizer(), 'mse')",
    "schedule": "m.compile(keras.optimizers.Adam(OwnSchedule(0.1, 5, 0.9)), 'mse')",
    "initializer": "m = stack(kernel_initializer=OwnInitializer())",
    "regularizer": "m = stack(kernel_regularizer=OwnRegularizer(0.1))",
    "constraint": "m = stack(bias_constraint=OwnConstraint())",
    "nested": "m.compile('adam', own_loss); m = keras.Sequential([keras.Input((6, 6, 1)), m])",
}
NEEDED = {
    "activation": "m = stack(activation=own_activation)",
    "activation layer": "m = stack(layers.Activation(own_activation))",
    "layer": "m = stack(OwnLayer(2))",
    "lambda": "m = stack(layers.Lambda(lambda x: x))",
}


@pytest.fixture(params=["module", "__main__"])
def own(request: pytest.FixtureRequest, backend: str, tmp_path: Path) -> Any:
    """Return a function that saves the model of a line of code, from a module or a script."""
    module = request.param if request.param == "__main__" else "module_of_mine"

    def save(line: str) -> Path:
        names: dict[str, Any] = {"__name__": module}
        exec(CODE + "\nm = stack()\n" + line, names)
        names["m"].save(tmp_path / "own.keras")
        kept.append(names["m"])
        return tmp_path / "own.keras"

    kept: list[Any] = []
    save.kept = kept  # type: ignore[attr-defined]
    yield save
    sys.modules.pop("module_of_mine", None)


@pytest.mark.backend
@pytest.mark.parametrize("line", UNUSED.values(), ids=UNUSED)
def test_code_that_is_not_used_is_not_needed(own: Any, line: str) -> None:
    """A model with its own loss, metric, optimizer or initializer loads and answers as before."""
    path = own(line)
    found = keras_file.load(path)
    x = np.random.default_rng(0).uniform(size=(4, 6, 6, 1)).astype(np.float32)
    wanted = own.kept[-1].predict(x, verbose=0)
    np.testing.assert_allclose(found.predict(x, verbose=0), wanted, atol=1e-6)
    assert "module_of_mine" not in sys.modules


@pytest.mark.backend
@pytest.mark.parametrize("line", NEEDED.values(), ids=NEEDED)
def test_code_that_is_needed_is_refused(own: Any, line: str) -> None:
    """A model with its own layer or activation is refused, as the answers depend on it."""
    with pytest.raises(UserError, match="carries code of its own"):
        keras_file.load(own(line))


@pytest.mark.backend
@pytest.mark.parametrize("name", ["loss", "metric class", "optimizer", "schedule"])
def test_code_that_training_needs_is_refused(own: Any, name: str) -> None:
    """A model that is to be trained is refused if it was compiled with its own code."""
    with pytest.raises(UserError, match="was compiled with code of its own"):
        keras_file.load(own(UNUSED[name]), compiled=True)


@pytest.mark.backend
@pytest.mark.parametrize("name", ["regularizer", "constraint"])
def test_code_that_acts_in_training_is_refused_there(own: Any, name: str) -> None:
    """A model that is to be trained is refused if it has its own regularizer or constraint."""
    with pytest.raises(UserError, match="carries code of its own"):
        keras_file.load(own(UNUSED[name]), compiled=True)


def test_what_is_checked_is_what_keras_gets() -> None:
    """At any depth, `used` leaves only such other code as `refuse_code` refuses."""
    code = {"module": "os", "class_name": "system", "config": {}}
    dense = {"kernel_initializer": {"config": code}, "kernel_regularizer": code, "x": [code]}
    layer = {"module": "keras.layers", "class_name": "Dense", "config": dense}
    inner = {"class_name": "Sequential", "config": {"layers": [layer]}, "compile_config": code}
    config = {**inner, "config": {"layers": [inner]}}
    left = json.dumps(keras_file.used(config))
    assert left.count("system") == 1
    with pytest.raises(UserError, match=re.escape("(os.system)")):
        keras_file.refuse_code(Path("m.keras"), keras_file.used(config))
    assert "compile_config" in json.dumps(config), "the file's own configuration was changed"


def test_a_function_is_called_by_its_name(tmp_path: Path) -> None:
    """The error gives a user's function the name that its author gave."""
    part = {"module": "builtins", "class_name": "function", "config": "my_act"}
    config = {"module": "keras", "class_name": "Sequential", "config": {"layers": [part]}}
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        for name in ("metadata.json", "model.weights.h5"):
            archive.writestr(name, "{}")
        archive.writestr("config.json", json.dumps(config))
    with pytest.raises(UserError, match=re.escape("carries code of its own (the function my_act)")):
        keras_file.load(tmp_path / "m.keras")


def network(units: int = 5, *, deep: bool = False, normal: bool = True) -> Any:
    """Return a model with layers that have state; the arguments change its weights."""
    import keras

    layers = keras.layers
    stack = [keras.Input((4,)), layers.Dense(units, activation="relu"), layers.Dropout(0.5)]
    stack += [layers.BatchNormalization()] if normal else []
    stack += [layers.Dense(units)] if deep else []
    return keras.Sequential([*stack, layers.Dense(2)])


def trained(folder: Path, **settings: Any) -> tuple[Any, Path]:
    """Return a trained model and its file, which has the optimizer's state too."""
    model = network(**settings)
    model.compile("adam", "mse")
    model.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0)
    path = folder / "model.keras"
    model.save(path)
    return model, path


def compiled(optimizer: str) -> Any:
    """Return a model with an optimizer that has its state."""
    model = network()
    model.compile(optimizer, "mse")
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_a_file_gives_all_of_its_weights(tmp_path: Path) -> None:
    """All weights come from the file, moving means too, and its optimizer is ignored."""
    model, path = trained(tmp_path)
    other = network()
    keras_file.fill(other, path, "mine")
    for wanted, found in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_a_compiled_model_gets_the_optimizers_state(tmp_path: Path) -> None:
    """The moments and the count of steps come from the file."""
    import keras

    model, path = trained(tmp_path)
    other = compiled("adam")
    keras_file.fill(other, path, "mine", optimizer=True)
    for wanted, found in zip(model.optimizer.variables, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (found, wanted)))
    assert int(keras.ops.convert_to_numpy(other.optimizer.iterations)) == 1


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
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
    """The error names the first array that differs, and the model keeps its weights."""
    _, path = trained(tmp_path, **of_file)
    other = network(**of_model)
    before = other.get_weights()
    with pytest.raises(UserError, match=f"does not fit mine: .*{message}") as raised:
        keras_file.fill(other, path, "mine")
    assert str(raised.value).endswith("give a model of the same architecture")
    for wanted, found in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_a_file_of_another_optimizer_is_refused(tmp_path: Path) -> None:
    """A file with another optimizer's state is refused, where Keras alone would only warn."""
    import keras

    _, path = trained(tmp_path)
    other = compiled("sgd")
    with pytest.raises(UserError, match="it has optimizer/vars/"):
        keras_file.fill(other, path, "mine", optimizer=True)
    keras_file.fill(other, path, "mine")  # the weights alone
    assert int(keras.ops.convert_to_numpy(other.optimizer.iterations)) == 0
