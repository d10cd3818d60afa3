import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lenet_multi.backends.choice import execution
from lenet_multi.config import TrainConfig
from lenet_multi.errors import UserError
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.training.initial_weights import draw_initial_weights

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
PARAMETERS = 431_080
# Of the LeNet's initial weights under seed 0, on every backend.
INITIAL_SHA256 = "d5088bf6eb2db37158e683ff1f71664347bb291862218941e08cb90cbf0a0b52"


def test_the_lenet_is_the_notebooks() -> None:
    """Layers, output shapes and parameter counts are the notebook's, to the last one."""
    from lenet_multi.training.model import lenet

    model = lenet()
    table = [
        (type(layer).__name__, tuple(layer.output.shape), layer.count_params())
        for layer in model.layers
    ]
    assert table == SUMMARY
    assert model.count_params() == sum(count for *_, count in SUMMARY) == PARAMETERS


def test_summary_shows_the_table() -> None:
    """`model.summary()` prints each layer's shape and count, and the total."""
    from lenet_multi.training.model import lenet

    lines: list[str] = []
    lenet().summary(print_fn=lambda line, **options: lines.append(line))
    text = "\n".join(lines)
    assert f"Total params: {PARAMETERS:,}" in text
    for _, shape, count in SUMMARY:
        assert str(shape) in text
        assert f"{count:,}" in text


@pytest.mark.parametrize("name", ["lenet", "softmax-regression"])
def test_a_network_that_starts_from_our_weights_is_the_stock_one(name: str) -> None:
    """Keras drew none before them, and what is saved of its layers is what it is otherwise."""
    from lenet_multi.training.model import ARCHITECTURES, build

    ours, stock = (
        [layer.get_config() for layer in model.layers]
        for model in (build(TrainConfig(architecture=name), (28, 28, 1)), ARCHITECTURES[name]())
    )
    assert ours == stock
    assert "GlorotUniform" in str(ours)


def test_the_lenets_settings_are_the_notebooks() -> None:
    """5x5 kernels without padding, ReLU but for the head, 2x2 pooling in steps of 2."""
    from lenet_multi.training.model import lenet

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
    """Any image of 16x16 or more, in any number of channels, gives one logit for each class."""
    from lenet_multi.training.model import lenet

    logits = lenet(input_shape, classes).predict(np.zeros((3, *input_shape)), verbose=0)
    assert logits.shape == (3, classes)
    assert logits.dtype == np.float32


def test_images_too_small_are_refused() -> None:
    """Fifteen pixels do not survive two convolutions and two poolings; the error says so."""
    from lenet_multi.training.model import lenet

    with pytest.raises(UserError, match="15x16 pixels are too small"):
        lenet((15, 16, 1))


def test_softmax_regression_has_7850_parameters() -> None:
    """The baseline is one dense layer on the pixels."""
    from lenet_multi.training.model import build

    assert build(RECIPES["baseline"], (28, 28, 1)).count_params() == 28 * 28 * 10 + 10


def test_the_softmax_head_gives_probabilities_of_the_same_logits() -> None:
    """The notebook's head is the softmax of the logits, and `with_logits` takes it off."""
    from lenet_multi.training.model import build, with_logits

    images = np.random.default_rng(0).random((8, 28, 28, 1), np.float32)
    softmax = build(RECIPES["notebook"], (28, 28, 1))
    logits = build(TrainConfig(), (28, 28, 1)).predict(images, verbose=0)
    exponentials = np.exp(logits.astype(np.float64))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax.predict(images, verbose=0), probabilities, rtol=1e-5)
    np.testing.assert_array_equal(with_logits(softmax).predict(images, verbose=0), logits)


def test_initial_weights_are_the_drawn_ones() -> None:
    """The model starts from NumPy's bits: Glorot uniform kernels and zero biases."""
    from lenet_multi.training.model import build

    weights = build(TrainConfig(seed=3), (28, 28, 1)).get_weights()
    drawn = draw_initial_weights([weight.shape for weight in weights], seed=3)
    for weight, wanted in zip(weights, drawn, strict=True):
        np.testing.assert_array_equal(weight, wanted)
    # Fans of the four kernels, by hand: sqrt(6 / (fan_in + fan_out)) bounds them.
    fans = [25 * (1 + 20), 25 * (20 + 50), 800 + 500, 500 + 10]
    for kernel, bias, fan in zip(weights[::2], weights[1::2], fans, strict=True):
        limit = np.sqrt(6 / fan)
        assert np.abs(kernel).max() <= np.float32(limit)
        # The standard deviation of U(-a, a) is a / sqrt(3); 500 draws or more stay within 10 %.
        np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.1)
        assert not bias.any()


def test_the_bounds_are_those_of_keras() -> None:
    """Keras's own GlorotUniform has the spread of ours, tensor by tensor."""
    import keras

    for shape in ((5, 5, 20, 50), (800, 500)):
        theirs = keras.ops.convert_to_numpy(keras.initializers.GlorotUniform(seed=0)(shape))
        ours = draw_initial_weights([shape], seed=0)[0]
        np.testing.assert_allclose(np.abs(ours).max(), np.abs(theirs).max(), rtol=1e-3)


def test_one_cycle_rises_and_falls() -> None:
    """The rate rises in a straight line for a quarter of the run and falls to 0 at its end."""
    import keras
    from lenet_multi.training.model import make_optimizer

    config = TrainConfig(lr_schedule="one-cycle", learning_rate=0.4, epochs=1)
    schedule = make_optimizer(config, training_images=100 * 128)._learning_rate
    rates = [float(keras.ops.convert_to_numpy(schedule(step))) for step in (0, 10, 25, 100)]
    np.testing.assert_allclose(rates, [0, 0.16, 0.4, 0], atol=1e-7)


def test_adam_gets_its_betas() -> None:
    """Both decays of the configuration reach the optimizer."""
    from lenet_multi.training.model import make_optimizer

    adam = make_optimizer(TrainConfig(beta_1=0.8, beta_2=0.95), training_images=128)
    assert (adam.beta_1, adam.beta_2) == (0.8, 0.95)


def test_the_hash_of_the_weights_is_the_same_everywhere() -> None:
    """Seed 0 hashes to the same digits on every backend, and any other seed to others."""
    from lenet_multi.training.model import build, weights_sha256

    digest = weights_sha256(build(TrainConfig(), (28, 28, 1)))
    assert digest == INITIAL_SHA256
    assert weights_sha256(build(TrainConfig(seed=1), (28, 28, 1))) != digest


def test_the_hash_of_the_weights_sees_one_bit() -> None:
    """A change in the last bit of one weight changes the hash."""
    from lenet_multi.training.model import build, weights_sha256

    model = build(TrainConfig(), (28, 28, 1))
    before = weights_sha256(model)
    weights = model.get_weights()
    weights[0][0, 0, 0, 0] = np.nextafter(weights[0][0, 0, 0, 0], np.float32(1))
    model.set_weights(weights)
    assert weights_sha256(model) != before


def test_logits_are_trained_through_logits() -> None:
    """Logits [30, 0, 0] with label 1 cost 30 on every backend; through a softmax they do not.

    TensorFlow finds the logits behind a softmax, JAX and torch clip its probability at 1e-7:
    16.118 with a gradient of zero. So the standard recipe trains on logits.
    """
    import keras

    logits, label = keras.ops.array([[30.0, 0.0, 0.0]]), keras.ops.array([1])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    np.testing.assert_allclose(float(loss(label, logits)), 30, rtol=1e-6)
    through_softmax = keras.losses.SparseCategoricalCrossentropy()(label, keras.ops.softmax(logits))
    wanted = 30 if keras.backend.backend() == "tensorflow" else -np.log(1e-7)
    np.testing.assert_allclose(float(through_softmax), wanted, rtol=1e-3)


def test_a_saved_model_asks_each_backend_how_to_compile(tmp_path: Path) -> None:
    """The file says "auto" where Keras alone would write this backend's answer, and loads.

    Nor does it name torch's own class of Adam, which no other backend can load or step.
    """
    import keras
    from lenet_multi.training.model import build, compile_model

    model = build(TrainConfig(), (28, 28, 1))
    compile_model(model, TrainConfig(), execution(keras.backend.backend()), training_images=128)
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        config = archive.read("config.json").decode()
    compile_config = json.loads(config)["compile_config"]
    assert "keras.src.backend" not in config
    assert compile_config["optimizer"]["module"] == "keras.optimizers"
    assert (compile_config["jit_compile"], compile_config["steps_per_execution"]) == ("auto", 1)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert loaded.jit_compile == (keras.backend.backend() == "jax")


@pytest.mark.parametrize("head", ["logits", "softmax"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_probabilities_are_the_softmax_of_logits(head: str, policy: str) -> None:
    """A softmax is appended to logits alone, and whatever the policy, all is float32."""
    import keras
    from lenet_multi.training.model import lenet, with_logits, with_probabilities

    images = np.random.default_rng(0).random((3, 28, 28, 1), np.float32)
    keras.utils.set_random_seed(0)
    model = lenet(head=head)
    expected = keras.ops.softmax(with_logits(model)(images))
    keras.config.set_dtype_policy(policy)
    try:
        policied = lenet(head=head)
    finally:
        keras.config.set_dtype_policy("float32")
    policied.set_weights(model.get_weights())
    found = with_probabilities(policied)(images)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found), keras.ops.convert_to_numpy(expected), atol=1e-6
    )


def test_what_ends_in_no_probabilities_is_refused() -> None:
    """A head that is neither linear nor a softmax is named."""
    import keras
    from lenet_multi.training.model import with_probabilities

    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(name="flat")])
    with pytest.raises(UserError, match="last layer, flat, gives neither logits nor a softmax"):
        with_probabilities(model)
