"""Prepare a task's model for training: its weights, its optimizer, how it is computed."""

import hashlib
from dataclasses import replace
from itertools import islice
from typing import Any

import keras
import numpy as np

from lenet_multi import backends
from lenet_multi.backends import private, selfcheck
from lenet_multi.backends.adam import Adam
from lenet_multi.backends.choice import STOCK, Execution
from lenet_multi.backends.fast import fitting, make_fast, why_not
from lenet_multi.backends.later import Later
from lenet_multi.backends.layers import layers
from lenet_multi.backends.variables import make_variables, path_of
from lenet_multi.config import STEP_FACTOR, STEPS_DOWN, WARM_UP, TrainConfig
from lenet_multi.data.batches import Batches
from lenet_multi.data.examples import Dataset, Examples, epoch_order
from lenet_multi.errors import UserError, listed
from lenet_multi.machine.allocator import keep_freed_memory
from lenet_multi.task import Task
from lenet_multi.training import initial_weights


def build(task: Task, config: TrainConfig, dataset: Dataset) -> keras.Model:
    """Return the model of `task` with the seed's initial weights, alike on each backend."""
    if task.draws:
        return initial_weights.built(task, config, dataset, config.seed)
    return initial_weights.build(task, config, dataset)


def compile_model(
    model: keras.Model,
    task: Task,
    config: TrainConfig,
    how: Execution,
    *,
    examples: int,
    begun: int = 0,
) -> Execution:
    """Compile `model` for epochs of `examples`; return `how`, adapted to the model.

    `begun`: the epochs of finished runs; the learning rate's schedule spans those that follow.
    """
    _refuse_other_precision(model, task, config)
    how = fitting(model, how)
    if how.keep_freed_memory:
        keep_freed_memory()
    make_fast(model, how, prepare=task.prepare, batch_size=config.batch_size)
    steps = config.steps_per_epoch(examples)
    lacks_a_name = private.why_not(keras.backend.backend()) is not None  # our Adam needs them
    arguments = compile_arguments(
        task, config, steps=(config.epochs - begun) * steps, kerass=lacks_a_name
    )
    if begun:
        _begin_again(arguments["optimizer"], after=begun * steps)
    model.compile(
        **arguments,
        jit_compile=how.jit_compile,
        steps_per_execution=how.steps_per_execution,
    )
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        # Where a step builds it, its variables get other names, which a checkpoint keeps.
        model.optimizer.build(model.trainable_variables)
    return how


def first_batch(task: Task, config: TrainConfig, training: Examples) -> tuple[Any, Any]:
    """Return the first examples of `training`, a few, as the model gets them: x and y."""
    some = training[:_FEW]
    wanted = replace(some, y=task.targets(config, some.y))
    x, y, *_ = Batches(wanted, batch_size=_FEW, prepare=task.prepare)[0]
    return x, y


_FEW = 12


def make_all_variables(
    model: keras.Model, task: Task, config: TrainConfig, training: Examples
) -> None:
    """Create the variables of the compiled `model` that its first step on `training` would."""
    make_variables(model, *first_batch(task, config, training[:1]))


def _refuse_other_precision(model: keras.Model, task: Task, config: TrainConfig) -> None:
    """Raise `UserError` when no layer computes in the mixed precision that the settings name."""
    if config.dtype_policy == TrainConfig.dtype_policy:
        return
    parts = [layer for layer in layers(model) if not isinstance(layer, keras.Model)]
    found = {layer.dtype_policy.name for layer in parts or [model]}
    if config.dtype_policy not in found:
        raise UserError(
            f"--dtype-policy {config.dtype_policy}: the layers of {task.name} are made for "
            f"{listed(sorted(found))}; drop it, or make them without a dtype of their own"
        )


def _begin_again(optimizer: keras.optimizers.Optimizer, *, after: int) -> None:
    """Make the schedule of an optimizer, if it has one, begin `after` that many of its steps."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    rate = private.schedule(optimizer)
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        optimizer.learning_rate = Later(rate, after)


def compile_arguments(
    task: Task, config: TrainConfig, *, steps: int, kerass: bool = False
) -> dict[str, Any]:
    """Return what Keras's `compile` takes: optimizer, loss, metrics, and what a user adds."""
    if task.compile_arguments:
        return task.compile_arguments(config)
    return {
        "optimizer": make_optimizer(config, steps=steps, kerass=kerass),
        "loss": task.loss(config),
        "metrics": list(task.metrics),
    }


def checked(
    model: keras.Model,
    task: Task,
    config: TrainConfig,
    how: Execution,
    training: Examples,
    *,
    form_is_asked: bool = False,
    begun: int = 0,
) -> Execution:
    """Return `how` with the reason why stock Keras trains the compiled `model`, if it does.

    A user's model that a fast way would train checks itself in the first batches of the training.
    If that fails, it is compiled for stock Keras. Its weights stay as they were.
    """
    reason = how.why_stock or (None if form_is_asked else why_not(model))
    if reason or not config.is_own:
        return replace(how, why_stock=reason)
    if how.devices > 1:
        reason = "on several devices nothing faster is tried for a model of your own"
    else:
        reason = _why_unequal(model, task, config, training)
    if reason is None:
        return how
    how = replace(how, form=STOCK, answer_form=STOCK, xla_loops=False, why_stock=reason)
    return compile_model(model, task, config, how, examples=len(training), begun=begun)


def _why_unequal(
    model: keras.Model, task: Task, config: TrainConfig, training: Examples
) -> str | None:
    """Return what the self-check finds in the first batches of the training."""
    wanted = replace(training, y=task.targets(config, training.y))
    order = epoch_order(len(wanted), seed=config.seed, epoch=0)
    some = wanted[order[: selfcheck.ENDS[-1] * config.batch_size]]
    batches = Batches(some, batch_size=config.batch_size, prepare=task.prepare)
    fed = backends.module(keras.backend.backend()).training_feed(batches, model)
    return selfcheck.why_not(
        model,
        [batches[index] for index in range(len(batches))],
        list(islice(iter(fed), len(batches))),
    )


def make_optimizer(
    config: TrainConfig, *, steps: int, kerass: bool = False
) -> keras.optimizers.Optimizer:
    """Return our Adam (or Keras's: `kerass`) with `config`'s schedule over all `steps`."""
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
            # A step's rate depends on the number of steps before it.
            [round(share * steps) - 1 for share in STEPS_DOWN],
            [rate * STEP_FACTOR**fallen for fallen in range(len(STEPS_DOWN) + 1)],
        )
    kind = keras.optimizers.Adam if kerass else Adam
    return kind(rate, beta_1=config.beta_1, beta_2=config.beta_2)


def weights_sha256(model: keras.Model) -> str:
    """Return the SHA-256 over path, shape, dtype and bytes of all weights."""
    digest = hashlib.sha256()
    for weight in model.weights:
        values = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{path_of(weight)} {values.shape} {values.dtype.str}\n".encode())
        digest.update(values.data)
    return digest.hexdigest()
