import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lenet_multi.config import TrainConfig, with_settings
from lenet_multi.errors import UserError
from lenet_multi.own import keras_file
from lenet_multi.own.find import find_task

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


@pytest.mark.any_backend
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


@pytest.mark.any_backend
@pytest.mark.backend
@pytest.mark.parametrize("line", NEEDED.values(), ids=NEEDED)
def test_code_that_is_needed_is_refused(own: Any, line: str) -> None:
    """A model with its own layer or activation is refused, as the answers depend on it."""
    with pytest.raises(UserError, match="carries code of its own"):
        keras_file.load(own(line))


# What replaces each thing of one's own, and the name by which it is refused.
REPLACED = {
    "loss": ("loss", "mean_squared_error"),
    "loss class": ("loss", "mean_squared_error"),
    "metric": ("metrics", "mae"),
    "metric class": ("metrics", "mae"),
    "optimizer": ("optimizer", "adam"),
    "schedule": ("optimizer", "adam"),
}


@pytest.mark.any_backend
@pytest.mark.backend
@pytest.mark.parametrize("name", REPLACED)
def test_code_that_training_needs_is_refused_or_replaced(own: Any, name: str) -> None:
    """The error names the flag that replaces what the model was compiled with, and that trains."""
    setting, other = REPLACED[name]
    config = with_settings(TrainConfig(), {"architecture": str(own(UNUSED[name]))})
    task = find_task(config)
    assert task.compile_arguments
    with pytest.raises(UserError, match=rf"own for the {setting} .*; give --{setting} with"):
        task.compile_arguments(config)
    arguments = task.compile_arguments(with_settings(config, {setting: other}))
    if setting == "optimizer":
        assert type(arguments[setting]).__name__.lower() == other
    else:
        assert arguments[setting] in (other, [other])
    assert arguments["loss"]
    assert arguments["optimizer"]


@pytest.mark.any_backend
@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": None, "loss": "mse"}, "the model is not compiled; give --optimizer"),
        (
            {"optimizer": "adam", "loss": "no_such"},
            "compiled with: .*; give --loss and --optimizer",
        ),
        ({"optimizer": "no_such", "loss": "mse"}, "compiled with: .*; give --loss and --optimizer"),
        (
            {"optimizer": {"module": "keras.optimizers", "class_name": "Adam", "config": {"x": 1}}},
            "compiled with: .*; give --optimizer with Keras's names",
        ),
        ({"optimizer": {"class_name": 1}, "loss": "mse"}, "give --loss and --optimizer"),
        ({}, "the model is not compiled; give --loss"),
        ("adam", "the model is not compiled; give --loss"),
    ],
    ids=[*("to evaluate", "loss", "optimizer", "arguments", "damaged"), "nothing", "no settings"],
)
def test_what_keras_cannot_compile_is_refused(settings: Any, message: str, tmp_path: Path) -> None:
    """Older programs and other hands write settings that no Keras takes; a flag replaces them."""
    _, path = trained(tmp_path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"]) | {"compile_config": settings}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, json.dumps(config) if name == "config.json" else content)
    wanted = with_settings(TrainConfig(), {"architecture": str(path)})
    task = find_task(wanted)
    assert task.compile_arguments
    with pytest.raises(UserError, match=message):
        task.compile_arguments(wanted)
    named = with_settings(wanted, {"loss": "mse", "optimizer": "sgd"})
    assert type(task.compile_arguments(named)["optimizer"]).__name__ == "SGD"


@pytest.mark.any_backend
@pytest.mark.backend
@pytest.mark.parametrize("name", ["regularizer", "constraint"])
def test_code_that_acts_in_training_is_refused_there(own: Any, name: str) -> None:
    """A model that is to be trained is refused if it has its own regularizer or constraint."""
    with pytest.raises(UserError, match="carries code of its own"):
        keras_file.load(own(UNUSED[name]), trains=True)


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


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_a_file_follows_the_precision_of_today(tmp_path: Path) -> None:
    """Layers saved in float32 compute in mixed precision where it is asked for.

    A float32 layer of a model that mixes precisions stays what its author made it.
    """
    import keras

    def saved(policy: str, last: str | None) -> Path:
        keras.config.set_dtype_policy(policy)
        layers = [keras.layers.Dense(2), keras.layers.Dense(2, dtype=last)]
        path = tmp_path / f"{policy}-{last}.keras"
        keras.Sequential([keras.Input((3,)), *layers]).save(path)
        return path

    def policies(path: Path) -> list[str]:
        return [layer.dtype_policy.name for layer in keras_file.load(path).layers]

    try:
        plain, mixed = saved("float32", None), saved("mixed_float16", "float32")
        assert policies(plain) == ["mixed_float16"] * 2
        assert policies(mixed) == ["mixed_float16", "float32"]
        keras.config.set_dtype_policy("float32")
        assert policies(plain) == ["float32"] * 2
        assert policies(mixed) == ["mixed_float16", "float32"]
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", ["old.h5", "old.keras"])
def test_keras_older_format_is_named(name: str, tmp_path: Path) -> None:
    """A model in HDF5 is no damaged file: the error has the line that saves it anew."""
    path = tmp_path / name
    with h5py.File(path, "w"):
        pass
    with pytest.raises(UserError, match=r"older format, HDF5; save it .*load_model.*old\.keras'\)"):
        keras_file.read_config(path)


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
