"""A model that is not the LeNet trains as in stock Keras, or the fast way is refused."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lenet_multi import backends
from lenet_multi.backends.choice import execution
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.lenet.tasks import LENET
from tests.backends.models import fast, in_form

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]

# Three steps in another form, of entries; a part that is dropped shows at 1e-2. Measured 2e-6.
ROUNDING = 1e-4

IMAGES = np.random.default_rng(0).random((32, 12, 12, 1)).astype("float32")
LABELS = np.arange(32) % 4


def stack(*, classes: int = 4, **of_dense: Any) -> Any:
    """Return a convolution block and a dense layer, with drawn weights."""
    import keras

    layers = keras.layers
    return drawn(
        keras.Sequential(
            [
                keras.Input((12, 12, 1)),
                layers.Conv2D(5, 5, activation="relu"),
                layers.MaxPooling2D(2),
                layers.Flatten(),
                layers.Dense(classes, name="dense", **of_dense),
            ]
        )
    )


def drawn(model: Any) -> Any:
    """Return `model` with weights drawn by NumPy."""
    draw = np.random.default_rng(1)
    model.set_weights([draw.normal(scale=0.2, size=weight.shape) for weight in model.get_weights()])
    return model


def skip_connection() -> Any:
    """Return a functional model with a path around its second convolution."""
    import keras

    layers = keras.layers
    images = keras.Input((12, 12, 1))
    first = layers.Conv2D(5, 5, activation="relu")(images)
    pooled = layers.MaxPooling2D(2)(first)
    passed = layers.Flatten()(pooled)
    second = layers.Flatten()(layers.Conv2D(5, 3, padding="same", activation="relu")(pooled))
    return drawn(keras.Model(images, layers.Dense(4)(layers.Add()([passed, second]))))


def subclass() -> Any:
    """Return a stack whose class computes its layers in another way."""
    import keras

    class Doubled(keras.Sequential):  # type: ignore[misc]  # Keras carries no types
        def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
            return 2 * super().call(inputs, training=training, mask=mask)

    layers = keras.layers
    blocks = [layers.Conv2D(5, 5, activation="relu"), layers.MaxPooling2D(2)]
    return drawn(Doubled([keras.Input((12, 12, 1)), *blocks, layers.Flatten(), layers.Dense(4)]))


@pytest.mark.parametrize("build", [stack, skip_connection, subclass], ids=lambda b: b.__name__)
def test_a_form_computes_the_same_function(backend: str, build: Callable[[], Any]) -> None:
    """A model that is no plain stack of layers computes as its own layers do."""
    wanted = np.asarray(build().predict_on_batch(IMAGES))
    model = build()
    in_form(model, execution(backend).form)
    found = np.asarray(model.predict_on_batch(IMAGES))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=ROUNDING * np.abs(wanted).max())


def own_adam(**settings: Any) -> Any:
    """Return our Adam with a learning rate of 0.01 and Keras's other defaults."""
    from lenet_multi.backends.adam import Adam

    return Adam(0.01, **settings)


def as_kerass(optimizer: Any) -> Any:
    """Return Keras's own Adam with the settings of ours, and any other optimizer as it is."""
    import keras

    from lenet_multi.backends.adam import Adam

    is_ours = isinstance(optimizer, Adam)
    return keras.optimizers.Adam.from_config(optimizer.get_config()) if is_ours else optimizer


def with_added_loss() -> Any:
    """Return a stack with a layer that adds a loss of its own."""
    import keras

    class Adding(keras.layers.Layer):  # type: ignore[misc]  # Keras carries no types
        def call(self, inputs: Any) -> Any:
            self.add_loss(keras.ops.mean(keras.ops.square(inputs)))
            return inputs

    model = stack()
    return drawn(keras.Sequential([*model.layers, Adding()]))


def compile_args(**given: Any) -> dict[str, Any]:
    """Return arguments of `compile`: our Adam and cross-entropy, with changes."""
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return {"optimizer": own_adam(), "loss": loss, "jit_compile": False, **given}


def l2() -> Any:
    """Return a stack with a regularizer."""
    import keras

    return stack(kernel_regularizer=keras.regularizers.L2(0.1))


def constrained() -> Any:
    """Return a stack whose dense kernel is limited to a small norm."""
    import keras

    return stack(kernel_constraint=keras.constraints.MaxNorm(0.1))


def penalised() -> Any:
    """Return a stack whose convolution adds a loss of its outputs."""
    import keras

    layers = keras.layers
    penalty = keras.regularizers.L2(0.1)
    first = layers.Conv2D(5, 5, activation="relu", activity_regularizer=penalty)
    blocks = [first, layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(4)]
    return drawn(keras.Sequential([keras.Input((12, 12, 1)), *blocks]))


def batch_normalised() -> Any:
    """Return a stack with a layer that has a state."""
    import keras

    model = stack()
    return keras.Sequential([*model.layers, keras.layers.BatchNormalization()])


CASES: dict[str, tuple[Callable[[], Any], Callable[[], dict[str, Any]]]] = {
    "plain": (stack, compile_args),
    "a regulariser": (l2, compile_args),
    "outputs that are regularised": (penalised, compile_args),
    "a scaled loss": (stack, lambda: compile_args(optimizer=own_adam(loss_scale_factor=8.0))),
    "amsgrad": (stack, lambda: compile_args(optimizer=own_adam(amsgrad=True))),
    "a loss of a layer": (with_added_loss, compile_args),
    "a constraint": (constrained, compile_args),
    # Adam would divide gradients that are rounding alone, as of the biases before it.
    "a state": (batch_normalised, lambda: compile_args(optimizer="sgd")),
    "clipping": (stack, lambda: compile_args(optimizer=own_adam(global_clipnorm=0.01))),
    "weight decay": (stack, lambda: compile_args(optimizer=own_adam(weight_decay=0.5))),
    "averaging": (
        stack,
        lambda: compile_args(
            optimizer=own_adam(use_ema=True, ema_overwrite_frequency=2, ema_momentum=0.5)
        ),
    ),
    "accumulation": (
        stack,
        lambda: compile_args(optimizer=own_adam(gradient_accumulation_steps=2)),
    ),
    "a loss's weight": (stack, lambda: compile_args(loss_weights=[0.1])),
    "a loss by name": (
        lambda: stack(classes=1),
        lambda: compile_args(loss="mse", optimizer="sgd"),
    ),
    "a sum for a loss": (
        lambda: stack(classes=1),
        lambda: compile_args(loss=_summed(), optimizer="sgd"),
    ),
}


def _summed() -> Any:
    import keras

    return keras.losses.MeanSquaredError(reduction="sum")


def trained(model: Any, *, weights: NDArray[Any] | None = None) -> list[NDArray[Any]]:
    """Return the weights after three steps."""
    for _ in range(3):
        model.train_on_batch(IMAGES, LABELS, sample_weight=weights)
    return [np.asarray(weight) for weight in model.get_weights()]


def assert_alike(found: list[NDArray[Any]], wanted: list[NDArray[Any]]) -> None:
    """Assert that weights differ only by rounding."""
    for ours, stock in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, stock, rtol=0, atol=ROUNDING * np.abs(stock).max())


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_dropped_from_a_step(name: str) -> None:
    """Keras's step trains what a fast step does not support."""
    build, arguments = CASES[name]
    stock, ours = build(), build()
    fast(ours)
    for model in (stock, ours):
        model.compile(**arguments())
    stock.optimizer = as_kerass(stock.optimizer)
    assert_alike(trained(ours), trained(stock))


def test_the_weights_of_images_are_kept() -> None:
    """`fit` gets weights for each image, or for each class."""
    stock, ours = stack(), stack()
    fast(ours)
    weights = np.where(np.arange(32) < 16, 0.0, 2.0).astype("float32")
    for model in (stock, ours):
        model.compile(**compile_args())
    assert_alike(trained(ours, weights=weights), trained(stock, weights=weights))


@pytest.mark.parametrize("convolutions", [False, True], ids=["products", "a convolution"])
def test_xla_loops_over_products_alone(backend: str, convolutions: bool) -> None:
    """A convolution outside all forms is slow in XLA's loop on a CPU."""
    import keras

    from lenet_multi.backends.fast import why_not

    model = stack()
    if convolutions:
        more = keras.layers.Conv2D(1, 3, padding="same")
        model = keras.Sequential([keras.Input((12, 12, 1)), more, *model.layers])
    fast(model)
    model.compile(**compile_args())
    loops = isinstance(model, backends.module(backend).Training) and backend != "torch"
    assert loops == (backend != "torch" and not convolutions)
    assert (why_not(model) is None) == (loops or backend == "torch")


def test_dropout_goes_on_where_it_was(backend: str, small: Dataset, tmp_path: Path) -> None:
    """A resumed training draws the same numbers as an undisturbed one."""
    import keras

    from lenet_multi.runs import checkpoint
    from lenet_multi.training.fit import fit
    from lenet_multi.training.resume import Keeping
    from lenet_multi.training.setup import compile_model

    config = TrainConfig(epochs=2, batch_size=100, save_every="1")

    def fitted(folder: Path, state: Any = None) -> Any:
        keras.utils.clear_session()
        model = stack(classes=10)
        images = keras.Input((28, 28, 1))
        layers = [keras.layers.AveragePooling2D(2), keras.layers.Dropout(0.5, seed=7)]
        cut = keras.layers.Cropping2D(1)
        model = drawn(keras.Sequential([images, *layers, cut, *model.layers]))
        compile_model(model, LENET, config, execution(backend), examples=900)
        folder.mkdir(exist_ok=True)
        training, validation = small.train[:900], small.train[900:]
        keeping = Keeping(folder, "data", state)
        fit(model, LENET, training, validation, config, keeping=keeping, quiet=True)
        return model

    whole = fitted(tmp_path / "whole")
    kept = sorted((tmp_path / "whole" / "resume").glob("*.npz"))
    # The last one but the trained model's own.
    state = checkpoint._read(kept[-2])
    assert state.epoch < 2
    resumed = fitted(tmp_path / "resumed", state)
    for found, wanted in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_the_lenet_takes_the_fast_way(backend: str, small: Dataset) -> None:
    """A fast way trains the LeNet."""
    from lenet_multi.backends.fast import why_not
    from lenet_multi.training.setup import build, compile_model

    config = dataclasses.replace(TrainConfig(), batch_size=32)
    model = build(LENET, config, small)
    wanted = execution(backend)
    assert compile_model(model, LENET, config, wanted, examples=320) == wanted
    assert isinstance(model, backends.module(backend).Training)
    assert why_not(model) is None
