"""Ways to spoil one backend's climb, each with the rung and place where it must show."""

import functools
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.config import PRECISIONS
from lenet_multi.parity.ladder import (
    FORWARD,
    GRADIENT,
    OPTIMIZER,
    PORTABILITY,
    STRUCTURE,
    TRAJECTORY,
)

Patch = pytest.MonkeyPatch

BOTH = PRECISIONS
ONE = ("float32",)  # comparisons to the bit give the same in both precisions
FINE = ("float64",)  # differences below float32's rounding, or below what a tenth step can show


@dataclass(frozen=True)
class Modules:
    """What is sabotaged: Keras on the sabotaged backend, and our modules that use it."""

    keras: Any
    climb: Any
    networks: Any
    batches: Any
    pixels: Any
    torch: Any  # our module for it


@dataclass(frozen=True)
class Sabotage:
    """A sabotage, and the finding that must fail first."""

    do: Callable[[Patch, Modules], None]
    rung: str
    what: str
    where: str
    precisions: tuple[str, ...]


SABOTAGES: dict[str, Sabotage] = {}


def cases(precisions: dict[str, tuple[str, ...]]) -> list[Any]:
    """Return a case for each name and precision; the gate runs the first, `nox -s models` all."""
    return [
        pytest.param(
            name, one, id=f"{name}, {one}", marks=[] if one == first else pytest.mark.study
        )
        for name, (first, *others) in precisions.items()
        for one in (first, *others)
    ]


def sabotage(
    rung: str, what: str, where: str, *, precisions: tuple[str, ...] = BOTH
) -> Callable[[Callable[[Patch, Modules], None]], Callable[[Patch, Modules], None]]:
    """Register the decorated function under its name in words."""

    def file(do: Callable[[Patch, Modules], None]) -> Callable[[Patch, Modules], None]:
        name = do.__name__.replace("_", " ")
        SABOTAGES[name] = Sabotage(do, rung, what, where, precisions)
        return do

    return file


def change_layer(patch: Patch, of: Modules, name: str, change: Callable[[Any], Any]) -> None:
    """Build models whose layer `name` is replaced by `change(layer)`."""
    true_model = of.climb._model

    def changed(*arguments: Any) -> Any:
        original = true_model(*arguments)
        twin = of.keras.models.clone_model(
            original,
            clone_function=lambda layer: (
                change(layer) if layer.name == name else type(layer).from_config(layer.get_config())
            ),
        )
        twin.set_weights(original.get_weights())
        return twin

    patch.setattr(of.climb, "_model", changed)


def change_call(patch: Patch, of: Modules, name: str, call: Callable[[Any, Any], Any]) -> None:
    """Let the layer `name` compute `call(layer's own call, inputs)` instead."""

    def change(layer: Any) -> Any:
        twin = type(layer).from_config(layer.get_config())
        true_call = twin.call
        twin.call = lambda x, **_: call(true_call, x)
        return twin

    change_layer(patch, of, name, change)


def change_weights(patch: Patch, of: Modules, change: Callable[[list[Any]], None]) -> None:
    """Let `change` alter the list of initial weights."""
    true_model = of.climb._model

    def changed(*arguments: Any) -> Any:
        built = true_model(*arguments)
        weights = built.get_weights()
        change(weights)
        built.set_weights(weights)
        return built

    patch.setattr(of.climb, "_model", changed)


def change_loaded(patch: Patch, of: Modules, change: Callable[[Any], None]) -> None:
    """Let `change` alter each model that is loaded from a file."""
    true_load = of.keras.saving.load_model

    def altered(path: Path, **how: Any) -> Any:
        loaded = true_load(path, **how)
        change(loaded)
        return loaded

    patch.setattr(of.keras.saving, "load_model", altered)


def forget_the_optimizer(patch: Patch, of: Modules) -> None:
    """Set the state of each loaded model's optimizer to zero, but for the count of its steps."""

    def forget(loaded: Any) -> None:
        for variable in loaded.optimizer.variables[1:]:
            variable.assign(of.keras.ops.zeros_like(variable))

    change_loaded(patch, of, forget)


def scale_a_weight(patch: Patch, of: Modules, factor: float) -> None:
    """Multiply one initial weight by `factor`."""

    def change(weights: list[Any]) -> None:
        weights[4][3, 7] *= factor

    change_weights(patch, of, change)


def scale_the_rate(patch: Patch, of: Modules, factor: float) -> None:
    """Multiply the learning rate of L3's optimizers by `factor`."""
    true_compile = of.climb._compile

    def changed(model: Any, arguments: Any) -> None:
        optimizer = arguments["optimizer"]
        rate = optimizer.get_config()["learning_rate"]
        if isinstance(rate, float) and rate < 1:  # no schedule, and not the gradient's SGD
            optimizer.learning_rate = factor * rate
        true_compile(model, arguments)

    patch.setattr(of.climb, "_compile", changed)


def with_adams(patch: Patch, of: Modules, **settings: Any) -> None:
    """Override settings of Adam."""
    true_class = of.climb.Adam

    @functools.wraps(true_class)
    def changed(*arguments: Any, **asked: Any) -> Any:
        return true_class(*arguments, **{**asked, **settings})

    patch.setattr(of.climb, "Adam", changed)


@sabotage(STRUCTURE, "tensors", "dense2/bias", precisions=ONE)
def a_bias_is_dropped(patch: Patch, of: Modules) -> None:
    true_lenet = of.networks.NETWORKS["lenet"]

    def without_bias(*arguments: Any, **settings: Any) -> Any:
        lenet = true_lenet(*arguments, **settings)
        lenet.layers[-1].use_bias = False
        return of.keras.models.clone_model(lenet)

    patch.setitem(of.networks.NETWORKS, "lenet", without_bias)


@sabotage(STRUCTURE, "tensors", "dense1/kernel", precisions=FINE)
def weights_of_a_layer_are_float32(patch: Patch, of: Modules) -> None:
    def change(layer: Any) -> Any:
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    change_layer(patch, of, "dense1", change)


@sabotage(STRUCTURE, "settings", "epsilon", precisions=ONE)
def keras_has_another_epsilon(patch: Patch, of: Modules) -> None:
    patch.setattr(of.keras.config, "epsilon", lambda: 1e-6)


@sabotage(STRUCTURE, "initial weights", "conv1/kernel", precisions=ONE)
def he_instead_of_glorot(patch: Patch, of: Modules) -> None:
    def he(shapes: Any, *, seed: int) -> list[Any]:
        generator = np.random.default_rng(seed)
        return [
            generator.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape).astype(np.float32)
            if len(shape) > 1
            else np.zeros(shape, np.float32)
            for shape in shapes
        ]

    patch.setattr(of.networks, "draw_initial_weights", he)


@sabotage(STRUCTURE, "initial weights", "dense1/kernel", precisions=ONE)
def one_weight_is_off_by_a_thousandth(patch: Patch, of: Modules) -> None:
    scale_a_weight(patch, of, 1.001)


@sabotage(STRUCTURE, "batch", "labels", precisions=ONE)
def labels_are_shifted_by_one(patch: Patch, of: Modules) -> None:
    true_item = of.batches.Batches.__getitem__

    def shifted(self: Any, index: int) -> Any:
        images, labels = true_item(self, index)
        return images, (labels + 1) % 10

    patch.setattr(of.batches.Batches, "__getitem__", shifted)


@sabotage(STRUCTURE, "batch", "images", precisions=ONE)
def pixels_are_divided_by_256(patch: Patch, of: Modules) -> None:
    patch.setattr(of.pixels, "LARGEST", 256)


@sabotage(FORWARD, "logits and loss", "initial, logits")
def average_pooling_for_max_pooling(patch: Patch, of: Modules) -> None:
    change_layer(
        patch, of, "pool1", lambda layer: of.keras.layers.AveragePooling2D(2, name=layer.name)
    )


@sabotage(FORWARD, "logits and loss", "initial, logits")
def channels_are_flattened_first(patch: Patch, of: Modules) -> None:
    change_call(patch, of, "flatten", lambda call, x: call(of.keras.ops.transpose(x, (0, 3, 1, 2))))


@sabotage(FORWARD, "logits and loss", "initial, logits")
def a_kernel_is_transposed(patch: Patch, of: Modules) -> None:
    # Convolve the transposed image with the kernel and transpose back: a transposed kernel.
    def turned(call: Any, x: Any) -> Any:
        return of.keras.ops.transpose(call(of.keras.ops.transpose(x, (0, 2, 1, 3))), (0, 2, 1, 3))

    change_call(patch, of, "conv1", turned)


@sabotage(FORWARD, "logits and loss", "initial, logits")
def sums_of_a_layer_pass_float16(patch: Patch, of: Modules) -> None:
    change_call(
        patch,
        of,
        "dense1",
        lambda call, x: of.keras.ops.cast(of.keras.ops.cast(call(x), "float16"), x.dtype),
    )


@sabotage(FORWARD, "logits and loss", "initial, logits", precisions=FINE)
def products_pass_float32_in_float64(patch: Patch, of: Modules) -> None:
    patch.setattr(of.climb, "exact", lambda: nullcontext([]))


@sabotage(FORWARD, "logits and loss", "confident, loss")
def probabilities_are_clipped_before_the_loss(patch: Patch, of: Modules) -> None:
    class Clipped(of.keras.losses.Loss):  # type: ignore[name-defined, misc]
        def call(self, y_true: Any, y_pred: Any) -> Any:
            probabilities = of.keras.ops.softmax(y_pred)
            return of.keras.ops.sparse_categorical_crossentropy(y_true, probabilities)

    patch.setattr(of.keras.losses, "SparseCategoricalCrossentropy", lambda from_logits: Clipped())


@sabotage(GRADIENT, "gradients", "initial, conv1/kernel")
def a_gradient_is_halved_on_its_way(patch: Patch, of: Modules) -> None:
    def half(call: Any, x: Any) -> Any:
        return call((x + of.keras.ops.stop_gradient(x)) / 2)

    change_call(patch, of, "conv2", half)


@sabotage(GRADIENT, "twins", "initial, conv1/kernel", precisions=ONE)
def a_gradient_is_noisy(patch: Patch, of: Modules) -> None:
    # Its twins differ as much as it differs from other backends. That must not excuse it.
    def noisy(call: Any, x: Any) -> Any:
        import torch

        factor = 1e-3 * torch.randn((), dtype=x.dtype)
        return call(x + (x - of.keras.ops.stop_gradient(x)) * factor)

    change_call(patch, of, "conv2", noisy)


@sabotage(OPTIMIZER, "Adam", "step 1, conv1/kernel", precisions=FINE)
def adams_epsilon_is_1e_8(patch: Patch, of: Modules) -> None:
    with_adams(patch, of, epsilon=1e-8)


@sabotage(OPTIMIZER, "Adam", "step 1, conv1/kernel", precisions=FINE)
def adams_epsilon_is_inside_the_bias_correction(patch: Patch, of: Modules) -> None:
    # alpha m / (sqrt(v) + epsilon') is the paper's first form with epsilon' = epsilon sqrt(1 - b^t)
    def inside(optimizer: Any, updates: Any, rate: Any) -> None:
        step = of.keras.ops.cast(optimizer.iterations + 1, updates[0][1].dtype)
        optimizer.epsilon = 1e-7 * of.keras.ops.sqrt(1 - 0.999**step)
        optimizer.by_formula(updates, rate)

    patch.setattr(of.torch, "update_by_adam", inside)


@sabotage(OPTIMIZER, "Adam", "step 1, conv1/kernel", precisions=FINE)
def adams_beta_2_is_099(patch: Patch, of: Modules) -> None:
    with_adams(patch, of, beta_2=0.99)


@sabotage(OPTIMIZER, "Adam", "step 1, conv1/kernel")
def adam_reads_a_gradient_in_another_order(patch: Patch, of: Modules) -> None:
    # PyTorch's kernel did this with the strides of a convolution's gradient, until L3 showed it.
    true_update = of.torch.update_by_adam

    def strided(optimizer: Any, updates: Any, rate: Any) -> None:
        disordered = [
            (gradient.permute(*range(gradient.ndim)[::-1]).reshape(gradient.shape), *of_weight)
            for gradient, *of_weight in updates
        ]
        true_update(optimizer, disordered, rate)

    patch.setattr(of.torch, "update_by_adam", strided)


@sabotage(OPTIMIZER, "SGD", "step 1, conv1/kernel")
def the_learning_rate_is_a_thousandth_larger(patch: Patch, of: Modules) -> None:
    scale_the_rate(patch, of, 1.001)


@sabotage(OPTIMIZER, "momentum", "step 2, conv1/kernel")
def momentum_is_091(patch: Patch, of: Modules) -> None:
    true_class = of.keras.optimizers.SGD

    def changed(*arguments: Any, momentum: float = 0.0, **settings: Any) -> Any:
        return true_class(*arguments, momentum=momentum and 0.91, **settings)

    patch.setattr(of.keras.optimizers, "SGD", changed)


@sabotage(OPTIMIZER, "momentum", "step 1, conv1/kernel")
def momentum_looks_ahead(patch: Patch, of: Modules) -> None:
    true_class = of.keras.optimizers.SGD

    def changed(*arguments: Any, momentum: float = 0.0, **settings: Any) -> Any:
        return true_class(*arguments, momentum=momentum, nesterov=momentum > 0, **settings)

    patch.setattr(of.keras.optimizers, "SGD", changed)


@sabotage(OPTIMIZER, "Adam", "step 1, conv1/kernel", precisions=FINE)
def adams_betas_pass_float32(patch: Patch, of: Modules) -> None:
    true_class = of.climb.Adam

    def rounded(*arguments: Any, **settings: Any) -> Any:
        betas = {"beta_1": 0.9, "beta_2": 0.999} | settings
        settings |= {name: float(np.float32(betas[name])) for name in ("beta_1", "beta_2")}
        return true_class(*arguments, **settings)

    patch.setattr(of.climb, "Adam", rounded)


@sabotage(TRAJECTORY, "order", "")
def another_shuffle(patch: Patch, of: Modules) -> None:
    true_order = of.batches.epoch_order
    patch.setattr(
        of.batches,
        "epoch_order",
        lambda count, *, seed, epoch: true_order(count, seed=seed + 1, epoch=epoch),
    )


@sabotage(TRAJECTORY, "steps", "")
def the_last_partial_batch_is_dropped(patch: Patch, of: Modules) -> None:
    patch.setattr(of.batches.Batches, "__len__", lambda self: len(self.examples) // self.batch_size)


@sabotage(TRAJECTORY, "losses", "step ", precisions=("float32",))
def the_learning_rate_does_not_fall(patch: Patch, of: Modules) -> None:
    patch.setattr(
        "lenet_multi.training.setup.make_optimizer",
        lambda config, **_: of.keras.optimizers.Adam(config.learning_rate),
    )


@sabotage(TRAJECTORY, "losses", "step 7", precisions=FINE)
def one_step_is_taken_twice(patch: Patch, of: Modules) -> None:
    true_trajectory = of.climb.Climb._trajectory

    def changed(self: Any, model: Any, batches: Any, **to: Any) -> None:
        true_item = type(batches).__getitem__

        def stuttering(self: Any, index: int) -> Any:
            return true_item(self, index - 1 if index == 6 else index)

        patch.setattr(type(batches), "__getitem__", stuttering)
        true_trajectory(self, model, batches, **to)
        patch.setattr(type(batches), "__getitem__", true_item)

    patch.setattr(of.climb.Climb, "_trajectory", changed)


@sabotage(PORTABILITY, "torch to torch", "step 12")
def the_optimizer_loses_its_state(patch: Patch, of: Modules) -> None:
    forget_the_optimizer(patch, of)


@sabotage(PORTABILITY, "torch to torch", "loaded dense2/kernel")
def a_saved_weight_is_altered(patch: Patch, of: Modules) -> None:
    def alter(loaded: Any) -> None:
        weights = loaded.get_weights()
        weights[6] *= 1.001
        loaded.set_weights(weights)

    change_loaded(patch, of, alter)


@sabotage(PORTABILITY, "torch to torch", "ValueError: no such class")
def a_saved_model_cannot_be_loaded(patch: Patch, of: Modules) -> None:
    def refuse(path: Path, **how: Any) -> Any:
        raise ValueError("no such class")

    patch.setattr(of.keras.saving, "load_model", refuse)
