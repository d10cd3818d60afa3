"""Every sabotage of a fast way is caught, and a clean one is not."""

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from lenet_multi import backends
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
        model.fit(**{"x": X, "y": Y, "batch_size": 16, "verbose": 0} | of_fit)
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
def test_a_fast_way_that_is_right_serves(
    backend: str, build: Callable[[], Any], weights: Any
) -> None:
    """No reason is found against a fast way that computes the same as stock Keras.

    TensorFlow's XLA draws other random numbers, so there dropout is a reason.
    """
    fit = fitted(build(), sample_weight=weights)
    if (backend, build) == ("tensorflow", with_dropout):
        assert fit.why_stock.startswith("XLA draws other random numbers")
    else:
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

    from lenet_multi.backends.variables import changed_by_steps

    backend = backends.module(keras.backend.backend())
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
            paths = [variable.path for variable in changed_by_steps(model)]
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
    assert type(model) is type(twin)


def test_a_model_is_stock_again_after_the_block(backend: str) -> None:
    """After the block class and compile settings are stock ones; no block stands in another."""
    import keras

    from lenet_multi.backends.fast import fast
    from lenet_multi.errors import UserError

    model = plain()
    stock, settings, steps = type(model), model.get_compile_config(), model.steps_per_execution
    with fast(model):
        model.fit(X, Y, verbose=0)
        assert isinstance(model, stock)
        assert type(model) is not stock
        with pytest.raises(UserError, match="leave the other block first"), fast(model):
            pass
    assert type(model) is stock
    assert not hasattr(model, "fast")
    assert (model.get_compile_config(), model.steps_per_execution) == (settings, steps)
    again = model.evaluate(X, Y, verbose=0)
    assert again == pytest.approx(model.evaluate(X, Y, verbose=0))
    assert isinstance(model.optimizer, keras.optimizers.Adam)


def test_the_first_steps_are_those_of_stock_keras() -> None:
    """Fast or stock, a training takes the same batches, and differs only by rounding."""
    import keras

    ours, stock = plain(), plain()
    validation = (X[:32], Y[:32])
    keras.utils.set_random_seed(3)
    fitted(ours, epochs=3, validation_data=validation)
    keras.utils.set_random_seed(3)
    stock.fit(X, Y, batch_size=16, epochs=3, verbose=0, validation_data=validation)
    assert ours.history.history.keys() == stock.history.history.keys()
    for found, wanted in zip(ours.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)  # measured: 2e-7


def test_a_callback_sees_each_batch_if_it_asks(backend: str) -> None:
    """Many steps are one call unless a callback wants to act between them."""
    import keras

    seen: list[int] = []
    watching = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(1))
    fitted(plain(), callbacks=[watching])
    assert len(seen) == 10


def test_what_changes_between_two_fits_counts() -> None:
    """A learning rate set between two fits applies, and weights of examples are checked anew."""
    from lenet_multi.backends.fast import fast

    model = plain()
    fit: Any
    with fast(model) as fit:
        model.fit(X[:80], Y[:80], batch_size=16, verbose=0)
        assert fit.check.is_open  # five steps so far
        model.optimizer.learning_rate = 0.0
        before = model.get_weights()
        model.fit(X, Y, batch_size=16, verbose=0)
        assert not fit.check.is_open
        assert fit.why_stock is None
        assert all(map(np.array_equal, model.get_weights(), before))
        model.fit(X, Y, batch_size=16, verbose=0, sample_weight=WEIGHTS)
        assert fit.check.steps == 10
        assert fit.why_stock is None


@pytest.mark.parametrize("in_one_block", [True, False], ids=["in one block", "in two blocks"])
@pytest.mark.parametrize("is_fast", [True, False], ids=["fast", "stock"])
def test_a_model_compiled_again_trains_with_the_new_loss(
    in_one_block: bool, is_fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that is compiled again trains like one that never had the first loss."""
    import keras

    from lenet_multi.backends.fast import fast
    from lenet_multi.runs import tolerances

    def compile_again(model: Any) -> None:
        model.compile(keras.optimizers.Adam(0.01), "mae", metrics=["mse"])

    def trained(model: Any) -> Any:
        return model.fit(X, Y, batch_size=16, shuffle=False, verbose=0).history

    if not is_fast:  # no gap passes
        monkeypatch.setattr(tolerances, "TWINS", Mock(value=-1))
    ours, stock = plain(), plain()
    ours.optimizer.learning_rate = 0.0
    kept: Any
    with fast(ours) as kept:
        trained(ours)
        assert (kept.why_stock is None) == is_fast
        if in_one_block:
            compile_again(ours)
            found = trained(ours)
    if not in_one_block:
        compile_again(ours)
        with fast(ours) as again:
            found = trained(ours)
        assert (again.why_stock is None) == is_fast
    compile_again(stock)
    wanted = trained(stock)
    assert found.keys() == wanted.keys() == {"loss", "mse"}
    assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-5)
    for one, other in zip(ours.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)  # measured: 1e-7


def test_an_input_may_be_absent(backend: str) -> None:
    """A model with an optional input trains without it, as stock Keras does."""
    import keras

    class First(keras.layers.Layer):  # type: ignore[misc]  # Keras carries no types
        def call(self, first: Any, second: Any = None) -> Any:
            return first if second is None else first + second

    def build() -> Any:
        given, absent = keras.Input((8,), name="x"), keras.Input((8,), name="absent", optional=True)
        outputs = keras.layers.Dense(1, kernel_initializer="ones")(First()(given, absent))
        model = keras.Model({"x": given, "absent": absent}, outputs)
        model.compile(keras.optimizers.SGD(0.01), "mse")
        return model

    ours, stock = build(), build()
    fitted(ours, x={"x": X, "absent": None}, shuffle=False)
    stock.fit({"x": X, "absent": None}, Y, batch_size=16, shuffle=False, verbose=0)
    for one, other in zip(ours.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)  # measured: 1e-7


def test_a_model_on_several_devices_stays_stock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where TensorFlow's strategy has two replicas, the reason is known before the first step."""
    import keras

    from lenet_multi.backends.fast import why_not
    from tests.backends.models import fast

    model = plain()
    fast(model)
    strategy = Mock(num_replicas_in_sync=2)
    monkeypatch.setattr(keras.Model, "distribute_strategy", strategy, raising=False)
    assert why_not(model) == "it is distributed over devices"


def test_everything_is_restored(backend: str) -> None:
    """A check before a training leaves weights, optimizer, metrics and seeds as they were."""
    import keras

    from lenet_multi.backends import selfcheck
    from tests.backends.models import fast

    model = plain(keras.layers.BatchNormalization(), keras.layers.Dropout(0.5, seed=2))
    fast(model)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    batches = [(X[at : at + 16], Y[at : at + 16]) for at in range(0, COUNT, 16)]
    before = [np.copy(weight) for weight in model.get_weights()]
    drawn = np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    reason = selfcheck.why_not(model, batches)
    assert (reason is None) == (backend == "jax")  # others would draw other numbers
    assert all(map(np.array_equal, model.get_weights(), before))
    assert int(model.optimizer.iterations) == 0
    assert not any(np.any(keras.ops.convert_to_numpy(v)) for v in model.metrics_variables)
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], drawn)  # noqa: NPY002


def test_hidden_convolutions_are_found(backend: str) -> None:
    """XLA's loop holds no convolution on a CPU, even of a layer that computes it by itself."""
    import keras

    class Hidden(keras.layers.Layer):  # type: ignore[misc]  # Keras carries no types
        def call(self, inputs: Any) -> Any:
            kernel = keras.ops.ones((3, 16, 4))
            return keras.ops.conv(keras.ops.expand_dims(inputs, 1), kernel, padding="same")[:, 0]

    class Wrapped(keras.layers.Layer):  # type: ignore[misc]  # Keras carries no types
        def __init__(self) -> None:
            super().__init__()
            self.inner = [keras.layers.Conv1D(4, 3, padding="same")]

        def call(self, inputs: Any) -> Any:
            return self.inner[0](keras.ops.expand_dims(inputs, 1))[:, 0]

    for layer in (Hidden(), Wrapped()):
        fit = fitted(plain(layer))
        assert (fit.why_stock or "").startswith("XLA would loop over") == (backend != "torch")


def test_a_train_steps_own_logs_come_out(backend: str) -> None:
    """A custom train_step's logs are Keras's history; on PyTorch it stays stock."""
    import keras

    class Own(keras.Model):  # type: ignore[misc]  # Keras carries no types
        def train_step(self, *given: Any) -> Any:
            done: Any = super().train_step(*given)
            logs: Any = done[0] if isinstance(done, tuple) else done
            logs = {"mine": 2 * logs["loss"], **logs}
            return (logs, *done[1:]) if isinstance(done, tuple) else logs

    inputs = keras.Input((8,))
    model = Own(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    fit = fitted(model)
    history = model.history.history
    assert history["mine"][0] == pytest.approx(2 * history["loss"][0], rel=1e-5)
    reason = "its class has a train_step of its own" if backend == "torch" else None
    assert fit.why_stock == reason
