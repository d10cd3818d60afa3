"""Make a Keras model train and predict as fast as its backend can; stock Keras does the rest."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from lenet_multi import backends
from lenet_multi.backends.choice import STOCK, Execution
from lenet_multi.backends.forms import Step, are_plain_layers, holds_convolution, steps_of
from lenet_multi.backends.portable import Portable
from lenet_multi.backends.unfit import LOOPS_OVER_A_CONVOLUTION
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Prepare, as_stored
from lenet_multi.machine.keras_start import CPU, device


@dataclass
class Fast:
    """What a fast model has in addition to a Keras model."""

    stock: type  # its class before
    steps: list[Step]  # in training
    answer_steps: list[Step]  # otherwise
    prepare: Prepare  # makes inputs from stored ones
    batch_size: int | None  # in training; None: that of the first batch
    is_watched: bool = False  # whether its program is searched for convolutions
    is_recorded: bool = False  # whether recording a step was tried
    step: Callable[..., Any] | None = None  # the recorded training step
    why_stock: str | None = None  # the reason that a step showed, where stock Keras has to train


class InForm(keras.Model):  # type: ignore[misc]  # Keras carries no types
    """A plain stack of layers whose convolution blocks are computed in a form (see `forms`)."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Compute the steps one after the other."""
        for step in self.fast.steps if training else self.fast.answer_steps:
            inputs = step(inputs, training)
        return inputs


def make_fast(
    model: keras.Model,
    how: Execution,
    *,
    prepare: Prepare = as_stored,
    batch_size: int = TrainConfig.batch_size,
) -> None:
    """Make `model` compute as `how` says, which must fit it; only speed and rounding change.

    Its class becomes a new subclass of its own class, as with PyTorch's `fully_shard`. Layers,
    weights, summary and file stay those of the stock model. `prepare` makes inputs from stored
    ones; training has batches of `batch_size`.
    """
    stock = model.fast.stock if isinstance(model, Portable) else type(model)
    model.__class__ = stock
    kinds: list[type] = [Portable]
    steps: list[list[Step]] = [[], []]
    if are_plain_layers(model) and (how.form, how.answer_form) != (STOCK, STOCK):
        kinds.append(InForm)
        steps = [list(steps_of(model.layers, form)) for form in (how.form, how.answer_form)]
    records = keras.backend.backend() == "torch" and not how.why_stock
    if how.xla_loops or (records and (len(kinds) > 1 or not are_plain_layers(model))):
        kinds.append(backends.module(keras.backend.backend()).Training)
    model.fast = Fast(stock, steps[0], steps[1], prepare, batch_size)
    model.__class__ = type(stock.__name__, (*kinds, stock), {"__module__": stock.__module__})


def fitting(model: keras.Model, how: Execution) -> Execution:
    """Return `how`, adapted to what `model` computes.

    Only plain stacks of layers have forms. On a CPU, XLA takes four times as long over a
    convolution in a loop, so it loops only where none is left. TensorFlow keeps freed memory only
    for these loops.
    """
    if not are_plain_layers(model):
        how = dataclasses.replace(how, form=STOCK, answer_form=STOCK)
    loops = how.xla_loops and not (device() == CPU and holds_convolution(model, how.form))
    keeps = how.keep_freed_memory and (keras.backend.backend() != "tensorflow" or loops)
    return dataclasses.replace(how, xla_loops=loops, keep_freed_memory=keeps)


def why_not(model: keras.Model) -> str | None:
    """Return why stock Keras trains the compiled `model`; None if a fast way does."""
    if model.fast.stock is keras.Sequential and not isinstance(model, InForm):
        return None  # the stock form was asked for
    if keras.backend.backend() != "torch":
        loops = isinstance(model, backends.module(keras.backend.backend()).Training)
        return None if loops else LOOPS_OVER_A_CONVOLUTION
    reason: str | None = backends.module("torch").why_not(model)
    return reason
