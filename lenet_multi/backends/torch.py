"""PyTorch: a step is recorded once as a list of kernels, Adam among them, and replayed."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from lenet_multi.backends import private
from lenet_multi.backends.adam import Adam
from lenet_multi.backends.recording import Computation, recorded
from lenet_multi.backends.stored import Feed
from lenet_multi.backends.variables import make_variables, variables
from lenet_multi.data.batches import Batches
from lenet_multi.data.examples import changed, parts
from lenet_multi.machine.keras_start import GPU, device

Tensor = Any  # PyTorch's
Logs = dict[str, Tensor]
Rate = Callable[[], Tensor]  # of the next step
Step = Callable[[Any, Any], Logs]


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
    """Return the feed that `model` trains on."""
    return feed(batches)


def update_by_adam(optimizer: Any, updates: Sequence[tuple[Any, ...]], rate: Tensor) -> None:
    """Update weights by PyTorch's kernel; on a GPU it needs a float32 rate."""
    import torch

    first = updates[0][1]
    if first.dtype != "float32" and first.value.is_cuda:
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


class Training(keras.Model):  # type: ignore[misc]  # Keras carries no types
    """A model whose step is recorded once for each shape of batch, and then replayed.

    PyTorch computes on a CPU only while it is called. So both cores wait while Keras looks up
    layers, losses, gradients, weights and metrics: a fifth of its step. A recorded step does the
    same as Keras's (`keras/src/backend/torch/trainer.py`). Keras's step trains examples with
    weights and what `why_not` excludes.
    """

    def compile(self, *given: Any, **named: Any) -> None:
        """Compile the model and drop its recording."""
        super().compile(*given, **named)
        self.fast.is_recorded, self.fast.step = False, None

    def train_step(self, data: tuple[Any, ...]) -> Logs:
        """Train on x, y and, where given, the weights of examples."""
        fast = self.fast
        tensors = [changed(ops.convert_to_tensor, side) for side in data[:2]]
        if not fast.is_recorded:
            fast.is_recorded = True
            fast.step = None if why_not(self) else _recorded_step(self, *tensors)
        if fast.step is None or any(part is not None for part in data[2:]):
            logs: Logs = super().train_step(data)
            return logs
        try:
            step: Step = fast.step
            return step(*tensors)
        except _AddedLossError:  # nothing has changed yet
            fast.step = None
            return self.train_step(data)


class _AddedLossError(Exception):
    """The model has losses besides its compiled one."""


def why_not(model: keras.Model) -> str | None:
    """Return why Keras's step must train the compiled `model`; None if a recorded step can."""
    if model.non_trainable_variables:
        return "its layers keep a state, as batch normalisation and dropout do"
    loss = model.loss
    is_kerass = isinstance(loss, keras.losses.Loss) and "__call__" not in vars(type(loss))
    if not is_kerass or loss.reduction != "sum_over_batch_size":
        return "its loss is not one loss of Keras's with its mean"
    with private.tensorflow_left_out():
        weights = keras.Model.get_compile_config(model)["loss_weights"]
    if weights is not None:
        return "its loss has a weight"
    is_scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    if is_scaled or model.optimizer.loss_scale_factor is not None:
        return "its optimizer scales the loss"
    if any(layer.losses for layer in model.layers):
        return "a layer has a loss of its own, as a regulariser"
    return None


def _is_plain(optimizer: keras.optimizers.Optimizer, weights: list[keras.Variable]) -> bool:
    """Return whether a step of `optimizer` is only its formula."""
    besides = [
        *("clipnorm", "global_clipnorm", "clipvalue", "weight_decay", "use_ema", "amsgrad"),
        "gradient_accumulation_steps",
    ]
    held = any(weight.constraint is not None for weight in weights)
    return not held and not any(getattr(optimizer, name, None) for name in besides)


def _recorded_step(model: keras.Model, x: Any, y: Any) -> Step:
    """Return a recorded step of the compiled `model`, which reads Keras's learning rate each time.

    An optimizer other than our Adam updates in Python: a recording of it would fix the rate.
    """
    import torch

    names = make_variables(model, x, y)
    held_variables = variables(model)
    weights = model.trainable_weights
    records_update = isinstance(model.optimizer, Adam) and _is_plain(model.optimizer, weights)
    # Keras updates these tensors in place and never replaces them.
    held = [variable.value for variable in held_variables]
    compute = _computation(model, (x, y), held_variables, update=records_update)
    play = recorded(compute, *held)
    optimizer = model.optimizer
    rate = _rate_by_host(optimizer) if held[0].is_cuda else lambda: optimizer.learning_rate

    def step(x: Any, y: Any) -> Logs:
        with torch.no_grad():
            step_rate = ops.convert_to_tensor(rate())
        results = play(*parts(x), *parts(y), step_rate)
        if not records_update:
            with torch.no_grad():
                model.optimizer.apply(results[len(names) :], model.trainable_weights)
        return dict(zip(names, results, strict=False))

    return step


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


def _computation(
    model: keras.Model, like: tuple[Any, Any], held: list[keras.Variable], *, update: bool
) -> Computation:
    """Return the step as a function of (*x, *y, rate, *values of the variables `held`).

    It nests x and y as in `like`, changes the values in place, and returns the metrics. Without
    `update` it leaves weights and optimizer, and returns the weights' gradients after the metrics.
    It holds the backward pass, so a recording does too.
    """
    import torch

    def compute(*tensors: Tensor) -> tuple[Tensor, ...]:
        given = iter(tensors)
        x, y = (changed(lambda tensor: next(given), side) for side in like)
        rate, *values = given
        in_place = list(zip(held, values, strict=True))
        weights = model.trainable_weights
        with keras.StatelessScope(state_mapping=in_place, collect_losses=True) as scope:
            outputs = model(x, training=True)
            if model.losses:  # from a regulariser or `add_loss`
                raise _AddedLossError
            loss = model.loss.call(y, outputs).mean()
            gradients = torch.autograd.grad(loss, [weight.value for weight in weights])
            with torch.no_grad():
                if update:
                    model.optimizer.update(gradients, weights, rate)
                    model.optimizer.iterations.assign_add(1)
                model.metrics[0].update_state(loss, sample_weight=len(y))  # the mean loss
                logs = model.compute_metrics(x, y, outputs)
        with torch.no_grad():
            for variable, value in in_place:
                if (new := scope.get_current_value(variable)) is not value:
                    value.copy_(new)
        results = [*logs.values(), *(() if update else gradients)]
        return tuple(result.detach() for result in results)

    return compute


def _on_gpu(batches: Batches) -> Callable[[int], tuple[Any, ...]]:
    import torch

    place = ops.zeros(()).device

    def sent(array: Any) -> Tensor:
        return torch.tensor(array, device=place)

    sides = [changed(sent, side) for side in (batches.examples.x, batches.examples.y)]

    def get(index: int) -> tuple[Any, ...]:
        chosen = torch.from_numpy(batches.chosen(index)).to(place, non_blocking=True)
        x, y = (changed(lambda tensor: tensor[chosen], side) for side in sides)
        return batches.prepare(x), y

    return get
