"""Every sabotage of a fast way is caught, and a clean one is not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.conftest import CHOSEN

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]

COUNT = 10 * 16
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(COUNT, 8)).astype("float32")
Y = DRAW.normal(size=(COUNT, 1)).astype("float32")
WEIGHTS = np.where(np.arange(COUNT) % 2, 2.0, 0.0).astype("float32")


def plain(*hidden: Any, **of_dense: Any) -> Any:
    """Return a compiled functional model with a regularised layer, and `hidden` layers."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8,))
    outputs = layers.Dense(16, activation="tanh", kernel_regularizer="l2")(inputs)
    for layer in hidden:
        outputs = layer(outputs)
    model = keras.Model(inputs, layers.Dense(1, **of_dense)(outputs))
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model


def fitted(model: Any, **of_fit: Any) -> Any:
    """Fit the model in a block of `fast`; return what the block knows of it."""
    from lenet_multi.backends.fast import fast

    with fast(model) as fit:
        model.fit(X, Y, batch_size=16, verbose=0, **of_fit)
    return fit


def normalised() -> Any:
    """Return a model with a state."""
    import keras

    return plain(keras.layers.BatchNormalization())


def with_dropout() -> Any:
    """Return a model that draws from the backend's own generator."""
    import keras

    return plain(keras.layers.Dropout(0.5))


@pytest.mark.parametrize("build", [plain, normalised, with_dropout], ids=lambda b: b.__name__)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
def test_a_fast_way_that_is_right_serves(build: Callable[[], Any], weights: Any) -> None:
    """No reason is found against a fast way that computes the same as stock Keras."""
    fit = fitted(build(), sample_weight=weights)
    assert fit.why_stock is None
    assert fit.check.steps == 10


# The name of a sabotage, the model that suffers, and what the reason names.
SABOTAGES = {
    "the regulariser dropped": (plain, "loss"),
    "the weights of examples ignored": (plain, "loss"),
    "the logs lost": (plain, "other logs"),
    "the moving mean frozen": (normalised, "moving_mean"),
    "the rate doubled": (plain, "kernel"),
}
if CHOSEN.get("KERAS_BACKEND") == "torch":
    SABOTAGES["the dropout mask frozen"] = (with_dropout, "loss")


def sabotage(name: str, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break the fast way of `model`, not stock Keras."""
    import keras

    from lenet_multi.backends import selfcheck

    backend = selfcheck.backends.module(keras.backend.backend())
    right = backend.trained

    def broken(model: Any, function: Any, state: Any, batches: Any) -> Any:
        """Train the fast way alone as `name` says."""
        if type(model) is model.fast.stock:
            return right(model, function, state, batches)
        regularisers = [(layer, layer.kernel_regularizer) for layer in kernels(model)]
        before = [np.copy(value) for value in state]
        if name == "the regulariser dropped":
            for layer, _ in regularisers:
                layer.kernel.regularizer = None
        if name == "the weights of examples ignored":
            batches = [batch[:2] for batch in batches]
        if name == "the dropout mask frozen":
            state = [*state[:-1], frozen.setdefault("generator", state[-1])]
        logs, after = right(model, function, state, batches)
        for layer, regulariser in regularisers:
            layer.kernel.regularizer = regulariser
        if name == "the logs lost":
            logs = {"loss": logs["loss"]}
        if name == "the moving mean frozen":
            paths = [variable.path for variable in selfcheck.changed_by_steps(model)]
            place = next(i for i, path in enumerate(paths) if "moving_mean" in path)
            after[place] = before[place]
        if name == "the rate doubled":
            count = len(model.trainable_variables)
            moved = [2 * new - old for new, old in zip(after, before, strict=True)]
            after = [*moved[:count], *after[count:]]
        return logs, after

    frozen: dict[str, Any] = {}
    monkeypatch.setattr(backend, "trained", broken)


def kernels(model: Any) -> list[Any]:
    """Return the layers with a regularised kernel."""
    return [layer for layer in model.layers if getattr(layer, "kernel_regularizer", None)]


@pytest.mark.parametrize("name", SABOTAGES)
def test_a_fast_way_that_is_wrong_is_caught(
    name: str,
    backend: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A fast way that drops a part of the step does not serve, and the reason is printed once."""
    build, named = SABOTAGES[name]
    model, twin = build(), build()
    sabotage(name, model, monkeypatch)
    weights = WEIGHTS if "examples" in name else None
    fit = fitted(model, sample_weight=weights)
    assert named in fit.why_stock
    assert capsys.readouterr().err.count(f"{backend} trains through stock Keras: ") == 1
    if "dropout" not in name:
        twin.fit(X, Y, batch_size=16, verbose=0, sample_weight=weights, shuffle=False)
        assert len(twin.get_weights()) == len(model.get_weights())
