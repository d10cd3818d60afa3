"""Silent errors of real trainings, each done to a small model, and the finding that shows it.

The kinds are those of Jiang and others (2025), "Training with Confidence: Catching Silent Errors in
Deep Learning Training with Automated Proactive Checks", arXiv 2506.14813, and of the same family.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lenet_multi.config import PRECISIONS
from lenet_multi.parity.ladder import (
    FORWARD,
    GRADIENT,
    OPTIMIZER,
    PORTABILITY,
    STRUCTURE,
    TRAJECTORY,
)
from lenet_multi.parity.plan import Plan
from tests.parity.layers import LAYERS, NAME, calling
from tests.parity.sabotage import ONE, Modules, Patch, change_loaded, forget_the_optimizer
from tests.parity.small import (
    HARMED,
    IMAGES,
    PLAN,
    UNHARMED,
    VECTORS,
    WITH_FILE,
    Shape,
    Small,
    model,
)

OUTPUTS = "outputs and loss"
NOWHERE = "not caught"  # stands for the rung of an error that the ladder cannot see
FROM_FILE = f"{UNHARMED} to {HARMED}"


@dataclass(frozen=True)
class Silent:
    """A silent error, the lowest rung that fails, and a failed finding there."""

    small: Small
    rung: str
    what: str
    where: str
    precisions: tuple[str, ...]

    @property
    def finding(self) -> tuple[str, str]:
        """The rung and what is compared there."""
        return self.rung, self.what


SILENT: dict[str, Silent] = {}

Do = Callable[..., Any]


def _register(
    make: Callable[[Do], Small], rung: str, what: str, where: str, precisions: tuple[str, ...]
) -> Callable[[Do], Do]:
    def file(do: Do) -> Do:
        SILENT[do.__name__.replace("_", " ")] = Silent(make(do), rung, what, where, precisions)
        return do

    return file


def in_layer(
    rung: str,
    what: str,
    where: str,
    *,
    inputs: Shape = VECTORS,
    precisions: tuple[str, ...] = PRECISIONS,
) -> Callable[[Do], Do]:
    """Register a function that gets Keras and whether to harm, and returns a part of the model."""

    def make(do: Do) -> Small:
        return Small(lambda keras, harmed: model(keras, inputs, do(keras, harmed)), inputs)

    return _register(make, rung, what, where, precisions)


def in_compile(
    rung: str, what: str, where: str, *, precisions: tuple[str, ...] = PRECISIONS
) -> Callable[[Do], Do]:
    """Register a function that gets Keras and whether to harm; it returns `compile`'s arguments."""

    def make(do: Do) -> Small:
        return Small(
            lambda keras, harmed: model(keras, VECTORS, _dense(keras), **do(keras, harmed)), VECTORS
        )

    return _register(make, rung, what, where, precisions)


def in_training(
    rung: str,
    what: str,
    where: str,
    *,
    part: Callable[[Any], Any] | None = None,
    precisions: tuple[str, ...] = PRECISIONS,
    plan: Plan = PLAN,
) -> Callable[[Do], Do]:
    """Register a function that patches what trains the model."""

    def make(do: Do) -> Small:
        made = part or _dense
        return Small(lambda keras, _: model(keras, VECTORS, made(keras)), VECTORS, do, plan)

    return _register(make, rung, what, where, precisions)


def _dense(keras: Any) -> Any:
    return keras.layers.Dense(5, name=NAME)


def _normalized(keras: Any) -> Any:
    return keras.layers.BatchNormalization(momentum=0.5, name=NAME)


@in_layer(GRADIENT, "gradients", "initial, layer/kernel")
def a_layer_is_frozen(keras: Any, harmed: bool) -> Any:
    return keras.layers.Dense(5, trainable=not harmed, name=NAME)


@in_layer(GRADIENT, "gradients", "initial, layer/kernel")
def a_layer_is_not_frozen(keras: Any, harmed: bool) -> Any:
    return keras.layers.Dense(5, trainable=harmed, name=NAME)


@in_layer(STRUCTURE, "tensors", "copy/kernel", precisions=ONE)
def weights_are_not_tied(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.Dense(4, name=NAME)
    again = keras.layers.Dense(4, name="copy") if harmed else layer
    return lambda x: again(layer(x))


@in_layer(FORWARD, LAYERS, NAME)
def dropout_is_off_in_training(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.Dropout(0.5, name=NAME)
    return calling(layer, harmed, lambda call, x, training=False: x)


@in_layer(FORWARD, OUTPUTS, "initial, outputs")
def dropout_stays_on_in_inference(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.Dropout(0.5, name=NAME)
    return calling(layer, harmed, lambda call, x, training=False: call(x, training=True))


@in_layer(FORWARD, LAYERS, NAME, inputs=IMAGES)
def a_layer_stays_in_inference(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.BatchNormalization(name=NAME)
    return calling(layer, harmed, lambda call, x, training=None, **_: call(x, training=False))


@in_layer(FORWARD, LAYERS, NAME, precisions=ONE)
def a_layer_computes_in_bfloat16(keras: Any, harmed: bool) -> Any:
    return keras.layers.Dense(5, dtype="mixed_bfloat16" if harmed else None, name=NAME)


@in_layer(FORWARD, LAYERS, NAME)
def two_layers_draw_from_one_generator(keras: Any, harmed: bool) -> Any:
    first = keras.layers.GaussianNoise(0.5, name="noise")
    second = keras.layers.GaussianNoise(0.5, name=NAME)
    calling(second, harmed, lambda call, x, training=False: first.call(x, training))
    return lambda x: second(first(x))


@in_layer(NOWHERE, "", "")
def weights_are_drawn_by_another_rule(keras: Any, harmed: bool) -> Any:
    # A climb gives all backends one set of initial weights.
    rule = "he_normal" if harmed else "glorot_uniform"
    return keras.layers.Dense(5, kernel_initializer=rule, name=NAME)


@in_layer(NOWHERE, "", "")
def two_layers_have_equal_seeds(keras: Any, harmed: bool) -> Any:
    # A climb gives each layer a seed.
    layers = [keras.layers.GaussianNoise(0.5, seed=seed) for seed in (1, 1 if harmed else 2)]
    return lambda x: layers[1](layers[0](x))


@in_compile(NOWHERE, "", "")
def another_metric_is_reported(keras: Any, harmed: bool) -> Any:
    # A climb computes no metrics.
    return {"metrics": ["mae" if harmed else "mse"]}


@in_compile(FORWARD, OUTPUTS, "initial, loss")
def the_loss_is_summed_over_the_batch(keras: Any, harmed: bool) -> Any:
    return {"loss": keras.losses.MeanSquaredError(reduction="sum" if harmed else "mean")}


@in_compile(TRAJECTORY, "losses", "step 3")
def the_schedule_is_not_stepped(keras: Any, harmed: bool) -> Any:
    falling = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    return {"optimizer": keras.optimizers.SGD(0.1 if harmed else falling)}


@in_compile(TRAJECTORY, "losses", "step 3")
def the_schedule_is_stepped_twice(keras: Any, harmed: bool) -> Any:
    falling = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5**2 if harmed else 0.5)
    return {"optimizer": keras.optimizers.SGD(falling)}


@in_compile(TRAJECTORY, "losses", "step 2")
def gradients_are_clipped_by_another_norm(keras: Any, harmed: bool) -> Any:
    clip = {"clipnorm" if harmed else "global_clipnorm": 0.1}
    return {"optimizer": keras.optimizers.SGD(0.1, **clip)}


@in_compile(TRAJECTORY, "losses", "step 2")
def gradients_are_not_clipped(keras: Any, harmed: bool) -> Any:
    return {"optimizer": keras.optimizers.SGD(0.1, global_clipnorm=None if harmed else 0.1)}


@in_compile(TRAJECTORY, "losses", "step 2")
def weight_decay_is_lost(keras: Any, harmed: bool) -> Any:
    return {"optimizer": keras.optimizers.AdamW(0.01, weight_decay=0.0 if harmed else 0.01)}


@in_compile(TRAJECTORY, "losses", "step 2")
def gradients_are_accumulated(keras: Any, harmed: bool) -> Any:
    batches = 2 if harmed else None
    return {"optimizer": keras.optimizers.SGD(0.1, gradient_accumulation_steps=batches)}


@in_training(GRADIENT, "gradients", "initial, first/kernel")
def the_optimizer_holds_copies_of_the_weights(patch: Patch, of: Modules) -> None:
    apply = of.keras.optimizers.Optimizer.apply

    def to_copies(self: Any, gradients: Any, variables: Any = None) -> Any:
        before = [of.keras.ops.copy(variable.value) for variable in variables]
        apply(self, gradients, variables)
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)

    patch.setattr(of.keras.optimizers.Optimizer, "apply", to_copies)


@in_training(GRADIENT, "gradients", "initial, first/kernel")
def an_update_is_made_twice(patch: Patch, of: Modules) -> None:
    apply = of.keras.optimizers.Optimizer.apply

    def twice(self: Any, gradients: Any, variables: Any = None) -> Any:
        apply(self, gradients, variables)
        apply(self, gradients, variables)

    patch.setattr(of.keras.optimizers.Optimizer, "apply", twice)


@in_training(OPTIMIZER, "SGD", "step 2, ")
def updates_stop_after_the_first_step(patch: Patch, of: Modules) -> None:
    apply = of.keras.optimizers.Optimizer.apply

    def once(self: Any, gradients: Any, variables: Any = None) -> Any:
        if int(self.iterations) < 1:
            apply(self, gradients, variables)

    patch.setattr(of.keras.optimizers.Optimizer, "apply", once)


@in_training(GRADIENT, "twins", "initial, first/kernel")
def gradients_are_not_reset(patch: Patch, of: Modules) -> None:
    # The first gradient is right. The twins' next ones are not, so the climb differs from itself.
    patch.setattr(of.keras.Model, "zero_grad", lambda self: None)


@in_training(GRADIENT, "twins", "initial, ", precisions=ONE)
def gradients_are_noisy(patch: Patch, of: Modules) -> None:
    apply = of.keras.optimizers.Optimizer.apply
    generator = np.random.default_rng(3)

    def noisy(self: Any, gradients: Any, variables: Any = None) -> Any:
        factors = 1 + 1e-3 * generator.standard_normal(len(gradients))
        apply(self, [g * float(f) for g, f in zip(gradients, factors, strict=True)], variables)

    patch.setattr(of.keras.optimizers.Optimizer, "apply", noisy)


@in_training(STRUCTURE, "batch", "images", precisions=ONE)
def a_batch_holds_one_example(patch: Patch, of: Modules) -> None:
    true_item = of.batches.Batches.__getitem__

    def one(self: Any, index: int) -> Any:
        x, y = true_item(self, index)
        return np.repeat(x[:1], len(x), axis=0), y

    patch.setattr(of.batches.Batches, "__getitem__", one)


@in_training(PORTABILITY, FROM_FILE, "loaded layer/moving_mean", part=_normalized, plan=WITH_FILE)
def moving_statistics_are_not_saved(patch: Patch, of: Modules) -> None:
    def forget(loaded: Any) -> None:
        layer = loaded.get_layer(NAME)
        layer.moving_mean.assign(of.keras.ops.zeros_like(layer.moving_mean))
        layer.moving_variance.assign(of.keras.ops.ones_like(layer.moving_variance))

    change_loaded(patch, of, forget)


@in_training(PORTABILITY, FROM_FILE, "step 4", plan=WITH_FILE)
def a_file_has_no_optimizer_state(patch: Patch, of: Modules) -> None:
    forget_the_optimizer(patch, of)
