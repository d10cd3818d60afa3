"""A training step on PyTorch with less Python between its kernels."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from lenet_multi.backends.adam import Adam
from lenet_multi.backends.recording import Computation, recorded
from lenet_multi.backends.variables import build, variables
from lenet_multi.machine.other_frameworks import tensorflow_left_out

Tensor = Any  # the backend's own

Rate = Callable[[], Tensor]  # of the step to come
Step = Callable[[tuple[Tensor, Tensor]], dict[str, Tensor]]


def torch_step(model: keras.Model) -> Step:
    """Return a `train_step` for `model`.

    PyTorch computes on a CPU while it is called, so that both cores wait while Keras looks after
    layers, losses, gradients, weights and metrics by name: a fifth of its step. This does what
    Keras's own does (`keras/src/backend/torch/trainer.py`), for images (N, ...) and labels (N, ...)
    alone, and records what Keras has PyTorch compute, so that it is asked once for each shape of
    batch. No layer of `model` may keep a state of its own, as dropout and batch normalisation do.
    Keras's own step takes what this one cannot: see `why_not`, and images with weights.
    """
    compiled, step = None, None

    def train_step(batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        nonlocal compiled, step
        if compiled is not model._loss_tracker:  # each `compile` brings another
            compiled, step = model._loss_tracker, None
            if not why_not(model):
                step = _recorded_step(model, ops.convert_to_tensor(batch[1]))
        if step is None or any(part is not None for part in batch[2:]):
            logs: dict[str, Tensor] = type(model).train_step(model, batch)
            return logs
        images, labels = (ops.convert_to_tensor(part) for part in batch[:2])
        try:
            return step(images, labels)
        except _AddedLossError:  # before anything was changed
            step = None
            return train_step(batch)

    return train_step


class _AddedLossError(Exception):
    """The model has other losses besides the one that it is compiled with."""


def why_not(model: keras.Model) -> str | None:
    """Return why Keras's own step has to train the compiled `model`; None where ours can."""
    loss = model.loss
    is_kerass = isinstance(loss, keras.losses.Loss) and "__call__" not in vars(type(loss))
    if not is_kerass or loss.reduction != "sum_over_batch_size":
        return "its loss is not one loss of Keras's with its mean"
    with tensorflow_left_out():
        weights = model.get_compile_config()["loss_weights"]
    if weights is not None:
        return "its loss has a weight"
    is_scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    if is_scaled or model.optimizer.loss_scale_factor is not None:
        return "its optimizer scales the loss"
    return None


def _is_plain(optimizer: keras.optimizers.Optimizer, weights: list[keras.Variable]) -> bool:
    """Return whether a step of `optimizer` is its formula, and nothing before or after it."""
    besides = [
        *("clipnorm", "global_clipnorm", "clipvalue", "weight_decay", "use_ema", "amsgrad"),
        "gradient_accumulation_steps",
    ]
    held = any(weight.constraint is not None for weight in weights)
    return not held and not any(getattr(optimizer, name, None) for name in besides)


def _recorded_step(
    model: keras.Model, labels: Tensor
) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
    """Return the step of `model` as it is compiled now.

    The schedule of the rate is Keras's, and so is, in Python, the update of another optimizer than
    our Adam, whose kernels would be given the rate as a number.
    """
    import torch

    names = build(model, labels)
    changed = variables(model)
    weights = model.trainable_weights
    records_update = isinstance(model.optimizer, Adam) and _is_plain(model.optimizer, weights)
    # Keras changes a variable's tensor in place, and never for another.
    held = [variable.value for variable in changed]
    play = recorded(_computation(model, changed, update=records_update), *held)
    rate = (_rate_by_host if held[0].is_cuda else _rate)(model.optimizer)

    def step(images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            step_rate = rate()
        results = play(images, labels, step_rate)
        if not records_update:
            with torch.no_grad():
                model.optimizer.apply(results[len(names) :], model.trainable_weights)
        return dict(zip(names, results, strict=False))

    return step


def _rate(optimizer: keras.optimizers.Optimizer) -> Rate:
    """Return the rate of an `optimizer` on a CPU, by a recording of its schedule where that can be.

    Keras's own schedules are functions of the step alone. PyTorch refuses to record one that asks
    in Python what the step is, as it does to end a warm-up; that one stays in Python, and so does
    anybody else's.
    """
    schedule, steps = optimizer._learning_rate, optimizer._iterations

    def by_keras() -> Tensor:
        return ops.convert_to_tensor(optimizer.learning_rate)

    def by_recording() -> Tensor:
        if optimizer._learning_rate is not schedule:
            return by_keras()
        return play(steps.value)[0]

    if type(schedule).__module__ != keras.optimizers.schedules.LearningRateSchedule.__module__:
        return by_keras
    play = recorded(lambda step: (schedule(step),))
    try:
        play(steps.value)
    except RuntimeError:
        return by_keras
    return by_recording


def _rate_by_host(optimizer: keras.optimizers.Optimizer) -> Rate:
    """Return the rate of an `optimizer` on a GPU, its schedule computed on the host.

    A schedule is a dozen operations on one number, and each of them takes a GPU as long as one of
    the network's. It is a function of the step, which is counted here, for to ask the GPU would
    be to wait for it; where others changed it, as PyTorch's count of changes tells, it is asked.
    """
    device = optimizer._iterations.value.device
    step, changes = 0, -1

    def rate() -> Tensor:
        nonlocal step, changes
        schedule = optimizer._learning_rate
        if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            return ops.convert_to_tensor(schedule)
        iterations = optimizer._iterations.value
        step += 1
        if iterations._version != changes:
            step, changes = int(iterations), iterations._version
        with keras.device("cpu"):
            value = ops.convert_to_tensor(schedule(step))
        return value.to(device, non_blocking=True)

    return rate


def _computation(model: keras.Model, changed: list[keras.Variable], *, update: bool) -> Computation:
    """Return (images, labels, rate, *values of the variables `changed`) to the metrics.

    The values are changed in place. Without `update` those of weights and optimizer are not, and
    the weights' gradients follow the metrics. The backward pass is within, so that a recording
    holds it too.
    """
    import torch

    def compute(
        images: Tensor, labels: Tensor, rate: Tensor, *values: Tensor
    ) -> tuple[Tensor, ...]:
        in_place = list(zip(changed, values, strict=True))
        weights = model.trainable_weights
        with keras.StatelessScope(state_mapping=in_place, collect_losses=True) as scope:
            outputs = model(images, training=True)
            if model.losses:  # of a regulariser, or `add_loss`
                raise _AddedLossError
            loss = model.loss.call(labels, outputs).mean()
            gradients = torch.autograd.grad(loss, [weight.value for weight in weights])
            with torch.no_grad():
                if update:
                    model.optimizer.update(gradients, weights, rate)
                model._loss_tracker.update_state(loss, sample_weight=len(labels))
                logs = model.compute_metrics(images, labels, outputs)
        with torch.no_grad():
            for variable, value in in_place:
                if (new := scope.get_current_value(variable)) is not value:
                    value.copy_(new)
        results = [*logs.values(), *(() if update else gradients)]
        return tuple(result.detach() for result in results)

    return compute
