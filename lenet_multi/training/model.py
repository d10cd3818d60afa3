"""The networks, defined once for every backend."""

import hashlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from lenet_multi.backends.adam import Adam
from lenet_multi.backends.choice import Execution
from lenet_multi.backends.forms import compute_as, holds_convolution
from lenet_multi.backends.xla_steps import XlaSteps
from lenet_multi.config import STEP_FACTOR, STEPS_DOWN, WARM_UP, TrainConfig
from lenet_multi.errors import UserError
from lenet_multi.machine import keras_start
from lenet_multi.machine.allocator import keep_freed_memory
from lenet_multi.machine.keras_start import CPU
from lenet_multi.machine.other_frameworks import tensorflow_left_out
from lenet_multi.training.initial_weights import draw_initial_weights, nothing_drawn

_SMALLEST_SIDE = 16  # two 5x5 convolutions and two 2x2 poolings leave one pixel of it


def lenet(
    input_shape: tuple[int, ...] = (28, 28, 1), classes: int = 10, *, head: str = "logits"
) -> keras.Sequential:
    """Return the notebook's LeNet: (N, height, width, channels) float32 to (N, classes) float32.

    With 28x28x1 images and 10 classes it has 431,080 parameters. `head` is "logits" or
    "softmax".

    Raises `UserError` when the images are too small for the two convolutions.
    """
    if min(input_shape[:2]) < _SMALLEST_SIDE:
        raise UserError(
            f"images of {input_shape[0]}x{input_shape[1]} pixels are too small for the LeNet; "
            f"it takes {_SMALLEST_SIDE}x{_SMALLEST_SIDE} or larger"
        )
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(20, 5, activation="relu", name="conv1"),
            layers.MaxPooling2D(2, name="pool1"),
            layers.Conv2D(50, 5, activation="relu", name="conv2"),
            layers.MaxPooling2D(2, name="pool2"),
            layers.Flatten(name="flatten"),
            layers.Dense(500, activation="relu", name="dense1"),
            layers.Dense(classes, activation=_activation(head), name="dense2"),
        ],
        name="lenet",
    )


def softmax_regression(
    input_shape: tuple[int, ...] = (28, 28, 1), classes: int = 10, *, head: str = "logits"
) -> keras.Sequential:
    """Return one dense layer on the pixels: 7,850 parameters on 28x28x1 images and 10 classes."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Flatten(name="flatten"),
            layers.Dense(classes, activation=_activation(head), name="dense"),
        ],
        name="softmax_regression",
    )


def _activation(head: str) -> str | None:
    return "softmax" if head == "softmax" else None


ARCHITECTURES = {"lenet": lenet, "softmax-regression": softmax_regression}


def build(config: TrainConfig, input_shape: tuple[int, ...]) -> keras.Model:
    """Return the network of `config` with the initial weights of its seed."""
    with nothing_drawn():
        model = ARCHITECTURES[config.architecture](input_shape, config.classes, head=config.head)
    shapes = [weight.shape for weight in model.weights]
    model.set_weights(draw_initial_weights(shapes, seed=config.seed))
    return model


def compile_model(
    model: keras.Model, config: TrainConfig, execution: Execution, *, training_images: int
) -> None:
    """Give `model` the loss and the optimizer of `config`, and compute it as `execution` says."""
    if execution.keep_freed_memory:
        keep_freed_memory()
    compute_as(model, execution.form, execution.answer_form)
    model.compile(
        optimizer=make_optimizer(config, training_images=training_images),
        loss=make_loss(config),
        metrics=["accuracy"],
        jit_compile=execution.jit_compile,
        steps_per_execution=execution.steps_per_execution,
    )
    if execution.xla_loops and not _is_slow_in_a_loop(model, execution.form):
        model.make_train_function = XlaSteps(model, batch_size=config.batch_size)
    save_portably(model)


def _is_slow_in_a_loop(model: keras.Model, form: str) -> bool:
    """Return whether XLA would loop over a convolution on a CPU: that takes four times as long."""
    return keras_start.device() == CPU and holds_convolution(model, form)


def make_loss(config: TrainConfig) -> keras.losses.Loss:
    """Return the loss of `config`, for the head that it names."""
    loss_class = {
        "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    }[config.loss]
    return loss_class(from_logits=config.head == "logits")


def make_optimizer(config: TrainConfig, *, training_images: int) -> keras.optimizers.Optimizer:
    """Return the optimizer of `config`; a schedule spans all epochs over `training_images`."""
    steps = config.epochs * config.steps_per_epoch(training_images)
    rate: float | keras.optimizers.schedules.LearningRateSchedule = config.learning_rate
    if config.lr_schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    elif config.lr_schedule == "one-cycle":
        rising = round(WARM_UP * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, steps - rising, warmup_target=rate, warmup_steps=rising
        )
    elif config.lr_schedule == "step":
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(
            # A step's rate is that of the steps done before it.
            [round(share * steps) - 1 for share in STEPS_DOWN],
            [rate * STEP_FACTOR**fallen for fallen in range(len(STEPS_DOWN) + 1)],
        )
    return Adam(rate, beta_1=config.beta_1, beta_2=config.beta_2)


def weights_sha256(model: keras.Model) -> str:
    """Return the SHA-256 over path, shape, dtype and bytes of every weight the model holds."""
    digest = hashlib.sha256()
    for weight in model.weights:
        values = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{weight.path} {values.shape} {values.dtype.str}\n".encode())
        digest.update(values.data)
    return digest.hexdigest()


def with_logits(model: keras.Model) -> keras.Model:
    """Return `model`, or its copy without the softmax when it ends in one."""
    if getattr(model.layers[-1], "activation", None) is not keras.activations.softmax:
        return model
    twin = _clone(model)
    twin.layers[-1].activation = keras.activations.linear
    return twin


def with_probabilities(model: keras.Model) -> keras.Model:
    """Return a model that computes in float32 what `model` does, and ends in probabilities.

    Images are its input `images`, (N, height, width, channels); it gives (N, classes), their
    softmax where `model` gives logits.

    Raises `UserError` when `model` gives neither logits nor a softmax.
    """
    last = model.layers[-1]
    activation = getattr(last, "activation", None)
    gives_softmax = isinstance(last, layers.Softmax) or activation is keras.activations.softmax
    if not gives_softmax and activation is not keras.activations.linear:
        raise UserError(
            f"the model's last layer, {last.name}, gives neither logits nor a softmax, so that "
            "what it answers are no probabilities"
        )
    if any(layer.compute_dtype != "float32" for layer in model.layers):
        model = _in_float32(model)
    images = keras.Input(model.input_shape[1:], name="images")
    answers = model(images)
    return keras.Model(images, answers if gives_softmax else layers.Softmax()(answers))


def _in_float32(model: keras.Model) -> keras.Model:
    def copy(layer: layers.Layer) -> layers.Layer:
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    return _clone(model, copy)


def _clone(model: keras.Model, copy: Callable[[Any], Any] | None = None) -> keras.Model:
    """Return a model of copied layers, by `copy` where given, with the same weights."""
    with tensorflow_left_out(), nothing_drawn():
        twin = keras.models.clone_model(model, clone_function=copy)
    twin.set_weights(model.get_weights())
    return twin


def save_portably(model: keras.Model) -> None:
    """Free what is saved of the compiled `model`, whoever saves it, of the backend it is on.

    The file is one that each backend loads, goes on with and compiles in its own way.
    Keras 3.15.1 writes what binds the file to that: its answer to `jit_compile="auto"`, which
    would turn XLA off on JAX or torch.compile on; the steps per execution, of which torch
    refuses more than one; and torch's own class of the optimizer, which no other backend can
    step, nor load without torch. The file keeps the question, one step, and the class that
    Keras documents.
    """
    compile_config = model.get_compile_config
    model.get_compile_config = lambda: _portable(compile_config())
    model.save = tensorflow_left_out()(model.save)


def _portable(compile_config: dict[str, Any]) -> dict[str, Any]:
    optimizer = compile_config["optimizer"]
    is_known = optimizer["module"].startswith("keras.") or optimizer["module"] == Adam.__module__
    if is_known and hasattr(keras.optimizers, optimizer["class_name"]):
        # Keras's, PyTorch's or our Adam: one formula, one state
        optimizer = {**optimizer, "module": "keras.optimizers", "registered_name": None}
    return {
        **compile_config,
        "optimizer": optimizer,
        "jit_compile": "auto",
        "steps_per_execution": 1,
    }
