"""Climb the ladder on one backend in one precision: a process of its own, the only one with Keras.

Every rung is a function that files what it sees under names "RUNG/.../TENSOR".
"""

import dataclasses
import hashlib
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lenet_multi import environment, session
from lenet_multi.adam import Adam
from lenet_multi.batches import Batches
from lenet_multi.config import TrainConfig
from lenet_multi.data import Dataset
from lenet_multi.forms import compute_as
from lenet_multi.model import build, make_loss, make_optimizer, save_portably
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.float64 import ExactMean, exact_model, make_exact
from lenet_multi.parity.plan import (
    CONFIDENCE,
    OPTIMIZERS,
    Plan,
    Tell,
    backend_and_form,
    confident,
    is_kept,
)

Weights = list[NDArray[Any]]
Batch = tuple[NDArray[Any], NDArray[Any]]  # images, labels

# A step of SGD at this rate shows the gradient: the weights drown in the step, which is the
# gradient times a power of two, so that no digit is lost in their difference.
_GRADIENT_RATE = 2.0**20


def climb(evidence: Evidence, plan: Plan, dataset: Dataset, tell: Tell, *, save_to: Path) -> None:
    """Climb rungs L0 to L4 and file what is seen in `evidence`; write the model that L6 takes."""
    config = plan.training_config(keras.config.floatx())
    first = Batches(plan.first_images(dataset), batch_size=plan.small_batch_size)
    model = _model(config, dataset, evidence.climber)
    evidence.record["versions"] = environment.versions(keras.backend.backend())
    evidence.record["form"] = _form(evidence.climber)
    evidence.facts["settings"] = {
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
        "image_data_format": keras.config.image_data_format(),
        **dataclasses.asdict(config),
    }
    _structure(evidence, model, first[0])
    _forward_and_gradient(evidence, model, config, first[0])
    for name in OPTIMIZERS:
        tell(f"L3 {name}", 0, plan.optimizer_steps)
        _optimizer(evidence, model, config, first, name, plan.optimizer_steps)
    _trajectory(
        evidence,
        model,
        config,
        _batches(plan, dataset),
        tell,
        save_after=plan.saved_after,
        save_to=save_to,
    )


def climb_one_ulp_off(evidence: Evidence, plan: Plan, dataset: Dataset, tell: Tell) -> None:
    """Climb L4 alone, several times, from initial weights each moved to a neighbouring float.

    The first run goes to the end, the others to `plan.one_ulp_steps`, by when all have parted.
    """
    config = plan.training_config(keras.config.floatx())
    model = _model(config, dataset, evidence.climber)
    batches = _batches(plan, dataset)
    initial = model.get_weights()
    for run in range(plan.one_ulp_runs):
        model.set_weights(one_ulp_off(initial, seed=run))
        steps = len(batches) if run == 0 else min(plan.one_ulp_steps, len(batches))
        _trajectory(evidence, model, config, batches, tell, place=f"L4/{run}", steps=steps)


def one_ulp_off(weights: Weights, *, seed: int) -> Weights:
    """Return `weights`, each entry replaced by the next float above or below, by chance."""
    generator = np.random.default_rng(seed)
    return [
        np.nextafter(w, w.dtype.type(np.inf) * generator.choice([-1, 1], w.shape), dtype=w.dtype)
        for w in weights
    ]


def go_on(
    evidence: Evidence, plan: Plan, dataset: Dataset, saved: Mapping[str, Path], tell: Tell
) -> None:
    """Climb L6: go on with each saved model, as if it had never moved."""
    batches = _batches(plan, dataset)
    steps = range(plan.saved_after, 2 * plan.saved_after)
    for index, (writer, path) in enumerate(saved.items()):
        tell(f"L6 from {writer}", index, len(saved))
        try:
            model = keras.saving.load_model(path)
            _be_exact(model)
            compute_as(model, _form(evidence.climber))
            losses = [_step(model, batches[step]) for step in steps]
        except Exception as error:  # whatever stops a move is what L6 is to find
            traceback.print_exc()
            words = f"{type(error).__name__}: {error}".splitlines()[0]
            evidence.facts.setdefault("errors", {})[writer] = words[:200].replace("/", " ")
        else:
            evidence.arrays[f"L6/{writer}/losses"] = np.array(losses)


def _form(climber: str) -> str:
    return backend_and_form(climber, session.device())[1]


def _batches(plan: Plan, dataset: Dataset) -> Batches:
    """Return L4's batches, in the order of its epoch."""
    precision = keras.config.floatx()
    images = plan.training_images(dataset, precision)
    batches = Batches(images, batch_size=plan.training_config(precision).batch_size)
    batches.set_epoch(0, seed=plan.config.seed)
    return batches


def _model(config: TrainConfig, dataset: Dataset, climber: str) -> keras.Model:
    model = build(config, dataset.image_shape)
    model = exact_model(model) if _in_float64() else model
    compute_as(model, _form(climber))
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


def _forward_and_gradient(
    evidence: Evidence, model: keras.Model, config: TrainConfig, batch: Batch
) -> None:
    """L1 and L2: file logits, loss and gradients, at the initial weights and at confident ones."""
    initial = model.get_weights()
    images, _ = batch
    _compile(model, config, keras.optimizers.SGD(_GRADIENT_RATE))
    for name, factor in CONFIDENCE.items():
        weights = confident(initial, factor)
        model.set_weights(weights)
        evidence.arrays[f"L1/{name}/logits"] = model.predict_on_batch(images)
        evidence.arrays[f"L1/{name}/loss"] = np.array(_step(model, batch))
        gradients = [
            (old - new) / _GRADIENT_RATE
            for old, new in zip(weights, model.get_weights(), strict=True)
        ]
        _file(evidence, f"L2/{name}", model, gradients)
    model.set_weights(initial)


def _optimizer(
    evidence: Evidence,
    model: keras.Model,
    config: TrainConfig,
    batches: Batches,
    name: str,
    steps: int,
) -> None:
    """L3: file the weights after one step and after all, then put the initial ones back."""
    initial = model.get_weights()
    class_name, arguments = OPTIMIZERS[name]
    # Adam is ours, the one that trains.
    optimizer_class = Adam if class_name == "Adam" else getattr(keras.optimizers, class_name)
    _compile(model, config, optimizer_class(**arguments))
    for step in range(1, steps + 1):
        _step(model, batches[step - 1])
        if step in (1, steps):
            _file(evidence, f"L3/{name}/{step}", model, model.get_weights())
    model.set_weights(initial)


def _trajectory(
    evidence: Evidence,
    model: keras.Model,
    config: TrainConfig,
    batches: Batches,
    tell: Tell,
    *,
    place: str = "L4",
    steps: int | None = None,
    save_after: int = 0,
    save_to: Path | None = None,
) -> None:
    """L4: file order, losses and weights along the epoch, and save the model where L6 begins."""
    _compile(model, config, make_optimizer(config, training_images=len(batches.images)))
    evidence.facts |= {"order": batches.order_sha256(), "steps": len(batches)}
    steps = steps or len(batches)
    losses = []
    for step in range(1, steps + 1):
        losses.append(_step(model, batches[step - 1]))
        if is_kept(step, last=len(batches)):
            _file(evidence, f"{place}/weights/{step}", model, model.get_weights())
        if save_to and step == save_after:
            model.save(save_to)
        tell("L4 trajectory", step, steps)
    evidence.arrays[f"{place}/losses"] = np.array(losses)


def _compile(
    model: keras.Model, config: TrainConfig, optimizer: keras.optimizers.Optimizer
) -> None:
    """Compile for single steps; in float64 exactly."""
    loss = make_loss(config)
    model.compile(optimizer=optimizer, loss=ExactMean(loss) if _in_float64() else loss)
    save_portably(model)
    _be_exact(model)


def _be_exact(model: keras.Model) -> None:
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
