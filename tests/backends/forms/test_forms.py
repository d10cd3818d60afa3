import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_dtypes import bfloat16
from numpy.typing import NDArray

from lenet_multi.backends.choice import (
    CHANNELS_FIRST,
    TILES,
    WINOGRAD,
    WINOGRAD_CHANNELS_FIRST,
    execution,
    forms_of,
)
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError
from tests.backends.models import in_form

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]

# A block's outputs are sums of up to 49 * 3 products; measured 1e-6 of the largest.
ROUNDING = 1e-5


@pytest.fixture(scope="module")
def forms(backend: str) -> list[str]:
    """The forms that this backend can compute, without the stock one."""
    return list(forms_of(backend)[1:])


NO_BIAS: dict[str, Any] = {"activation": None, "use_bias": False}


def block(side: tuple[int, int, int], filters: int, kernel: int = 5, **more: Any) -> Any:
    """Return a model of one block with a kernel of size `kernel`, its weights and bias random.

    `more` are arguments of the convolution; `batch_norm` lets normalisation and ReLU follow.
    """
    import keras

    norm = []
    if more.pop("batch_norm", False):
        norm = [keras.layers.BatchNormalization(scale=False), keras.layers.ReLU()]
    model = keras.Sequential(
        [
            keras.Input(side),
            keras.layers.Conv2D(filters, kernel, **{"activation": "relu", **more}),
            keras.layers.MaxPooling2D(2),
            *norm,
            keras.layers.Flatten(),
        ]
    )
    draw = np.random.default_rng(0)
    for weight in model.weights:
        drawn = draw.normal(size=weight.shape)
        weight.assign(np.abs(drawn) if weight.name == "moving_variance" else drawn)
    return model


def gradients(model: Any, images: NDArray[Any]) -> list[NDArray[Any]]:
    """Return each weight's change in one step of SGD at rate 1; the loss is a weighted sum."""
    import keras

    class Total(keras.losses.Loss):  # type: ignore[misc]  # Keras carries no types
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return keras.ops.sum(y_pred * y_true, axis=-1)

    model.compile(optimizer=keras.optimizers.SGD(1.0), loss=Total())
    before = model.get_weights()
    shape = (len(images), *model.output_shape[1:])
    model.train_on_batch(images, np.random.default_rng(1).normal(size=shape).astype("float32"))
    after = model.get_weights()
    model.set_weights(before)
    return [old - new for old, new in zip(before, after, strict=True)]


@settings(deadline=None, max_examples=12)
@given(
    more=st.tuples(st.integers(1, 28), st.integers(1, 28)),
    channels=st.integers(1, 3),
    filters=st.integers(1, 7),
    kernel=st.sampled_from([1, 3, 5, 7]),
    activation=st.sampled_from(["relu", None]),
    use_bias=st.booleans(),
    batch_norm=st.booleans(),
)
def test_the_forms_are_one_function(
    forms: list[str],
    more: tuple[int, int],
    channels: int,
    filters: int,
    kernel: int,
    activation: str | None,
    use_bias: bool,
    batch_norm: bool,
) -> None:
    """On images of any size, also odd sizes, each form gives the stock block's outputs."""
    side = (kernel + more[0], kernel + more[1], channels)
    arguments: dict[str, Any] = {"kernel": kernel, "activation": activation, "use_bias": use_bias}
    arguments["batch_norm"] = batch_norm
    model = block(side, filters, **arguments)
    images = np.random.default_rng(2).normal(size=(2, *side)).astype("float32")
    wanted = np.asarray(model.predict_on_batch(images))
    for form in forms:
        twin = block(side, filters, **arguments)
        in_form(twin, form)
        found = np.asarray(twin.predict_on_batch(images))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=ROUNDING * np.abs(wanted).max())


@pytest.mark.parametrize("side", [(28, 28, 1), (12, 12, 20), (15, 18, 2)], ids=str)
@pytest.mark.parametrize("ties", [False, True], ids=["drawn", "ties"])
@pytest.mark.parametrize(
    "arguments",
    [{}, NO_BIAS, {**NO_BIAS, "batch_norm": True}],
    ids=["bias and ReLU", "neither", "batch normalisation"],
)
def test_the_forms_have_one_gradient(
    forms: list[str], side: Any, ties: bool, arguments: dict[str, Any]
) -> None:
    """Each form gives the stock block's gradients; among equal values, the first gets it.

    A kernel of zeros makes all four values under every pooling window equal for any image. The
    kernel's gradient then shows which of them was chosen.
    """
    images = np.random.default_rng(3).normal(size=(4, *side)).astype("float32")
    model = block(side, 6, **arguments)
    if ties:
        ones = [np.ones(weight.shape) for weight in model.weights[1:]]
        model.set_weights([np.zeros((5, 5, side[2], 6)), *ones])
    wanted = gradients(model, images)
    assert all(np.abs(gradient).max() > 0.005 for gradient in wanted)  # moving means move by 0.01
    for form in forms:
        twin = block(side, 6, **arguments)
        twin.set_weights(model.get_weights())
        in_form(twin, form)
        for found, gradient in zip(gradients(twin, images), wanted, strict=True):
            np.testing.assert_allclose(
                found, gradient, rtol=0, atol=ROUNDING * np.abs(gradient).max(), err_msg=form
            )


def test_a_regularizer_of_outputs_keeps_a_layer_out_of_the_block(forms: list[str]) -> None:
    """Normalisation or ReLU whose outputs count in the loss count there in each form too."""
    import keras

    def model(*rest: Any) -> Any:
        return keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Conv2D(2, 3, kernel_initializer="ones", **NO_BIAS),
                keras.layers.MaxPooling2D(2),
                *rest,
                keras.layers.Flatten(),
            ]
        )

    images = np.ones((2, 8, 8, 1), np.float32)
    for kind in (keras.layers.BatchNormalization, keras.layers.ReLU):
        for form in forms:
            one = model(kind(activity_regularizer=keras.regularizers.L2(0.1)))
            in_form(one, form)
            one(images)
            assert len(one.losses) == 1, (kind, form)


def test_halves_are_normalised_in_float32(backend: str, forms: list[str]) -> None:
    """Like Keras's layer, each form takes means and variances of halves in float32."""
    import keras

    images = rounded(np.random.default_rng(3).normal(100, 1, size=(64, 12, 12, 1)))
    keras.config.set_dtype_policy("mixed_bfloat16")
    models = [block((12, 12, 1), 2, **NO_BIAS, batch_norm=True) for _ in range(1 + len(forms))]
    keras.config.set_dtype_policy("float32")
    for form, twin in zip(("stock", *forms), models, strict=True):
        twin.layers[0].kernel.assign(np.full((5, 5, 1, 2), 2**-5))
        if form != "stock":
            in_form(twin, form)
        twin(images, training=True)
    wanted, *others = (twin.get_weights()[2:] for twin in models)  # moving means and variances
    for form, found in zip(forms, others, strict=True):
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-2, err_msg=form)


@pytest.mark.parametrize("form", [TILES, WINOGRAD, WINOGRAD_CHANNELS_FIRST])
def test_products_of_bfloat16_numbers_are_made_in_float32(backend: str, form: str) -> None:
    """Numbers are rounded only on the way in and out.

    If each of Winograd's sums were rounded, the outputs would be off by some hundredths.
    """
    if form not in forms_of(backend):
        return
    import keras

    side = (12, 12, 20)
    images = rounded(np.random.default_rng(3).normal(size=(4, *side)))
    single = block(side, 6)
    single.set_weights(list(map(rounded, single.get_weights())))
    keras.config.set_dtype_policy("mixed_bfloat16")
    half = block(side, 6)
    keras.config.set_dtype_policy("float32")
    half.set_weights(single.get_weights())
    for model in (single, half):
        in_form(model, form)
    wanted, found = (np.asarray(model.predict_on_batch(images)) for model in (single, half))
    one_digit = 2**-8 * np.abs(wanted).max()
    np.testing.assert_allclose(found.astype(np.float32), wanted, rtol=0, atol=one_digit)


def rounded(numbers: NDArray[Any]) -> NDArray[np.float32]:
    """Return `numbers` rounded to bfloat16's precision."""
    return numbers.astype(bfloat16).astype(np.float32)


def test_a_kernel_laid_one_place_off_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison detects an error: two swapped places of a tile change the outputs."""
    tiles = importlib.import_module("lenet_multi.backends.forms.tiles")
    real = list(tiles._places(2))
    monkeypatch.setattr(tiles, "_places", lambda tile: [real[1], real[0], *real[2:]])
    images = np.random.default_rng(3).normal(size=(4, 28, 28, 1)).astype("float32")
    model, twin = block((28, 28, 1), 6), block((28, 28, 1), 6)
    in_form(twin, TILES)
    wanted, found = model.predict_on_batch(images), twin.predict_on_batch(images)
    assert np.abs(np.asarray(found) - np.asarray(wanted)).max() > ROUNDING * np.abs(wanted).max()


def test_each_form_is_really_computed(
    forms: list[str], small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both blocks of the LeNet compute in the requested form."""
    from lenet_multi.backends import forms as module
    from lenet_multi.lenet.networks import build

    images = small.test.x[:2] / np.float32(255)
    seen = []

    def spy(*given: Any) -> Any:
        seen.append(real)
        return real(*given)

    for form in forms:
        real = module.BLOCKS[form]
        monkeypatch.setitem(module.BLOCKS, form, spy)
        model = build(TrainConfig(), small)
        in_form(model, form)
        model(images)
        assert seen[-2:] == [real, real]
    assert len(seen) == 2 * len(forms)


def test_layers_that_are_no_block_compute_as_ever(forms: list[str]) -> None:
    """A form leaves convolutions with strides, padding or another activation to their layers."""
    import keras

    def model() -> Any:
        odd = [
            keras.Input((20, 20, 1)),
            keras.layers.Conv2D(3, 5, activation="relu", padding="same", name="padded"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(3, 3, activation="tanh", name="tanh"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(2, 3, activation="relu", name="last"),
        ]
        model = keras.Sequential(odd)
        draw = np.random.default_rng(0)
        model.set_weights([draw.normal(size=weight.shape) for weight in model.get_weights()])
        return model

    images = np.random.default_rng(1).normal(size=(2, 20, 20, 1)).astype("float32")
    wanted = model().predict_on_batch(images)
    for form in forms:
        twin = model()
        in_form(twin, form)
        np.testing.assert_array_equal(twin.predict_on_batch(images), wanted)


def test_a_form_that_the_backend_lacks_is_refused(backend: str) -> None:
    """TensorFlow on a CPU has no channels-first form; the error lists the forms it has."""
    if backend == "tensorflow":
        with pytest.raises(UserError, match="use stock, pool-first, tiles, winograd"):
            execution(backend, CHANNELS_FIRST)
    else:
        assert execution(backend, CHANNELS_FIRST).form == CHANNELS_FIRST
    with pytest.raises(UserError, match="did you mean 'tiles'"):
        execution(backend, "tile")
