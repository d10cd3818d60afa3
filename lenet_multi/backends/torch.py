"""PyTorch: a step is recorded once as a list of kernels, Adam among them, and replayed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from inspect import signature
from itertools import compress
from typing import Any

import keras
from keras import ops, tree

from lenet_multi.backends import private
from lenet_multi.backends import variables as variables_of
from lenet_multi.backends.adam import Adam
from lenet_multi.backends.mixin import Mixin
from lenet_multi.backends.recording import Computation, ManyKindsError, recorded
from lenet_multi.backends.selfcheck import SelfCheck
from lenet_multi.backends.stored import Feed
from lenet_multi.backends.unfit import UnfitError
from lenet_multi.backends.variables import State, variables
from lenet_multi.data.batches import Batches
from lenet_multi.data.examples import Examples, changed
from lenet_multi.machine import ranks
from lenet_multi.machine.keras_start import GPU, device

Tensor = Any  # PyTorch's
Logs = dict[str, Tensor]
Rate = Callable[[], Tensor]  # of the next step
Step = Callable[[Any], Logs]
Play = Callable[[list[Tensor]], Logs]


def feed(batches: Batches) -> Feed:
    """Return a loader that only gets each batch.

    PyTorch's own loader takes a twentieth longer for its bookkeeping. On a CPU tensors share memory
    with NumPy's arrays. A GPU gets all stored examples once and gathers batches there.
    """
    import torch

    def from_numpy(index: int) -> tuple[Any, ...]:
        return tuple(changed(torch.from_numpy, side) for side in batches[index])

    get = _on_gpu(batches) if device() == GPU else from_numpy

    class Loader(torch.utils.data.DataLoader):  # type: ignore[misc]  # torch is not read
        def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
            return map(get, range(len(batches)))

    return Loader(batches, batch_size=None)


def training_feed(batches: Batches, model: keras.Model) -> Feed:
    """Return the feed that `model` trains on: in each of several processes, its parts."""
    batches.rank, batches.ranks = ranks.rank(), ranks.count()
    return feed(batches)


def update_by_adam(optimizer: Any, updates: Sequence[tuple[Any, ...]], rate: Tensor) -> None:
    """Update weights by PyTorch's kernel, where it was tried; on a GPU it needs a float32 rate."""
    import torch

    first = updates[0][1]
    place = first.value.device.type
    if place not in ("cpu", "cuda") or (place == "cuda" and first.dtype != "float32"):
        optimizer.by_formula(updates, rate)
        return
    gradients, weights, means, squares = zip(*updates, strict=True)
    rate = optimizer.corrected(rate, first.dtype, optimizer.beta_1, optimizer.beta_2)
    with torch.no_grad():
        private.find(private.FUSED_ADAM)(
            [weight.value for weight in weights],
            # The kernel ignores strides, and a convolution's gradient has others than its weights.
            [gradient.contiguous() for gradient in gradients],
            [mean.value for mean in means],
            [square.value for square in squares],
            [],
            [torch.full_like(rate, torch.inf)] * len(weights),  # only our correction
            lr=rate,
            beta1=optimizer.beta_1,
            beta2=optimizer.beta_2,
            weight_decay=0.0,
            eps=optimizer.epsilon,
            amsgrad=False,
            maximize=False,
        )


class Training(Mixin):  # type: ignore[misc]  # for mypy it is Any
    """A model whose step is recorded once for each shape of batch, and then replayed.

    PyTorch computes on a CPU only while it is called. So both cores wait while Keras looks up
    layers, losses, gradients, weights and metrics: a fifth of its step. A recorded step does the
    same as Keras's (`keras/src/backend/torch/trainer.py`). Keras's step trains what `why_not`
    excludes, and what a recording cannot hold.
    """

    def compile(self, *given: Any, **named: Any) -> None:
        """Compile the model and drop its recording."""
        super().compile(*given, **named)
        self.fast.is_recorded, self.fast.step, self.fast.why_stock = False, None, None

    def train_step(self, data: Any) -> Any:
        """Train on x, on x and y, or on x, y and the weights of examples; return the logs."""
        fast = self.fast
        if not fast.is_recorded:
            fast.is_recorded, fast.why_stock = True, why_not(self)
            fast.step = None if fast.why_stock else _recorded_step(self)
        try:
            if fast.step is not None:
                return fast.step(data)
        except ManyKindsError:  # Keras's step trains this batch alone
            pass
        except UnfitError as error:  # nothing has changed yet
            fast.step, fast.why_stock = None, str(error)
        return super().train_step(data)


def why_not(model: keras.Model) -> str | None:
    """Return why Keras's step must train the compiled `model`; None if a recorded step may.

    Some reasons show only when the first step is recorded; they are in `model.fast.why_stock`.
    """
    if model.fast.stock.train_step is not keras.Model.train_step:
        return "its class has a train_step of its own"
    if model.jit_compile or model.run_eagerly:
        return "it was compiled with jit_compile or run_eagerly"
    if not model.trainable_variables:
        return "it has no trainable weights"
    why_stock: str | None = model.fast.why_stock
    return why_stock


def is_dense(leaf: Any) -> bool:
    """Return whether a part of a batch is absent or an array with all its entries."""
    import torch

    return getattr(leaf, "layout", torch.strided) is torch.strided


def state_of(model: keras.Model) -> State:
    """Return copies of the values that a step changes, and of PyTorch's generators."""
    return [*variables_of.state_of(model), *generators()]


def set_state(model: keras.Model, state: State) -> None:
    """Set the values that a step changes, and PyTorch's generators."""
    count = len(variables_of.changed_by_steps(model))
    variables_of.set_state(model, state[:count])
    set_generators(state[count:])


def generators() -> State:
    """Return the states of PyTorch's generators, bytes: of the processor, then of each GPU.

    Dropout without a seed draws from them.
    """
    import torch

    states = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    return [state.numpy().copy() for state in states]


def set_generators(states: State) -> None:
    """Set PyTorch's generators; of GPUs, those that are here."""
    import torch

    generator, *on_gpus = (torch.from_numpy(state.copy()) for state in states)
    torch.set_rng_state(generator)
    for number, state in enumerate(on_gpus[: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, number)


def trained(
    model: keras.Model, train_function: Any, state: State, batches: Sequence[Any]
) -> tuple[Logs, State]:
    """Return the logs and the state after `train_function` trained on `batches` from `state`."""
    set_state(model, state)
    mode = model.training
    model.train()
    for batch in batches:
        logs: Logs = train_function([batch])
    model.train(mode)
    return logs, state_of(model)


def checking(model: keras.Model, check: SelfCheck) -> Any:
    """Return a train function that checks its first steps, and goes on as they come out."""

    def train_function(batches: Sequence[Any]) -> Logs:
        if check.is_open:
            return check.train(state_of(model), batches)[0]
        done: Logs = check.chosen(batches)
        return done

    return train_function


def _is_plain_adam(optimizer: Any, weights: list[keras.Variable]) -> bool:
    """Return whether a step of `optimizer` is only the formula of our Adam."""
    besides = [
        *("clipnorm", "global_clipnorm", "clipvalue", "weight_decay", "use_ema", "amsgrad"),
        *("gradient_accumulation_steps", "loss_scale_factor"),
    ]
    constrained = any(weight.constraint is not None for weight in weights)
    is_plain = not constrained and not any(getattr(optimizer, name, None) for name in besides)
    return is_plain and isinstance(optimizer, Adam)


def _recorded_step(model: keras.Model) -> Step:
    """Return a recorded step of the compiled `model`, which reads Keras's learning rate each time.

    An optimizer other than our Adam updates in Python: a recording of it would fix the rate. Each
    structure of a batch has a recording. Raises `UnfitError` before anything has changed.
    """
    import torch

    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    on_gpu = model.trainable_variables[0].value.device.type != "cpu"
    rate = _rate_by_host(optimizer) if on_gpu else lambda: optimizer.learning_rate
    recordings: list[tuple[Any, Play]] = []

    def step(data: Any) -> Logs:
        tensors: list[Tensor] = []

        def is_tensor(leaf: Any) -> bool:
            if leaf is not None:
                tensors.append(ops.convert_to_tensor(leaf))
            return leaf is not None

        like = tree.map_structure(is_tensor, data)
        play = next((play for known, play in recordings if known == like), None)
        if play is None:
            play = _recording(model, like)
            recordings.append((like, play))
        with torch.no_grad():
            tensors.append(ops.convert_to_tensor(rate()))
        return play(tensors)

    return step


def _recording(model: keras.Model, like: Any) -> Play:
    """Return the recorded step on batches whose tensors are nested as in `like`."""
    import torch

    every = [*variables(model), *_loss_tracker(model).variables]
    held = list({id(variable): variable for variable in every}.values())
    known = _Known()
    # Several devices add up their gradients before the update.
    alone = model.fast.devices == 1
    records_update = alone and _is_plain_adam(model.optimizer, model.trainable_weights)
    compute = _computation(model, like, held, known, update=records_update)
    # Keras updates these tensors in place and never replaces them.
    replay = recorded(compute, *(variable.value for variable in held))

    def play(tensors: list[Tensor]) -> Logs:
        results = replay(*tensors)
        if not records_update:
            gradients = iter(results[len(known.logs) :])
            filled = [next(gradients) if has else None for has in known.has_gradient]
            with torch.no_grad():
                model.optimizer.apply(filled, model.trainable_weights)
        return dict(zip(known.logs, results, strict=False))

    return play


def _rate_by_host(optimizer: keras.optimizers.Optimizer) -> Rate:
    """Return the learning rate of an `optimizer` on a GPU, its schedule computed on the host.

    A schedule is a dozen operations on one number. A GPU takes as long for each as for one of the
    network's. Reading the step from the GPU would wait for it, so count steps here. Read it only
    after others changed it, which PyTorch's count of changes shows.
    """
    step, changes = 0, -1

    def rate() -> Tensor:
        nonlocal step, changes
        schedule = private.schedule(optimizer)
        if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            return ops.convert_to_tensor(schedule)
        iterations = optimizer.iterations.value
        step += 1
        if private.changes(iterations) != changes:
            step, changes = int(iterations), private.changes(iterations)
        with keras.device("cpu"):
            value = ops.convert_to_tensor(schedule(step))
        return value.to(iterations.device, non_blocking=True)

    return rate


@dataclass
class _Known:
    """What the trace of a step shows besides its kernels."""

    logs: list[str] = field(default_factory=list)  # their names
    has_gradient: list[bool] = field(default_factory=list)  # of each weight


def _computation(
    model: keras.Model, like: Any, held: list[keras.Variable], known: _Known, *, update: bool
) -> Computation:
    """Return the step as a function of (*tensors of a batch, rate, *values of variables `held`).

    It nests the tensors as in `like`, changes the values in place, and returns the logs. Without
    `update` it leaves weights and optimizer, and returns the weights' gradients after the logs. It
    holds the backward pass, so a recording does too. It writes to `known`.
    """
    import torch

    mode = {"training": True}
    in_call, in_loss = (
        mode if "training" in signature(function).parameters else {}
        for function in (type(model).call, type(model).compute_loss)
    )
    tracker = _loss_tracker(model)

    def compute(*tensors: Tensor) -> tuple[Tensor, ...]:
        given = iter(tensors)
        data = tree.map_structure(lambda is_tensor: next(given) if is_tensor else None, like)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        rate, *values = given
        in_place = list(zip(held, values, strict=True))
        weights = model.trainable_weights
        with keras.StatelessScope(state_mapping=in_place, collect_losses=True) as scope:
            outputs = model(x, **in_call)
            loss = model.compute_loss(x, y, outputs, sample_weight, **in_loss)
            gradients = torch.autograd.grad(
                model.optimizer.scale_loss(loss),
                [weight.value for weight in weights],
                allow_unused=True,
            )
            known.has_gradient = [gradient is not None for gradient in gradients]
            gradients = [gradient for gradient in gradients if gradient is not None]
            with torch.no_grad():
                if update:
                    model.optimizer.update(
                        gradients, list(compress(weights, known.has_gradient)), rate
                    )
                    model.optimizer.iterations.assign_add(1)
                size = next(len(part) for part in tree.flatten(x) if part is not None)
                tracker.update_state(loss, sample_weight=size)
                logs = model.compute_metrics(x, y, outputs, sample_weight)
        if scope.state_mapping.keys() - set(map(id, held)):
            raise UnfitError("its step changes a variable that the model does not list")
        with torch.no_grad():
            for variable, value in in_place:
                if (new := scope.get_current_value(variable)) is not value:
                    value.copy_(new)
        known.logs = list(logs)
        results = [*map(ops.convert_to_tensor, logs.values()), *(() if update else gradients)]
        return tuple(result.detach() for result in results)

    return compute


def _loss_tracker(model: keras.Model) -> keras.metrics.Metric:
    """Return the mean loss of the compiled `model`, also if its class has `metrics` of its own."""
    return keras.Model.metrics.fget(model)[0]


def _on_gpu(batches: Batches) -> Callable[[int], tuple[Any, ...]]:
    import torch

    place = ops.zeros(()).device

    def sent(array: Any) -> Tensor:
        return torch.tensor(array, device=place)

    held: Examples | None = None
    sides: list[Any] = []

    def get(index: int) -> tuple[Any, ...]:
        nonlocal held, sides
        if held is not batches.examples:  # another epoch may have others
            held = batches.examples
            sides = [changed(sent, side) for side in held.sides]
        chosen = torch.from_numpy(batches.chosen(index)).to(place, non_blocking=True)
        x, *rest = (changed(lambda tensor: tensor[chosen], side) for side in sides)
        return batches.prepare(x), *rest

    return get
