"""Make a Keras model train and predict as fast as its backend can; stock Keras does the rest."""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras

from lenet_multi import backends
from lenet_multi.backends import choice, devices, selfcheck
from lenet_multi.backends.choice import STOCK, Execution
from lenet_multi.backends.forms import Step, are_plain_layers, holds_convolution, steps_of
from lenet_multi.backends.mixin import Mixin
from lenet_multi.backends.portable import Portable
from lenet_multi.backends.unfit import LOOPS_OVER_A_CONVOLUTION
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Prepare, as_stored
from lenet_multi.errors import UserError
from lenet_multi.machine import ranks
from lenet_multi.machine.keras_start import CPU, device


@dataclass
class Fast:
    """What a fast model has in addition to a Keras model."""

    stock: type  # its class before
    steps: list[Step]  # in training
    answer_steps: list[Step]  # otherwise
    prepare: Prepare  # makes inputs from stored ones
    devices: int  # that share the training
    batch_size: int | None  # in training; None: that of the first batch
    is_watched: bool = False  # whether its program is searched for convolutions
    is_recorded: bool = False  # whether recording a step was tried
    step: Callable[..., Any] | None = None  # the recorded training step
    why_stock: str | None = None  # the reason that a step showed, where stock Keras has to train
    fit: "FastFit | None" = None  # in a block of `fast`


class InForm(Mixin):  # type: ignore[misc]  # for mypy it is Any
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
    batch_size: int | None = TrainConfig.batch_size,
    fit: "FastFit | None" = None,
) -> None:
    """Make `model` compute as `how` says, which must fit it; only speed and rounding change.

    Its class becomes a new subclass of its own class, as with PyTorch's `fully_shard`. Layers,
    weights, summary and file stay those of the stock model. `prepare` makes inputs from stored
    ones; training has batches of `batch_size`, or of any one size (None). With `fit` the model
    checks itself in its first steps, and notes there why it stays stock.
    """
    stock = model.fast.stock if isinstance(model, Portable) else type(model)
    model.__class__ = stock
    kinds: list[type] = [Checked, Portable] if fit else [Portable]
    if how.devices > 1:
        kinds.append(devices.engine(keras.backend.backend()).Shared)
    steps: list[list[Step]] = [[], []]
    if are_plain_layers(model) and (how.form, how.answer_form) != (STOCK, STOCK):
        kinds.append(InForm)
        steps = [list(steps_of(model.layers, form)) for form in (how.form, how.answer_form)]
    records = keras.backend.backend() == "torch" and not how.why_stock
    if how.xla_loops or (records and (InForm in kinds or not are_plain_layers(model))):
        kinds.append(backends.module(keras.backend.backend()).Training)
    model.fast = Fast(stock, steps[0], steps[1], prepare, how.devices, batch_size, fit=fit)
    model.__class__ = type(stock.__name__, (*kinds, stock), {"__module__": stock.__module__})


def shared_by(model: keras.Model) -> int:
    """Return the number of devices that `model` was made for."""
    return model.fast.devices if isinstance(model, Portable) else 1


def share(model: keras.Model, count: int) -> None:
    """Make a stock `model`, which shares the weights of one on `count` devices, predict there."""
    how = dataclasses.replace(choice.here(STOCK), xla_loops=False, devices=count)
    make_fast(model, how)


def fitting(model: keras.Model, how: Execution) -> Execution:
    """Return `how`, adapted to what `model` computes.

    Only plain stacks of layers have forms. On a CPU, XLA takes four times as long over a
    convolution in a loop, so it loops only where none is left. TensorFlow trains in a form only in
    these loops: without XLA the forms take twice as long.
    """
    if not are_plain_layers(model):
        how = dataclasses.replace(how, form=STOCK, answer_form=STOCK)
    loops = how.xla_loops and not (device() == CPU and holds_convolution(model, how.form))
    if keras.backend.backend() == "tensorflow" and how.devices > 1:
        loops = False  # the sums over devices do not fit into XLA's loop
        if ranks.count() > 1:  # those over processes do not fit into any loop
            how = dataclasses.replace(how, steps_per_execution=1)
    if keras.backend.backend() == "tensorflow" and how.xla_loops and not loops:
        how = dataclasses.replace(how, form=STOCK)
    return dataclasses.replace(how, xla_loops=loops)


def why_not(model: keras.Model) -> str | None:
    """Return why stock Keras trains the compiled `model`; None if a fast way does."""
    if model.fast.stock is keras.Sequential and not isinstance(model, InForm):
        return None  # the stock form was asked for
    reason = _why_never(model)
    if reason is None and keras.backend.backend() == "torch":
        reason = backends.module("torch").why_not(model)
    elif reason is None:
        loops = isinstance(model, backends.module(keras.backend.backend()).Training)
        reason = None if loops else LOOPS_OVER_A_CONVOLUTION
    return reason


def _why_never(model: keras.Model) -> str | None:
    """Return why no fast way, on any backend, trains the compiled `model`."""
    if model.fast.stock.make_train_function is not keras.Model.make_train_function:
        return "its class makes its own train function"
    if model.run_eagerly:
        return "it was compiled with run_eagerly"
    if model.fast.fit and keras.backend.backend() == "jax" and not model.jit_compile:
        return "it was compiled without jit_compile"
    optimizers = (value for value in vars(model).values() if isinstance(value, _OPTIMIZER))
    if any(optimizer is not model.optimizer for optimizer in optimizers):
        return "it has more than one optimizer"
    strategy = getattr(model, "distribute_strategy", None)  # on TensorFlow
    by_user = keras.distribution.distribution() and model.fast.devices == 1
    if by_user or (strategy and strategy.num_replicas_in_sync > 1):
        return "it is distributed over devices"
    return None


_OPTIMIZER = keras.optimizers.Optimizer


Functions = tuple[Any, Any, Any]  # Keras's functions that train, test and predict


@dataclass
class FastFit:
    """What a block of `fast` knows of its model."""

    why_stock: str | None = None  # why stock Keras trains; some reasons show in the first steps
    check: selfcheck.SelfCheck | None = None  # of the model as compiled and fed
    fed: Any = None  # the kind of data that the check saw
    made: dict[int, Functions] = field(default_factory=dict)  # by steps per execution


@contextmanager
def fast(model: keras.Model) -> Iterator[FastFit]:
    """Train `model` by the backend's fast way in the block; yield what becomes known of that.

    In the block, `model.fit` takes any arguments. Its first ten steps train through stock Keras,
    and the fast way takes the same ten aside. If both come to the same, but for rounding, the fast
    way goes on; otherwise stock Keras does, and the reason is printed on stderr. Callbacks see each
    batch if they ask for it. After the block the model is the stock model again.
    Raises `UserError` for a model that is in such a block already.
    """
    if isinstance(model, Portable):
        raise UserError(f"the model {model.name} is fast already; leave the other block first")
    fit = FastFit()
    how = fitting(model, choice.here())
    make_fast(model, how, batch_size=None, fit=fit)
    if how.why_stock:
        _stay_stock(model, how.why_stock)
    try:
        yield fit
    finally:
        if fit.check:
            fit.check.let_go()
        fit.made.clear()
        model.__class__ = model.fast.stock
        del model.fast
        model.train_function = model.test_function = model.predict_function = None


def _stay_stock(model: keras.Model, reason: str) -> None:
    model.fast.fit.why_stock, model.fast.fit.check = reason, None
    model.__class__ = model.fast.stock
    print(f"{keras.backend.backend()} trains through stock Keras: {reason}", file=sys.stderr)


class Checked(Mixin):  # type: ignore[misc]  # for mypy it is Any
    """A model that compares its first steps with stock Keras's."""

    train_function: Any

    def compile(self, *given: Any, **named: Any) -> None:
        """Compile the model, which is checked anew."""
        super().compile(*given, **named)
        _forget(self)

    def fit(self, *given: Any, **named: Any) -> Any:
        """Train like Keras, with more steps per execution where nobody can tell."""
        if reason := _why_never(self):
            _stay_stock(self, reason)
            return self.fit(*given, **named)  # the stock one
        asked = inspect.signature(keras.Model.fit).bind(self, *given, **named).arguments
        whole = ("y", "sample_weight", "class_weight")
        fed = type(asked.get("x")), *(asked.get(name) is None for name in whole)
        if fed != self.fast.fit.fed:
            _forget(self)
            self.fast.fit.fed = fed
        with _steps_at_once(self, _steps(self, asked)):
            return super().fit(*given, **named)

    def make_train_function(self, force: bool = False) -> None:
        """Make a train function that checks its first steps, unless they were checked."""
        if self.train_function is not None and not force:
            return
        if reason := why_not(self):
            _stay_stock(self, reason)
            self.make_train_function(force=True)  # the stock one
            return
        super().make_train_function(force=True)
        fit = self.fast.fit
        if fit.check is None or fit.check.is_open:  # not yet checked
            fit.check = selfcheck.started(self, lambda reason: _stay_stock(self, reason))
            module = backends.module(keras.backend.backend())
            self.train_function = module.checking(self, fit.check)


def _forget(model: keras.Model) -> None:
    """Let the next training check the model anew."""
    model.fast.fit.check = model.train_function = None
    model.fast.fit.made.clear()


@contextmanager
def _steps_at_once(model: keras.Model, steps: int) -> Iterator[None]:
    """Set the steps per execution in the block, with Keras's functions, which are made for them."""
    made, own = model.fast.fit.made, model.steps_per_execution
    if steps == own:
        yield
        return
    names = ("train_function", "test_function", "predict_function")

    def change(old: int, new: int) -> None:
        made[old] = tuple(getattr(model, name) for name in names)
        model.steps_per_execution = new
        for name, function in zip(names, made.get(new, (None,) * 3), strict=True):
            setattr(model, name, function)

    change(own, steps)
    try:
        yield
    finally:
        change(steps, own)
        if model.fast.fit.why_stock:
            _forget(model)


def _steps(model: keras.Model, asked: dict[str, Any]) -> int:
    """Return the steps per execution for a `fit`: more only if no callback asks for each batch."""
    callbacks = asked.get("callbacks") or []
    callbacks = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    if any(map(_acts_on_batches, callbacks)):
        return int(model.steps_per_execution)
    size = asked.get("batch_size") or _KERAS_BATCH_SIZE
    most = choice.here(batch_size=size).steps_per_execution
    counts = [asked.get(name) or most for name in ("steps_per_epoch", "validation_steps")]
    most = max(n for n in range(1, most + 1) if all(count % n == 0 for count in counts))
    return max(most, int(model.steps_per_execution))


_KERAS_BATCH_SIZE = 32


def _acts_on_batches(callback: Any) -> bool:
    """Return whether a callback does something at each batch."""
    if getattr(callback, "save_freq", None) == "epoch":  # it only counts batches
        return False
    base = keras.callbacks.Callback
    hooks = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
    return any(
        getattr(getattr(callback, hook), "__func__", None) is not getattr(base, hook)
        for hook in hooks
    )
