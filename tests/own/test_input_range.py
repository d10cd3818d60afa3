from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.own.input_range import from_layers
from lenet_multi.own.keras_file import read_config, used

NOWHERE = Path("nowhere.keras")


def layer(kind: str, **config: Any) -> dict[str, Any]:
    """Return the configuration of a layer of Keras's."""
    return {"module": "keras.layers", "class_name": kind, "config": {"name": kind, **config}}


def stack(*layers: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a Sequential model."""
    return {"module": "keras", "class_name": "Sequential", "config": {"layers": list(layers)}}


def rescaling(scale: Any, offset: Any = 0.0) -> dict[str, Any]:
    """Return the configuration of a layer that rescales."""
    return layer("Rescaling", scale=scale, offset=offset)


def normalization(mean: Any, variance: Any, *, invert: bool = False) -> dict[str, Any]:
    """Return the configuration of a layer with given statistics."""
    return layer("Normalization", mean=mean, variance=variance, invert=invert)


INPUT = layer("InputLayer", batch_shape=[None, 28, 28, 1], dtype="float32")
CONVOLUTION = layer("Conv2D")
RAW, UNIT, SIGNED = "0,255", "0,1", "-1,1"


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([rescaling(1 / 255)], RAW),
        ([rescaling(1 / 127.5, -1)], RAW),
        ([rescaling(1 / 255, -0.5)], RAW),
        ([rescaling(-1 / 255, 1)], RAW),
        ([rescaling(1 / 128)], RAW),
        ([rescaling(0.003)], RAW),
        ([rescaling([1 / 255] * 3, [-0.485, -0.456, -0.406])], RAW),
        ([rescaling(2.0, -1.0)], UNIT),
        ([rescaling(255.0)], UNIT),
        ([rescaling(0.5, 0.5)], SIGNED),
        ([rescaling(127.5, 127.5)], SIGNED),
        ([rescaling(1.0)], None),
        ([rescaling(255.0), rescaling(1 / 255)], None),
        ([rescaling(255.0), rescaling(1 / 127.5, -1)], UNIT),
        ([rescaling(1 / 255), normalization([0.5], [0.1])], RAW),
        ([normalization([33.3], [6170.0])], RAW),
        ([normalization([0.1307], [0.0949])], UNIT),
        ([normalization([0.49, 0.48, 0.45], [0.06, 0.06, 0.07])], UNIT),
        ([normalization([-0.74], [0.38])], SIGNED),
        ([normalization([0.1307], [0.3081])], None),  # no numbers in [0, 1] vary as much
        ([layer("ZeroPadding2D"), layer("RandomFlip"), rescaling(1 / 255)], RAW),
        ([layer("Reshape"), stack(INPUT, layer("RandomRotation")), rescaling(1 / 255)], RAW),
        ([stack(INPUT, rescaling(1 / 255)), CONVOLUTION], RAW),
        ([stack(stack(rescaling(1 / 255)))], RAW),
        ([CONVOLUTION, rescaling(1 / 255)], None),
        ([layer("ReLU"), rescaling(1 / 255)], None),
        ([CONVOLUTION], None),
        ([], None),
    ],
)
def test_the_first_layers_tell(layers: list[dict[str, Any]], expected: str | None) -> None:
    """Layers tell a range if they turn it, and no other one, into numbers around 0."""
    found = from_layers(NOWHERE, stack(INPUT, *layers, CONVOLUTION))
    assert (found and found[0]) == expected


def test_an_input_of_bytes_tells() -> None:
    """A model whose input is of whole numbers takes pixels as they are stored."""
    whole = layer("InputLayer", batch_shape=[None, 28, 28, 1], dtype="uint8")
    assert from_layers(NOWHERE, stack(whole, CONVOLUTION)) == (RAW, "an input of uint8")


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        "text",
        {"class_name": "Sequential"},
        {"class_name": "Functional", "config": {"layers": []}},
        stack({"class_name": 5, "config": {}}),
        stack(rescaling("text")),
        stack(rescaling(0.0)),
        stack(rescaling(float("nan"))),
        stack(rescaling([])),
        stack(normalization(None, None)),
        stack(normalization([0.0], [-1.0])),
        stack(normalization([0.0], [0.0])),
        stack(layer("Rescaling")),
    ],
    ids=repr,
)
def test_an_odd_file_tells_nothing(config: Any) -> None:
    """A configuration that Keras would refuse tells nothing, and raises nothing here."""
    assert from_layers(NOWHERE, config) is None


def test_layers_in_a_circle_end() -> None:
    """Reading ends for a configuration whose layers take each other's outputs."""

    def after(name: str, source: str) -> dict[str, Any]:
        node = {"args": [{"config": {"keras_history": [source, 0, 0]}}]}
        return {**layer("Reshape", name=name), "inbound_nodes": [node]}

    layers = [layer("InputLayer"), after("a", "b"), after("b", "a"), after("a", "InputLayer")]
    assert from_layers(NOWHERE, {"class_name": "Functional", "config": {"layers": layers}}) is None


def _sequential(keras: Any, *layers: Any) -> Any:
    return keras.Sequential([keras.Input((28, 28, 1)), *layers, keras.layers.Flatten()])


def _adapted(keras: Any, *, scale: float) -> Any:
    normalization = keras.layers.Normalization(axis=None)
    normalization.adapt(np.random.default_rng(0).uniform(0, scale, (8, 28, 28, 1)))
    return normalization


def _functional(keras: Any, change: Callable[[Any], Any]) -> Any:
    inputs = keras.Input((28, 28, 3))
    return keras.Model(inputs, keras.layers.Conv2D(2, 3)(change(inputs)))


def _nested(keras: Any) -> Any:
    normalization = _adapted(keras, scale=255)
    inner = keras.Sequential([keras.Input((28, 28, 1)), normalization])
    return _functional(keras, lambda x: inner(x[..., :1]))


def _batch_normalization(keras: Any) -> Any:
    model = _sequential(keras, layer := keras.layers.BatchNormalization())
    layer.moving_mean.assign([33.0])
    layer.moving_variance.assign([6000.0])
    return model


def _two_ways(keras: Any) -> Any:
    def change(x: Any) -> Any:
        scaled = keras.layers.Rescaling(1 / 255)(x)
        return keras.layers.Concatenate()([scaled, keras.layers.Conv2D(1, 1)(x)])

    return _functional(keras, change)


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda keras: _sequential(keras, keras.layers.Rescaling(1 / 255)), RAW),
        (lambda keras: _sequential(keras, _adapted(keras, scale=255)), RAW),
        (lambda keras: _sequential(keras, _adapted(keras, scale=1)), UNIT),
        (lambda keras: _sequential(keras, keras.layers.BatchNormalization()), None),
        (_batch_normalization, RAW),
        (lambda keras: _functional(keras, lambda x: x / 255), RAW),
        (lambda keras: _functional(keras, lambda x: x / 127.5 - 1), RAW),
        (lambda keras: _functional(keras, lambda x: (1 / 255) * x), RAW),
        (lambda keras: _functional(keras, lambda x: 1 - x / 255), RAW),
        (lambda keras: _functional(keras, lambda x: 2 * x - 1), UNIT),
        (lambda keras: _functional(keras, lambda x: x[..., ::-1] - 110.0), RAW),
        (lambda keras: _functional(keras, keras.applications.resnet.preprocess_input), RAW),
        (lambda keras: _functional(keras, keras.applications.mobilenet.preprocess_input), RAW),
        (lambda keras: _functional(keras, keras.layers.Rescaling(1 / 255)), RAW),
        (lambda keras: _functional(keras, lambda x: x), None),
        (_nested, RAW),
        (_two_ways, None),
    ],
    ids=[
        *("rescaling", "adapted to bytes", "adapted to [0, 1]", "untrained batch normalization"),
        *("batch normalization", "x / 255", "x / 127.5 - 1", "1/255 * x", "1 - x / 255"),
        *("2 x - 1", "x[::-1] - 110", "ResNet's", "MobileNet's", "functional", "none", "nested"),
        "two ways",
    ],
)
def test_a_file_of_keras_tells(
    tmp_path: Path, build: Callable[[Any], Any], expected: str | None
) -> None:
    """A file of Keras tells the range by its layers, operations and statistics in the weights."""
    import keras

    build(keras).save(tmp_path / "model.keras")
    found = from_layers(tmp_path / "model.keras", used(read_config(tmp_path / "model.keras")))
    assert (found and found[0]) == expected
