import dataclasses

import numpy as np
import pytest

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError
from lenet_multi.lenet.initial_weights import draw_initial_weights
from lenet_multi.lenet.recipes import RECIPES
from tests.training.test_setup import PARAMETERS

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]

# The notebook's `model.summary()`: layer, output shape, parameters.
SUMMARY = [
    ("Conv2D", (None, 24, 24, 20), 520),
    ("MaxPooling2D", (None, 12, 12, 20), 0),
    ("Conv2D", (None, 8, 8, 50), 25_050),
    ("MaxPooling2D", (None, 4, 4, 50), 0),
    ("Flatten", (None, 800), 0),
    ("Dense", (None, 500), 400_500),
    ("Dense", (None, 10), 5_010),
]


def test_the_lenet_is_the_notebooks() -> None:
    """Layers, output shapes and parameter counts are exactly the notebook's."""
    from lenet_multi.lenet.networks import lenet

    model = lenet()
    table = [
        (type(layer).__name__, tuple(layer.output.shape), layer.count_params())
        for layer in model.layers
    ]
    assert table == SUMMARY
    assert model.count_params() == sum(count for *_, count in SUMMARY) == PARAMETERS


def test_summary_shows_the_table() -> None:
    """`model.summary()` prints each layer's shape and count, and the total."""
    from lenet_multi.lenet.networks import lenet

    lines: list[str] = []
    lenet().summary(print_fn=lambda line, **options: lines.append(line))
    text = "\n".join(lines)
    assert f"Total params: {PARAMETERS:,}" in text
    for _, shape, count in SUMMARY:
        assert str(shape) in text
        assert f"{count:,}" in text


@pytest.mark.parametrize("name", ["lenet", "softmax-regression"])
def test_nothing_is_drawn_and_no_initializer_patched(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras draws no weight that ours replace, and other code draws as usual meanwhile.

    The saved configuration of a layer names its own initializer.
    """
    import keras

    from lenet_multi.lenet import networks

    glorot, sequential = keras.initializers.GlorotUniform, keras.Sequential
    drawn_meanwhile: list[int] = []

    def spied(*given: object, **named: object) -> object:
        drawn = keras.ops.convert_to_numpy(glorot(seed=0)((3, 3)))
        drawn_meanwhile.append(int(np.count_nonzero(drawn)))
        return sequential(*given, **named)

    monkeypatch.setattr(keras, "Sequential", spied)
    model = networks.NETWORKS[name]()
    assert drawn_meanwhile == [9]
    assert not any(weight.any() for weight in model.get_weights())
    for layer in model.layers:
        if hasattr(layer, "kernel_initializer"):
            assert type(layer.kernel_initializer) is glorot
            kept = layer.get_config()["kernel_initializer"]
            assert kept["class_name"] == "GlorotUniform"


def test_a_network_that_starts_from_our_weights_is_the_stock_one(small: Dataset) -> None:
    """The layers' settings equal those of Keras's own layers with the same arguments."""
    import keras

    from lenet_multi.lenet.networks import build

    ours = build(TrainConfig(), small)
    layers = keras.layers
    stock = [
        layers.Conv2D(20, 5, activation="relu", name="conv1"),
        layers.MaxPooling2D(2, name="pool1"),
        layers.Conv2D(50, 5, activation="relu", name="conv2"),
        layers.MaxPooling2D(2, name="pool2"),
        layers.Flatten(name="flatten"),
        layers.Dense(500, activation="relu", name="dense1"),
        layers.Dense(10, name="dense2"),
    ]
    assert [layer.get_config() for layer in ours.layers] == [one.get_config() for one in stock]


def test_the_lenets_settings_are_the_notebooks() -> None:
    """The LeNet has 5x5 kernels without padding, ReLU except in the head, and 2x2 pooling."""
    from lenet_multi.lenet.networks import lenet

    conv1, pool1, conv2, pool2, _, dense1, dense2 = lenet().layers
    for conv, filters in ((conv1, 20), (conv2, 50)):
        assert (conv.filters, conv.kernel_size, conv.padding) == (filters, (5, 5), "valid")
    for pool in (pool1, pool2):
        assert (pool.pool_size, pool.strides) == ((2, 2), (2, 2))
    activations = [layer.activation.__name__ for layer in (conv1, conv2, dense1, dense2)]
    assert activations == ["relu", "relu", "relu", "linear"]


@pytest.mark.parametrize(
    ("input_shape", "classes"), [((28, 28, 1), 10), ((32, 32, 3), 26), ((16, 20, 2), 2)]
)
def test_input_shape_and_classes_are_parameters(input_shape: tuple[int, ...], classes: int) -> None:
    """Images of 16x16 pixels or more, with any channels, give one logit per class."""
    from lenet_multi.lenet.networks import lenet

    logits = lenet(input_shape, classes).predict(np.zeros((3, *input_shape)), verbose=0)
    assert logits.shape == (3, classes)
    assert logits.dtype == np.float32


def test_images_too_small_are_refused() -> None:
    """Fifteen pixels are too small for two convolutions and poolings, and the error says so."""
    from lenet_multi.lenet.networks import lenet

    with pytest.raises(UserError, match="15x16 pixels are too small"):
        lenet((15, 16, 1))


def test_softmax_regression_has_7850_parameters(small: Dataset) -> None:
    """The baseline is one dense layer on the pixels."""
    from lenet_multi.lenet.networks import build

    assert build(RECIPES["baseline"], small).count_params() == 28 * 28 * 10 + 10


def test_initial_weights_are_the_drawn_ones(small: Dataset) -> None:
    """The model starts from NumPy's bits: Glorot uniform kernels and zero biases."""
    from lenet_multi.lenet.networks import build

    weights = build(TrainConfig(seed=3), small).get_weights()
    drawn = draw_initial_weights([weight.shape for weight in weights], seed=3)
    for weight, wanted in zip(weights, drawn, strict=True):
        np.testing.assert_array_equal(weight, wanted)
    # fan_in + fan_out of the four kernels, by hand; sqrt(6 / (fan_in + fan_out)) bounds them.
    fans = [25 * (1 + 20), 25 * (20 + 50), 800 + 500, 500 + 10]
    for kernel, bias, fan in zip(weights[::2], weights[1::2], fans, strict=True):
        limit = np.sqrt(6 / fan)
        assert np.abs(kernel).max() <= np.float32(limit)
        # The standard deviation of U(-a, a) is a / sqrt(3); 500 or more draws stay within 10 %.
        np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.1)
        assert not bias.any()


def test_logits_are_trained_through_logits() -> None:
    """Logits [30, 0, 0] with label 1 cost 30 on every backend; through a softmax they do not.

    TensorFlow finds the logits behind a softmax. JAX and torch clip the probability at 1e-7: the
    loss is 16.118 with a gradient of zero. So the standard recipe trains on logits.
    """
    import keras

    logits, label = keras.ops.array([[30.0, 0.0, 0.0]]), keras.ops.array([1])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    np.testing.assert_allclose(float(loss(label, logits)), 30, rtol=1e-6)
    through_softmax = keras.losses.SparseCategoricalCrossentropy()(label, keras.ops.softmax(logits))
    wanted = 30 if keras.backend.backend() == "tensorflow" else -np.log(1e-7)
    np.testing.assert_allclose(float(through_softmax), wanted, rtol=1e-3)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_loss_takes_what_the_head_gives(recipe: str) -> None:
    """Four equal logits, or their softmax, cost log(4) by the recipe's own loss and targets."""
    import keras

    from lenet_multi.lenet.tasks import LENET

    config = dataclasses.replace(RECIPES[recipe], classes=4)
    outputs = np.full((3, 4), 7.0 if config.head == "logits" else 0.25, np.float32)
    targets = LENET.targets(config, np.arange(3))
    loss = LENET.loss(config)(keras.ops.array(targets), keras.ops.array(outputs))
    np.testing.assert_allclose(float(loss), np.log(4), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "parameters", "trained"),
    [
        ({"batch_norm": True}, 432_220, 431_080),
        ({"dropout": 0.3}, 431_080, 431_080),
        ({"inception": True}, 910_602, 910_602),
        ({"batch_norm": True, "inception": True}, 911_642, 910_602),
    ],
    ids=["batch-norm", "dropout", "inception", "both"],
)
def test_each_option_has_its_parameters(
    small: Dataset, options: dict[str, object], parameters: int, trained: int
) -> None:
    """Normalisation learns as many numbers as the biases that it replaces, and keeps statistics."""
    from lenet_multi.lenet.networks import build

    model = build(TrainConfig(**options), small)  # type: ignore[arg-type]
    assert model.count_params() == parameters
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_variables) == trained


def test_an_option_changes_no_initial_kernel(small: Dataset) -> None:
    """With the same seed, kernels begin alike with and without batch normalisation and dropout."""
    import keras

    from lenet_multi.lenet.networks import build

    plain, changed = (
        list(map(keras.ops.convert_to_numpy, build(config, small).trainable_variables))
        for config in (TrainConfig(seed=3), TrainConfig(seed=3, batch_norm=True, dropout=0.5))
    )
    for one, other in zip(plain, changed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_dropout_leaves_out_units_in_training_alone(small: Dataset) -> None:
    """In training a share of the 500 units is zero; an answer uses all of them."""
    import keras

    from lenet_multi.lenet.networks import build

    model = build(TrainConfig(dropout=0.4), small)
    layer = model.get_layer("dropout")
    ones = keras.ops.ones((100, 500))
    left = keras.ops.convert_to_numpy(layer(ones, training=True))
    assert (left == 0).mean() == pytest.approx(0.4, abs=0.01)  # deviation 0.002
    assert (keras.ops.convert_to_numpy(layer(ones, training=False)) == 1).all()
