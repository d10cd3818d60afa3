"""Time each stage of a training step alone, forward and backward: Keras's stages and ours.

Keras has no function for gradients, so three small adapters ask the backend. The optimizer is
Keras's Adam on all eight weights.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from benchmarks.epoch import OURS
from benchmarks.record import Record
from benchmarks.study import BATCH, PASSES, STAGES
from lenet_multi.backends import choice
from lenet_multi.backends.forms import BLOCKS
from lenet_multi.backends.forms.after import activated
from lenet_multi.config import TrainConfig
from lenet_multi.lenet.image_sets import load
from lenet_multi.lenet.networks import build
from lenet_multi.machine import keras_start
from lenet_multi.machine.keras_start import CPU

Function = Callable[..., Any]

CALLS = 5  # in a sample

# The input shape of each stage: (batch, ...) float32.
INPUTS = {
    "conv1": (28, 28, 1),
    "pool1": (24, 24, 20),
    "block1": (28, 28, 1),
    "conv2": (12, 12, 20),
    "pool2": (8, 8, 50),
    "block2": (12, 12, 20),
    "dense": (800,),
    "optimizer": (),
}


def measure(backend: str, *, way: str, stage: str, pass_: str) -> Record:
    """Return the milliseconds of one batch through `stage`, until the result is available."""
    call = _call(backend, stage, pass_)
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    milliseconds = 1000 * (time.perf_counter() - began) / CALLS
    return Record("stage", backend, way, "ms", [milliseconds], {"stage": stage, "pass": pass_})


@functools.cache
def _call(backend: str, stage: str, pass_: str) -> Callable[[], None]:
    model = build(TrainConfig(), load())
    if stage == "optimizer":
        call = _optimizer(model)
    else:
        function, weights = _stage(model, stage)
        shape = (BATCH, *INPUTS[stage])
        images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        images_too = stage not in ("conv1", "block1")  # the pixels' gradient is never needed
        task = (function, images, weights, pass_ == PASSES[1], images_too)
        if backend == "tensorflow":
            by_xla = stage in STAGES[OURS] and choice.here().xla_loops
            call = _tensorflow(*task, jit_compile=by_xla)
        else:
            call = {"jax": _jax, "torch": _torch}[backend](*task)
    call()
    return call


def _stage(model: keras.Model, stage: str) -> tuple[Function, list[Any]]:
    """Return a stage as a function of images and weights, with its weights."""
    layers = {layer.name: layer for layer in model.layers}
    if stage == "dense":
        first, second = layers["dense1"], layers["dense2"]

        def dense(flat: Any, *weights: Any) -> Any:
            w1, c1, w2, c2 = weights
            return ops.matmul(ops.relu(ops.matmul(flat, w1) + c1), w2) + c2

        return dense, [weight.numpy() for weight in first.weights + second.weights]
    if stage.startswith("pool"):
        return (lambda images: ops.max_pool(images, 2, 2)), []
    weights = [w.numpy() for w in layers["conv" + stage[-1]].weights]
    if stage.startswith("conv"):
        return (lambda images, kernel, bias: ops.relu(ops.conv(images, kernel) + bias)), weights
    block = BLOCKS[choice.here().form]
    return (lambda images, kernel, bias: block(images, kernel, activated(bias, ops.relu))), weights


def _optimizer(model: keras.Model) -> Callable[[], None]:
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    gradients = [ops.convert_to_tensor(weight.numpy()) for weight in model.trainable_variables]
    if keras.backend.backend() == "jax":
        import jax

        step = jax.jit(optimizer.stateless_apply)
        variables = [v.value for v in optimizer.variables], gradients, list(gradients)

        def step_of_jax() -> None:
            jax.block_until_ready(step(*variables))

        return step_of_jax
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function  # type: ignore[untyped-decorator]
        def step() -> None:
            optimizer.apply(gradients, model.trainable_variables)

        def step_of_tensorflow() -> None:
            step()
            tf.test.experimental.sync_devices()

        return step_of_tensorflow
    import torch

    def step_of_torch() -> None:
        with torch.no_grad():
            optimizer.apply(gradients, model.trainable_variables)

    return _to_the_end_of_torch(step_of_torch)


def _tensorflow(
    function: Function,
    images: Any,
    weights: list[Any],
    backward: bool,
    images_too: bool,
    *,
    jit_compile: bool,
) -> Callable[[], None]:
    import tensorflow as tf

    inputs = [tf.constant(images), *(tf.constant(weight) for weight in weights)]

    @tf.function(jit_compile=jit_compile)  # type: ignore[untyped-decorator]
    def run() -> Any:
        if not backward:
            return function(*inputs)
        wanted = inputs if images_too else inputs[1:]
        with tf.GradientTape() as tape:
            tape.watch(wanted)
            total = tf.reduce_sum(function(*inputs))
        return tape.gradient(total, wanted)

    def to_the_end() -> None:
        run()
        tf.test.experimental.sync_devices()

    return to_the_end


def _jax(
    function: Function, images: Any, weights: list[Any], backward: bool, images_too: bool
) -> Callable[[], None]:
    import jax

    inputs = [jax.numpy.asarray(images), *map(jax.numpy.asarray, weights)]

    def total(*inputs: Any) -> Any:
        return function(*inputs).sum()

    wanted = tuple(range(0 if images_too else 1, len(inputs)))
    run = jax.jit(jax.grad(total, argnums=wanted) if backward else function)

    def to_the_end() -> None:
        jax.block_until_ready(run(*inputs))

    return to_the_end


def _torch(
    function: Function, images: Any, weights: list[Any], backward: bool, images_too: bool
) -> Callable[[], None]:
    import torch

    device = ops.zeros(()).device
    inputs = [torch.tensor(array, device=device) for array in (images, *weights)]
    for tensor in inputs if images_too else inputs[1:]:
        tensor.requires_grad_(backward)

    def run() -> None:
        for tensor in inputs:
            tensor.grad = None
        with torch.set_grad_enabled(backward):
            total = function(*inputs)
        if backward:
            total.sum().backward()

    return _to_the_end_of_torch(run)


def _to_the_end_of_torch(run: Callable[[], None]) -> Callable[[], None]:
    import torch

    if keras_start.device() == CPU:
        return run

    def to_the_end() -> None:
        run()
        torch.cuda.synchronize()

    return to_the_end
