"""Time the stages of a step of stock Keras, and the forward pass of each layer alone."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

import keras
from keras import ops, tree

Call = Callable[[], Any]  # computes something to its end

_SAMPLES, _SECONDS = 5, 0.05  # of each sample


def measure(model: keras.Model, x: Any, y: Any, *, jit: bool) -> dict[str, Any]:
    """Return the milliseconds of the forward pass, of it with the gradient, and of each layer.

    `x` and `y` are a batch as tensors. `jit`: compiled as Keras does with `jit_compile`. Each
    layer of `model.layers` gets the input that it has within the model; of one that is called
    several times, all calls count.
    """
    calls = _recorded(model, x)
    return {
        "forward": _milliseconds(_forward(model, x, jit)),
        "forward_and_backward": _milliseconds(_gradient(model, x, y, jit)),
        "layers": [
            {
                "name": layer.name,
                "kind": type(layer).__name__,
                "ms": sum(_milliseconds(_layer(layer, *given, jit=jit)) for given in of_layer),
            }
            for layer, of_layer in calls
        ],
    }


def _milliseconds(call: Call) -> float:
    for _ in range(2):  # compiles
        call()
    began = time.perf_counter()
    call()
    count = max(1, round(_SECONDS / (time.perf_counter() - began)))

    def sample() -> float:
        began = time.perf_counter()
        for _ in range(count):
            call()
        return 1000 * (time.perf_counter() - began) / count

    return median(sample() for _ in range(_SAMPLES))


def _recorded(model: keras.Model, x: Any) -> list[tuple[keras.layers.Layer, list[Any]]]:
    """Return each layer with the arguments of its calls in a forward pass of training."""
    layers = [one for one in model.layers if not isinstance(one, keras.layers.InputLayer)]
    calls: list[list[Any]] = [[] for _ in layers]
    with ExitStack() as stack:
        for layer, of_layer in zip(layers, calls, strict=True):
            stack.enter_context(_listening(layer, of_layer))
        model(x, training=True)
    return [pair for pair in zip(layers, calls, strict=True) if pair[1]]


@contextmanager
def _listening(layer: keras.layers.Layer, calls: list[Any]) -> Iterator[None]:
    """Note the arguments of each call of `layer` in the block."""
    call = layer.call

    def noted(*given: Any, **named: Any) -> Any:
        calls.append((given, named))
        return call(*given, **named)

    layer.call = noted
    try:
        yield
    finally:
        del layer.call


def _forward(model: keras.Model, x: Any, jit: bool) -> Call:
    return _layer(model, (x,), {"training": True}, jit=jit)


def _layer(
    layer: keras.layers.Layer, given: tuple[Any, ...], named: dict[str, Any], *, jit: bool
) -> Call:
    """Return a call of `layer` with tensors as arguments of what is compiled."""
    flat = tree.flatten((given, named))
    tensors = [part for part in flat if ops.is_tensor(part)]

    def packed(tensors: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        new = iter(tensors)
        parts = [next(new) if ops.is_tensor(part) else part for part in flat]
        packed: tuple[tuple[Any, ...], dict[str, Any]] = tree.pack_sequence_as(
            (given, named), parts
        )
        return packed

    if keras.backend.backend() == "jax":

        def stateless(trained: Any, others: Any, *tensors: Any) -> Any:
            given, named = packed(tensors)
            return layer.stateless_call(trained, others, *given, **named)

        return _jax(stateless, (*_values(layer), *tensors), jit)

    def stateful(*tensors: Any) -> Any:
        given, named = packed(tensors)
        return layer(*given, **named)

    return _compiled(stateful, tensors, jit)


def _gradient(model: keras.Model, x: Any, y: Any, jit: bool) -> Call:
    """Return a call of the forward pass, the loss and its gradient by all weights."""
    match keras.backend.backend():
        case "jax":
            import jax

            def total(trained: Any, others: Any, x: Any, y: Any) -> Any:
                # Keras's own, as in its `train_step`.
                loss, _ = model.compute_loss_and_updates(
                    trained, others, metrics, x, y, None, True, optimizer_values
                )
                return loss

            metrics = [variable.value for variable in model.metrics_variables]
            optimizer_values = [variable.value for variable in model.optimizer.variables]
            return _jax(jax.grad(total), (*_values(model), x, y), jit)
        case "tensorflow":
            import tensorflow as tf

            def by_tape(x: Any, y: Any) -> Any:
                with tf.GradientTape() as tape:
                    outputs = model(x, training=True)
                    loss = model.compute_loss(x=x, y=y, y_pred=outputs)
                return tape.gradient(loss, [w.value for w in model.trainable_weights])

            return _compiled(by_tape, [x, y], jit)
        case _:
            import torch

            def by_autograd(x: Any, y: Any) -> Any:
                loss = model.compute_loss(x=x, y=y, y_pred=model(x, training=True))
                weights = [weight.value for weight in model.trainable_weights]
                return torch.autograd.grad(loss, weights, allow_unused=True)

            return _compiled(by_autograd, [x, y], jit)


def _values(layer: keras.layers.Layer) -> tuple[list[Any], list[Any]]:
    held = layer.trainable_variables, layer.non_trainable_variables
    return tuple([variable.value for variable in side] for side in held)  # type: ignore[return-value]


def _jax(function: Callable[..., Any], arguments: tuple[Any, ...], jit: bool) -> Call:
    import jax

    run = jax.jit(function) if jit else function
    return lambda: jax.block_until_ready(run(*arguments))


def _compiled(function: Callable[..., Any], arguments: list[Any], jit: bool) -> Call:
    """Return a call of `function` as TensorFlow or PyTorch compiles it for Keras."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        graph = tf.function(function, jit_compile=jit, autograph=False)

        def to_the_end() -> None:
            graph(*arguments)
            tf.test.experimental.sync_devices()

        return to_the_end
    import torch

    run = torch.compile(function) if jit else function

    def run_to_the_end() -> None:
        run(*arguments)
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()

    return run_to_the_end
