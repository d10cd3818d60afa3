from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import h5py
import numpy as np
import pytest

from lenet_multi.own import input_range
from lenet_multi.own.input_range import _line, _range_of, from_layers
from lenet_multi.own.keras_file import WEIGHTS, read_config, used

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


def of(name: str) -> dict[str, Any]:
    """Return the output of a layer, as the configuration of one that takes it has it."""
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}


def taking(layer: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return the configuration of a layer or an operation with its operands."""
    return {**layer, "inbound_nodes": [{"args": list(args), "kwargs": kwargs}]}


def functional(*layers: dict[str, Any], kind: str = "Functional") -> dict[str, Any]:
    """Return the configuration of a functional model after an input."""
    return {"class_name": kind, "config": {"layers": [INPUT, *layers]}}


X = of("InputLayer")
TENTH, MEANS = 0.1, {"class_name": "__numpy__", "config": {"value": [123.0, 117.0, 105.0]}}


@pytest.mark.parametrize(
    ("operation", "operands", "expected"),
    [
        ("TrueDivide", [X, 255], RAW),
        ("Divide", [X, 255], RAW),
        ("Divide", [255, X], None),
        ("Divide", [X, 0.5], UNIT),
        ("Multiply", [X, 1 / 255], RAW),
        ("Multiply", [1 / 255, X], RAW),
        ("Multiply", [X, X], None),
        ("Subtract", [X, 110], RAW),
        ("Subtract", [X, MEANS], RAW),
        ("Subtract", [0.25, X], UNIT),
        ("Subtract", [-0.25, X], SIGNED),
        ("Add", [X, -110], RAW),
        ("Add", [-110, X], RAW),
        ("Add", [X, 0.5], SIGNED),
        ("Add", [X], None),
        ("Add", [X, {"config": {"value": "text"}}], None),
        ("Power", [X, 2], None),
    ],
)
@pytest.mark.parametrize("named", [False, True], ids=["in order", "by name"])
def test_an_operation_tells(
    operation: str, operands: list[Any], expected: str | None, *, named: bool
) -> None:
    """Arithmetic with one number tells like a layer, in either order."""
    args, kwargs = (operands[:1], {"y": operands[1]}) if named and operands[1:] else (operands, {})
    layers = [taking(layer(operation), *args, **kwargs), taking(CONVOLUTION, of(operation))]
    found = from_layers(NOWHERE, functional(*layers))
    assert found == ((expected, operation) if expected else None)


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (rescaling(2, 3), (2, 3)),
        (rescaling([2**62] * 4, [1, 2]), (2**62, 1.5)),
        (normalization([0.5], [4.0]), (0.5, -0.25)),
        (normalization([0.5], [4.0], invert=True), (2, 0.5)),
        (taking(layer("Add"), X, 3), (1, 3)),
        (taking(layer("Subtract"), X, 3), (1, -3)),
        (taking(layer("Subtract"), 3, X), (-1, 3)),
        (taking(layer("Multiply"), X, 3), (3, 0)),
        (taking(layer("Divide"), X, 4), (0.25, 0)),
        (taking(layer("TrueDivide"), X, 4), (0.25, 0)),
        (CONVOLUTION, None),
    ],
)
def test_a_layer_is_a_line(made: dict[str, Any], line: tuple[float, float] | None) -> None:
    """It multiplies a pixel by one number and adds another."""
    assert _line(NOWHERE, made) == line


def test_an_operation_of_two_calls_tells_nothing() -> None:
    """It stands at two places of the model."""
    shared = taking(layer("Divide"), X, 255)
    shared["inbound_nodes"] *= 2
    assert from_layers(NOWHERE, functional(shared)) is None


SCALING = taking(rescaling(1 / 255), X)


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ([SCALING, taking(CONVOLUTION, of("Rescaling"))], True),
        ([taking(CONVOLUTION, of("Rescaling")), SCALING], True),
        ([SCALING, taking(CONVOLUTION, X)], False),
        (
            [
                taking(layer("Conv2D", name="one"), of("Rescaling")),
                taking(layer("Conv2D", name="two"), of("Rescaling")),
                SCALING,
            ],
            True,
        ),
        (
            [
                taking(layer("RandomFlip"), X),
                taking(layer("Identity"), of("RandomFlip")),
                taking(layer("Concatenate"), of("RandomFlip"), [of("Identity")]),
                taking(rescaling(1 / 255), of("Concatenate")),
            ],
            True,
        ),
        (
            [
                taking(layer("Identity"), X),
                taking(CONVOLUTION, of("elsewhere")),
                taking(layer("Concatenate"), of("Identity"), of("Conv2D")),
                taking(rescaling(1 / 255), of("Concatenate")),
            ],
            False,
        ),
        (
            [
                taking(layer("Identity"), X),
                taking(layer("Rescaling", name="one", scale=1 / 255, offset=0), X),
                taking(layer("Rescaling", name="two", scale=1 / 255, offset=0), of("Identity")),
            ],
            False,
        ),
        ([taking({**stack(rescaling(1 / 255))}, X)], None),
        ([layer("InputLayer"), SCALING], False),
        ([], False),
    ],
    ids=[
        *("one after the other", "any order", "two at once", "two at once, later"),
        *("joined again", "joined with another", "two of one", "no name", "two inputs", "none"),
    ],
)
def test_the_way_of_a_pixel_is_followed(layers: list[dict[str, Any]], told: bool | None) -> None:
    """Until it goes two ways; layers that leave it as it is are no ways of their own."""
    found = from_layers(NOWHERE, functional(*layers))
    assert found == ((RAW, "Rescaling") if told else None)


@pytest.mark.parametrize("kind", ["Functional", "Model"])
def test_a_model_within_is_followed(kind: str) -> None:
    """Its own input is that of the whole, and the way goes on after it."""
    inner = functional(taking(rescaling(2.0, -0.5), X), kind=kind)
    inner["config"]["name"] = "inner"
    outer = functional(taking(inner, X), taking(rescaling(1 / 255), of("inner")))
    assert from_layers(NOWHERE, outer) == (RAW, "Rescaling")
    pipeline = {"class_name": "Pipeline", "config": {"layers": [rescaling(1 / 255)]}}
    assert from_layers(NOWHERE, pipeline) == (RAW, "Rescaling")


@pytest.mark.parametrize(
    ("scale", "offset", "expected"),
    [
        (0.01, 0.0100001, None),
        (0.01, 0.0099999, RAW),
        (0.01, -2.5600001, None),
        (0.01, -2.5599999, RAW),
        (-0.01, 2.55, RAW),
        (0.1176, 0, RAW),
        (0.1177, 0, UNIT),
        (0.125, -0.125, UNIT),
        (0.125, -0.126, RAW),
        (2, 2, SIGNED),
        (2, 2.0000019, SIGNED),
        (2, 2.0000021, None),
        (2, 1.9e-6, UNIT),
        (2, 2.1e-6, SIGNED),
        (0, 1, None),
        (1, 0, None),
        (1, 0.5, SIGNED),
        (float("inf"), 0, None),
        (2, float("nan"), None),
        (2, float("-inf"), None),
        (1e308, 1e308, None),
    ],
)
def test_a_line_tells_by_the_pixel_that_becomes_nothing(
    scale: float, offset: float, expected: str | None
) -> None:
    """It lies within the range; numbers up to 30 are trained well."""
    assert _range_of(scale, offset, measured=False) == expected


def test_the_limits_themselves_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the numbers that a computer holds exactly."""
    monkeypatch.setattr(input_range, "_MOST", 255 / 8)
    monkeypatch.setattr(input_range, "_ROUNDING", 0.25)
    for scale, offset, expected in (
        (1 / 8, 0, RAW),
        (1 / 128, 1 / 128, RAW),
        (1 / 128, -2, RAW),
        (2, 0.5, UNIT),
        (2, 2.5, SIGNED),
    ):
        assert _range_of(scale, offset, measured=False) == expected
    assert _range_of(2, 0, measured=True) == UNIT


@pytest.mark.parametrize(
    ("scale", "zero", "expected"),
    [(2, 0.5, UNIT), (1.99, 0.5, None), (2.5, 0.2, UNIT), (2.49, 0.2, None), (2.5, 0.8, UNIT)],
)
def test_numbers_from_0_to_1_deviate_little(
    scale: float, zero: float, expected: str | None
) -> None:
    """Their variance is at most the mean times what is left to 1; only statistics are judged so."""
    assert _range_of(scale, -zero * scale, measured=True) == expected
    assert _range_of(scale, -zero * scale, measured=False) == UNIT


def test_layers_after_each_other_are_one() -> None:
    """Each takes what the one before gives."""
    layers = [rescaling(1 / 255, 1.0), rescaling(2.0, -2.0), rescaling(-3.0, 0.75)]
    assert from_layers(NOWHERE, stack(*layers)) == (RAW, "Rescaling")
    assert from_layers(NOWHERE, stack(rescaling(2.0, 0.0), CONVOLUTION, rescaling(1 / 255))) == (
        UNIT,
        "Rescaling",
    )


@pytest.mark.parametrize(
    ("mean", "variance", "invert", "expected"),
    [
        (110, 5000, False, RAW),
        (0.13, 0.09, False, UNIT),
        (-0.74, 0.38, False, SIGNED),
        (127.5, 127.5**2, True, SIGNED),
        (-100, 5000, True, RAW),
    ],
)
def test_statistics_tell(mean: float, variance: float, invert: bool, expected: str) -> None:
    """A layer subtracts the mean and divides by the deviation, or undoes that."""
    found = from_layers(NOWHERE, stack(normalization([mean], [variance], invert=invert)))
    assert found == (expected, "Normalization")


Fill = Callable[[h5py.File], object]


def weights(folder: Path, fill: Fill) -> Path:
    """Return a file of a model whose weights are what `fill` writes."""
    with h5py.File(folder / "weights.h5", "w") as file:
        fill(file)
    with ZipFile(folder / "model.keras", "w") as archive:
        archive.write(folder / "weights.h5", WEIGHTS)
    return folder / "model.keras"


def variables(file: h5py.File, place: str, **values: Any) -> None:
    """Write the variables of a layer, each under v and its number."""
    group = file.create_group(place)
    for number, value in values.items():
        group[number.removeprefix("v")] = np.asarray(value)


ADAPTED = stack(layer("Normalization", name="n", mean=None, variance=None, invert=False))


def batch_normalization(**change: Any) -> dict[str, Any]:
    """Return the configuration of a model that begins with a batch normalization."""
    settings = {"name": "n", "scale": True, "center": True, "epsilon": 0.001}
    return stack(layer("BatchNormalization", **{**settings, **change}))


@pytest.mark.parametrize(
    ("config", "values", "expected"),
    [
        (ADAPTED, {"v0": [100.0, 120.0], "v1": [4000.0, 6000.0], "v2": 7}, RAW),
        (ADAPTED, {"v10": 5000.0, "v9": 110.0}, RAW),  # numbers, not texts
        (ADAPTED, {"v0": 0.13, "v1": 0.09}, UNIT),
        (ADAPTED, {"v0": 110, "v1": 5000}, RAW),
        (ADAPTED, {"v0": np.uint8(110), "v1": 5000.0}, RAW),
        (ADAPTED, {"v0": b"text", "v1": 5000.0}, None),
        (ADAPTED, {"v0": np.full(4, 110.0), "v1": np.full(4, 5000.0)}, RAW),
        (ADAPTED, {"v0": np.full(5, 110.0), "v1": np.full(5, 5000.0)}, None),
        (ADAPTED, {"v0": 110.0}, None),
        (ADAPTED, {"a": 110.0}, None),
        (batch_normalization(), {"v0": 9.0, "v1": 9.0, "v2": 110.0, "v3": 5000.0}, RAW),
        (batch_normalization(scale=False), {"v0": 9, "v1": 110, "v2": 5000, "v3": 9}, RAW),
        (batch_normalization(scale=False, center=False), {"v0": 110.0, "v1": 5000.0}, RAW),
        (batch_normalization(epsilon=4), {"v0": 0, "v1": 0, "v2": 0.5, "v3": -3.75}, UNIT),
        (batch_normalization(epsilon=4), {"v0": 0, "v1": 0, "v2": 0.5, "v3": -3.7}, None),
    ],
    ids=[
        *("adapted", "many", "to 1", "integers", "bytes", "text", "as many", "too many", "one"),
        *("no number", "batch", "without scale", "without both", "epsilon", "too wide"),
    ],
)
def test_statistics_are_read_from_the_weights(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: dict[str, Any],
    values: dict[str, Any],
    expected: str | None,
) -> None:
    """Mean and variance of the layer that has the name, on average over the channels."""
    monkeypatch.setattr(input_range, "_MOST_STATISTICS", 4)

    def fill(file: h5py.File) -> None:
        variables(file, "layers/m/vars", v0=1.0, v1=1.0)
        variables(file, "layers/n/vars", **values)
        variables(file, "layers/n/other", v0=1.0, v1=1.0)

    found = from_layers(weights(tmp_path, fill), config)
    assert (found and found[0]) == expected
    if found:
        assert found[1].endswith("Normalization")


def test_a_batch_normalization_is_a_line(tmp_path: Path) -> None:
    """It divides by the root of the variance and a little more."""
    path = weights(tmp_path, lambda file: variables(file, "n/vars", v0=9, v1=9, v2=10, v3=3))
    (made,) = batch_normalization(epsilon=1)["config"]["layers"]
    assert _line(path, made) == (0.5, -5)


def named(file: h5py.File) -> None:
    """Write a layer whose group has its name as an attribute."""
    variables(file, "layers/normalization/vars", v0=110.0, v1=5000.0)
    file["layers/normalization/vars"].attrs["name"] = "n"
    variables(file, "layers/n/vars", v0=0.1, v1=0.1)
    file["layers/n/vars"].attrs["name"] = "m"


def linked(file: h5py.File) -> None:
    """Write a layer one of whose variables leads out of the file."""
    variables(file, "n/vars", v0=110.0)
    file["n/vars"]["1"] = h5py.ExternalLink("weights.h5", "n/vars/0")


def external(file: h5py.File) -> None:
    """Write a layer one of whose variables is kept in another file."""
    variables(file, "n/vars", v1=5000.0)
    path = Path(file.filename).with_name("x")
    np.array([110.0]).tofile(path)
    place = [(str(path), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset("n/vars/0", (1,), "f8", external=place)


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        (named, RAW),
        (lambda file: variables(file, "vars", v0=110.0, v1=5000.0), None),
        (lambda file: None, None),
        (linked, None),
        (external, None),
    ],
    ids=["named", "of nothing", "nothing", "a link", "elsewhere"],
)
def test_only_the_layers_own_variables_are_read(
    tmp_path: Path, fill: Fill, expected: str | None
) -> None:
    """A group may have the name as an attribute; what leads out of the file is left alone."""
    found = from_layers(weights(tmp_path, fill), ADAPTED)
    assert (found and found[0]) == expected


def test_weights_that_cannot_be_read_tell_nothing(tmp_path: Path) -> None:
    """A missing file, one that is no archive, and one without weights."""
    path = tmp_path / "model.keras"
    assert from_layers(path, ADAPTED) is None
    path.write_text("text")
    assert from_layers(path, ADAPTED) is None
    with ZipFile(path, "w") as archive:
        archive.writestr(WEIGHTS, "text")
    assert from_layers(path, ADAPTED) is None


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
