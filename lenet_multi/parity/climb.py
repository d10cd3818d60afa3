"""Climb the ladder on one backend in one precision: a process of its own, the only one with Keras.

Every rung is a function that files what it sees under names "RUNG/.../TENSOR".
"""

import dataclasses
import functools
import hashlib
import math
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lenet_multi.backends.adam import Adam
from lenet_multi.backends.choice import Execution, execution
from lenet_multi.backends.fast import make_fast
from lenet_multi.config import TrainConfig
from lenet_multi.data.batches import Batches
from lenet_multi.data.examples import Dataset
from lenet_multi.machine import environment, instruction_sets, keras_start
from lenet_multi.parity import twins
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.float64 import ExactMean, exact_model, make_exact
from lenet_multi.parity.plan import CONFIDENCE, OPTIMIZERS, Climber, Plan, Tell, confident, is_kept
from lenet_multi.task import Task
from lenet_multi.training.setup import build, make_optimizer

Weights = Sequence[NDArray[Any]]
Batch = tuple[NDArray[Any], NDArray[Any]]  # images, labels

# A step of SGD at this rate shows the gradient: the weights drown in the step, which is the
# gradient times a power of two, so that no digit is lost in their difference.
_GRADIENT_RATE = 2.0**20


def climb(
    evidence: Evidence, plan: Plan, task: Task, dataset: Dataset, tell: Tell, *, save_to: Path
) -> None:
    """Climb rungs L0 to L4 and file what is seen in `evidence`; write the model that L6 takes.

    In float32 one-ulp twins climb L2 to L4 as well, and L6 in `go_on` (see `twins`).
    """
    config = plan.training_config(keras.config.floatx())
    first = Batches(
        plan.first_examples(dataset), batch_size=plan.small_batch_size, prepare=task.prepare
    )
    model = _model(task, config, dataset, evidence.climber)
    loss = task.loss(config)
    evidence.record["versions"] = environment.versions(keras.backend.backend())
    evidence.record["form"] = _how(evidence.climber).form
    evidence.record["instruction_set"] = instruction_sets.used(keras.backend.backend())
    evidence.record["terms"] = _terms(model, plan.small_batch_size)
    evidence.facts["settings"] = {
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
        "image_data_format": keras.config.image_data_format(),
        **dataclasses.asdict(config),
    }
    _structure(evidence, model, first[0])
    _forward_and_gradient(evidence, model, loss, first[0], plan)
    for name in OPTIMIZERS:
        tell(f"L3 {name}", 0, plan.optimizer_steps)
        _optimizer(evidence, model, loss, first, name, plan)
    batches = _batches(plan, task, dataset)
    steps = len(batches) * config.epochs
    _compile(model, loss, make_optimizer(config, steps=steps))
    _trajectory(evidence, model, batches, tell, plan, save_to=save_to)


def go_on(
    evidence: Evidence,
    plan: Plan,
    task: Task,
    dataset: Dataset,
    saved: Mapping[str, Path],
    tell: Tell,
) -> None:
    """Climb L6: go on with each saved model, as if it had never moved."""
    batches = _batches(plan, task, dataset)
    steps = range(plan.saved_after, 2 * plan.saved_after)
    for index, (writer, path) in enumerate(saved.items()):
        tell(f"L6 from {writer}", index, len(saved))
        try:
            model = keras.saving.load_model(path)
            if _in_float64():
                make_exact(model.optimizer)
            else:
                _take_our_adam(model)
            make_fast(model, _how(evidence.climber))
            losses, *moved = [
                np.array([_step(model, batches[step]) for step in steps])
                for _ in _own_and_twins(model, evidence.climber, plan.one_ulp_runs)
            ]
        except Exception as error:  # whatever stops a move is what L6 is to find
            traceback.print_exc()
            words = f"{type(error).__name__}: {error}".splitlines()[0]
            evidence.facts.setdefault("errors", {})[writer] = words[:200].replace("/", " ")
        else:
            evidence.arrays[f"L6/{writer}/losses"] = losses
            twins.file_losses(evidence, f"L6/{writer}/losses", losses, moved)


def _take_our_adam(model: keras.Model) -> None:
    """Replace Keras's Adam by ours, state and all.

    Keras's loses digits of its bias correction in float32, each backend others (see `adam`). That
    is more than the rounding of sums, and no twin shows it. In float64 Keras's own goes on.
    """
    theirs = model.optimizer
    ours = Adam.from_config(theirs.get_config())
    ours.build(model.trainable_variables)
    for variable, loaded in zip(ours.variables, theirs.variables, strict=True):
        variable.assign(loaded)
    model.compile(optimizer=ours, loss=model.loss)


def _how(climber: str) -> Execution:
    """Return how a climber computes; it takes single steps, so XLA has nothing to loop over."""
    of = Climber.of(climber)
    how = execution(of.backend, of.form, device=keras_start.device())
    return dataclasses.replace(how, answer_form=how.form, xla_loops=False)


def _batches(plan: Plan, task: Task, dataset: Dataset) -> Batches:
    """Return L4's batches, in the order of its epoch."""
    precision = keras.config.floatx()
    batches = Batches(
        plan.training_examples(dataset, precision),
        batch_size=plan.training_config(precision).batch_size,
        prepare=task.prepare,
    )
    batches.set_epoch(0, seed=plan.config.seed)
    return batches


def _model(task: Task, config: TrainConfig, dataset: Dataset, climber: str) -> keras.Model:
    model = build(task, config, dataset)
    model = exact_model(model) if _in_float64() else model
    make_fast(model, _how(climber))
    return model


def _structure(evidence: Evidence, model: keras.Model, batch: Batch) -> None:
    """L0: file what must be equal to the bit."""
    images, labels = batch
    initial = model.get_weights()
    evidence.facts |= {
        "parameters": model.count_params(),
        "tensors": {
            name: f"{weight.dtype} {tuple(weight.shape)}"
            for name, weight in zip(_names(model), model.weights, strict=True)
        },
        "initial weights": {
            name: _digest(weight) for name, weight in zip(_names(model), initial, strict=True)
        },
        "batch": {"images": _digest(images), "labels": _digest(labels)},
    }
    _file(evidence, "L0", model, initial)


def _terms(model: keras.Model, batch_size: int) -> dict[str, int]:
    """Return how many terms are added on the way to a logit ("L1") and to a gradient ("L2").

    A layer adds as many as its kernel has weights for an output. Backwards it does so again, and
    adds for the kernel's gradient one term of each image at each position.
    """
    kernels = [
        (layer.kernel.shape, layer.output.shape)
        for layer in model.layers
        if hasattr(layer, "kernel")
    ]
    forward = sum(math.prod(kernel[:-1]) for kernel, _ in kernels)
    positions = sum(math.prod(output[1:-1]) for _, output in kernels)
    return {"L1": forward, "L2": 2 * forward + batch_size * positions}


def _forward_and_gradient(
    evidence: Evidence, model: keras.Model, loss: Any, batch: Batch, plan: Plan
) -> None:
    """L1 and L2: file logits, loss and gradients, at the initial weights and at confident ones."""
    initial = model.get_weights()
    images, _ = batch
    _compile(model, loss, keras.optimizers.SGD(_GRADIENT_RATE))
    for name, factor in CONFIDENCE.items():
        model.set_weights(confident(list(_names(model)), initial, factor))
        gradients = []
        for run in _own_and_twins(model, evidence.climber, plan.one_ulp_runs):
            before = model.get_weights()
            if run == 0:
                evidence.arrays[f"L1/{name}/logits"] = model.predict_on_batch(images)
            first_loss = np.array(_step(model, batch))
            if run == 0:
                evidence.arrays[f"L1/{name}/loss"] = first_loss
            gradients.append(
                [
                    (old - new) / _GRADIENT_RATE
                    for old, new in zip(before, model.get_weights(), strict=True)
                ]
            )
        own, *others = gradients
        _file(evidence, f"L2/{name}", model, own)
        twins.file_gradients(evidence, f"L2/{name}", list(_names(model)), own, others)
    model.set_weights(initial)


def _optimizer(
    evidence: Evidence,
    model: keras.Model,
    loss: Any,
    batches: Batches,
    name: str,
    plan: Plan,
) -> None:
    """L3: file the weights after some steps, then put the initial ones back."""
    class_name, arguments = OPTIMIZERS[name]
    # Adam is ours, the one that trains.
    optimizer_class = Adam if class_name == "Adam" else getattr(keras.optimizers, class_name)
    _compile(model, loss, optimizer_class(**arguments))
    steps = plan.optimizer_steps
    own, *moved = [
        _course(model, batches, steps)
        for _ in _own_and_twins(model, evidence.climber, plan.one_ulp_runs)
    ]
    place = f"L3/{name}"
    for step, weights in own.weights.items():
        _file(evidence, f"{place}/{step}", model, weights)
    twins.file_weights(evidence, place, list(_names(model)), own, moved)
    model.set_weights(own.start)


def _trajectory(
    evidence: Evidence,
    model: keras.Model,
    batches: Batches,
    tell: Tell,
    plan: Plan,
    *,
    save_to: Path,
) -> None:
    """L4: file order, losses and weights along the epoch, and save the compiled model for L6.

    The first twin goes to the end, the others to `plan.one_ulp_steps`, by when all have parted.
    """
    evidence.facts |= {"order": batches.order_sha256(), "steps": len(batches)}

    def after(run: int, step: int, steps: int) -> None:
        if run == 0 and step == plan.saved_after:
            model.save(save_to)
        tell(f"L4 trajectory, twin {run}" if run else "L4 trajectory", step, steps)

    own, *moved = [
        _course(
            model,
            batches,
            len(batches) if run <= 1 else min(plan.one_ulp_steps, len(batches)),
            after=functools.partial(after, run),
        )
        for run in _own_and_twins(model, evidence.climber, plan.one_ulp_runs)
    ]
    for step, weights in own.weights.items():
        _file(evidence, f"L4/weights/{step}", model, weights)
    evidence.arrays["L4/losses"] = np.array(own.losses)
    twins.file_weights(evidence, "L4/weights", list(_names(model)), own, moved)
    losses = [np.array(twin.losses) for twin in moved]
    twins.file_losses(evidence, "L4/losses", np.array(own.losses), losses)


def _own_and_twins(model: keras.Model, climber: str, count: int) -> Iterator[int]:
    """Yield 0 with the compiled model as it is, then 1 to `count`: the same, but one ulp off.

    Only float32 has twins; float64's limits are constants.
    """
    model.optimizer.build(model.trainable_variables)
    variables = model.optimizer.variables
    state = [keras.ops.convert_to_numpy(variable).copy() for variable in variables]
    initial = model.get_weights()
    yield 0
    for run in range(1, 1 + (0 if _in_float64() else count)):
        for variable, value in zip(variables, state, strict=True):
            variable.assign(value)
        model.set_weights(twins.one_ulp_off(initial, seed=run, climber=climber))
        yield run


def _course(
    model: keras.Model,
    batches: Batches,
    steps: int,
    *,
    after: Callable[[int, int], None] = lambda step, steps: None,
) -> twins.Course:
    """Train for `steps` and return the course; weights are kept as `is_kept` says."""
    course = twins.Course(start=model.get_weights())
    for step in range(1, steps + 1):
        course.losses.append(_step(model, batches[step - 1]))
        if is_kept(step, last=len(batches)):
            course.weights[step] = model.get_weights()
        after(step, steps)
    return course


def _compile(model: keras.Model, loss: Any, optimizer: keras.optimizers.Optimizer) -> None:
    """Compile for single steps; in float64 exactly."""
    model.compile(optimizer=optimizer, loss=ExactMean(loss) if _in_float64() else loss)
    if _in_float64():
        make_exact(model.optimizer)


def _in_float64() -> bool:
    return bool(keras.config.floatx() == "float64")


def _step(model: keras.Model, batch: Batch) -> float:
    """Take a training step and return its loss, before the step.

    Keras's mean is rounded on PyTorch (see `float64`): divide its sum by its count instead.
    """
    model.train_on_batch(*batch)
    tracker = model.metrics[0]
    total, count = map(keras.ops.convert_to_numpy, (tracker.total, tracker.count))
    return float(total) / float(count)


def _names(model: keras.Model) -> Iterator[str]:
    """Yield the weights' names without the model's: "conv1/kernel"."""
    return (weight.path.partition("/")[2] for weight in model.weights)


def _file(evidence: Evidence, place: str, model: keras.Model, arrays: Weights) -> None:
    for name, array in zip(_names(model), arrays, strict=True):
        evidence.arrays[f"{place}/{name}"] = array


def _digest(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
