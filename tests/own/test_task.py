import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.config import TrainConfig, with_settings
from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError
from lenet_multi.own.find import find_task
from lenet_multi.task import Task

pytestmark = pytest.mark.backend

FUNCTIONS = """
import keras
import numpy as np

count = 0


def stack(*layers):
    return keras.Sequential([keras.Input((4,)), *layers])


def build():
    model = stack(keras.layers.Dense(3))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    return model


def scheduled():
    model = stack(keras.layers.Dense(3))
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.9)
    model.compile(keras.optimizers.Adam(schedule), "mse")
    return model


def uncompiled():
    return stack(keras.layers.Dense(3))


def changing():
    global count
    count += 1
    return stack(keras.layers.Dense(count))


def frozen():
    model = stack(keras.layers.Dense(3))
    model.trainable = False
    return model


def raising():
    raise KeyError("no such size")


def needing(units, rate=0.1):
    return stack(keras.layers.Dense(units))


def text():
    return "a model"


def data():
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    return x, np.arange(40) % 3


def both():
    return data(), data()


def short():
    x, y = data()
    return x, y[:-1]


def narrow():
    return np.zeros((40, 3), "float32"), np.zeros(40)


def words():
    return np.array(["a"] * 40), np.zeros(40)


def alone():
    return np.zeros((40, 4))
"""


@pytest.fixture(scope="module")
def mine(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's file with good and bad functions."""
    path = tmp_path_factory.mktemp("mine") / "functions_of_mine.py"
    path.write_text(FUNCTIONS)
    return path


def of(path: Path, builder: str = "build", **settings: Any) -> tuple[Task, TrainConfig]:
    """Return the task of a builder, and its configuration; "data" names another function."""
    given = {"architecture": f"{path}:{builder}", **settings}
    if "data" in given:
        given["data"] = f"{path}:{given['data']}"
    config = with_settings(TrainConfig(), given)
    return find_task(config), config


def built(path: Path, builder: str = "build", **settings: Any) -> tuple[Any, Dataset]:
    """Return the model of a builder and the data set."""
    from lenet_multi.training.initial_weights import build

    task, config = of(path, builder, **settings)
    dataset = task.load(config)
    return build(task, config, dataset), dataset


def test_a_builder_is_a_task(mine: Path) -> None:
    """The task has the user's model and data, and new objects of the user's compile settings."""
    model, dataset = built(mine, data="data")
    assert model.output_shape == (None, 3)
    assert (len(dataset.train), len(dataset.test)) == (36, 4)
    task, config = of(mine)
    assert task.compile_arguments
    first, second = (task.compile_arguments(config) for _ in range(2))
    assert type(first["optimizer"]).__name__ == "SGD"
    assert first["optimizer"] is not second["optimizer"]
    assert float(first["optimizer"].learning_rate) == pytest.approx(0.1)


def test_settings_replace_what_was_compiled(mine: Path) -> None:
    """Keras's names for loss, optimizer and metrics replace the model's own, or stand alone."""
    settings = {"loss": "mean_squared_error", "optimizer": "rmsprop", "metrics": "mae,mse"}
    for builder in ("build", "uncompiled"):
        task, config = of(mine, builder, **settings, learning_rate=0.5)
        assert task.compile_arguments
        arguments = task.compile_arguments(config)
        assert arguments["loss"] == "mean_squared_error"
        assert arguments["metrics"] == ["mae", "mse"]
        assert type(arguments["optimizer"]).__name__ == "RMSprop"
        assert float(arguments["optimizer"].learning_rate) == 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.5}, "--learning-rate 0.5: .*scheduled is compiled with a schedule"),
        ({"lr_schedule": "cosine"}, "--lr-schedule cosine: .*scheduled has its own; drop it"),
    ],
    ids=["rate", "schedule"],
)
def test_a_rate_that_the_model_would_not_take_is_refused(
    mine: Path, settings: dict[str, Any], message: str
) -> None:
    """Its own schedule would go on, and the record would say otherwise."""
    task, config = of(mine, "scheduled", **settings)
    assert task.compile_arguments
    with pytest.raises(UserError, match=message):
        task.compile_arguments(config)
    task, config = of(mine, "scheduled", optimizer="sgd", learning_rate=0.5)
    assert task.compile_arguments
    assert float(task.compile_arguments(config)["optimizer"].learning_rate) == 0.5


def test_a_function_may_give_a_test_set(mine: Path) -> None:
    """Two pairs are examples for training and for the test."""
    _, dataset = built(mine, data="both")
    assert (len(dataset.train), len(dataset.test)) == (40, 40)


def test_arrays_of_a_file_are_read(mine: Path, tmp_path: Path) -> None:
    """An .npz with x and y holds the examples."""
    np.savez(tmp_path / "mine.npz", x=np.ones((20, 4), np.float32), y=np.zeros(20))
    task, config = of(mine)
    config = with_settings(config, {"data": str(tmp_path / "mine.npz")})
    assert len(task.load(config).train) == 18


def test_without_data_they_are_drawn_to_fit(mine: Path) -> None:
    """Drawn inputs have the model's shape, and targets are labels of its classes."""
    _, dataset = built(mine)
    assert dataset.train.x.shape[1:] == (4,)
    assert set(np.unique(dataset.train.y)) == {0, 1, 2}


@pytest.mark.parametrize(
    ("builder", "settings", "message"),
    [
        ("needing", {}, "takes the arguments units; give a function that takes none"),
        ("text", {}, "returns str; it must return a keras.Model"),
        ("frozen", {"loss": "mse"}, "has no trainable weights"),
        (
            "changing",
            {"loss": "mse"},
            "builds another model each time (sequential/dense/kernel",
        ),
        ("raising", {}, "KeyError: 'no such size'; see the traceback"),
        ("uncompiled", {}, "the model is not compiled; give --loss"),
        ("build", {"loss": "mees"}, "--loss mees: Keras has no such one"),
        ("build", {"data": "short"}, "has arrays of 39 and 40 examples"),
        ("build", {"data": "narrow"}, "has float32 3, but the model takes float32 4"),
        ("build", {"data": "words"}, "give arrays of numbers, an example a row"),
        ("build", {"data": "alone"}, "returns ndarray; it must return (x, y)"),
    ],
    ids=[
        *("arguments", "no-model", "no-weights", "another-each-time", "error", "not-compiled"),
        *("no-such-loss", "lengths", "shape", "text", "no-pair"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    mine: Path, builder: str, settings: dict[str, Any], message: str
) -> None:
    """Each bad builder and each bad data gets one line that names it."""
    with pytest.raises(UserError, match=re.escape(message)):
        built(mine, builder, **{"optimizer": "sgd", **settings} if builder != "uncompiled" else {})


def test_a_saved_model_begins_with_its_weights(mine: Path, tmp_path: Path) -> None:
    """A .keras file gives its weights and its compile settings, whatever the seed."""
    model, _ = built(mine, data="data")
    task, config = of(mine)
    assert task.compile_arguments
    model.compile(**task.compile_arguments(config))
    model.save(tmp_path / "mine.keras")
    config = with_settings(TrainConfig(), {"architecture": str(tmp_path / "mine.keras"), "seed": 5})
    saved = find_task(config)
    again = saved.build(config, saved.load(config))
    for own, other in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(own, other)
    assert saved.compile_arguments
    assert type(saved.compile_arguments(config)["optimizer"]).__name__ == "SGD"


def test_a_saved_model_that_is_missing_is_refused(backend: str) -> None:
    """A .keras file that does not exist gets one line."""
    config = with_settings(TrainConfig(), {"architecture": "no_such.keras"})
    with pytest.raises(UserError, match=r"no model at no_such\.keras: give a \.keras file"):
        find_task(config).load(config)
