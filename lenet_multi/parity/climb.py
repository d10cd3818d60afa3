"""Climb the ladder on one backend in one precision. Only the process of a climber imports Keras.

Each rung files its arrays under names "RUNG/.../TENSOR".
"""

import dataclasses
import hashlib
import math
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lenet_multi.backends.adam import Adam
from lenet_multi.backends.choice import Execution
from lenet_multi.backends.fast import make_fast
from lenet_multi.config import TrainConfig
from lenet_multi.data.batches import Batches
from lenet_multi.data.examples import Arrays, Dataset, parts
from lenet_multi.machine import environment, instruction_sets
from lenet_multi.parity import twins
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.float64 import ExactMean, exact_model, make_exact, unproven
from lenet_multi.parity.plan import CONFIDENCE, OPTIMIZERS, Plan, Tell, confident, is_kept
from lenet_multi.task import Task
from lenet_multi.training.setup import build, make_optimizer

Batch = tuple[Arrays, Arrays]  # inputs, targets

# One step of SGD at this rate shows the gradient: the weights vanish in a step so large. The rate
# is a power of two, so the difference of the weights has every digit of the gradient.
_GRADIENT_RATE = 2.0**20


@dataclass(frozen=True)
class Climb:
    """One backend's climb in one precision: computes as `how` says, files into `evidence`."""

    evidence: Evidence
    plan: Plan
    task: Task
    dataset: Dataset
    how: Execution
    tell: Tell

    def climb(self, *, save_to: Path) -> None:
        """Climb rungs L0 to L4, in float32 L2 to L4 with twins; save the model that L6 loads."""
        config = self.plan.training_config(keras.config.floatx())
        examples = self.plan.first_examples(self.dataset)
        first = Batches(examples, batch_size=self.plan.small_batch_size, prepare=self.task.prepare)
        model = _model(self.task, config, self.dataset, self.how)
        loss = self.task.loss(config)
        self.evidence.record |= {
            "versions": environment.versions(keras.backend.backend()),
            "form": self.how.form,
            "instruction_set": instruction_sets.used(keras.backend.backend()),
            "terms": _terms(model, self.plan.small_batch_size),
            "unproven": unproven(model) if _in_float64() else [],
        }
        self.evidence.facts["settings"] = {
            "floatx": keras.config.floatx(),
            "epsilon": keras.config.epsilon(),
            "image_data_format": keras.config.image_data_format(),
            **dataclasses.asdict(config),
        }
        self._structure(model, first[0])
        self._forward_and_gradient(model, loss, first[0])
        for name in OPTIMIZERS:
            self._optimizer(model, loss, first, name)
        batches = self._batches()
        _compile(model, loss, make_optimizer(config, steps=len(batches) * config.epochs))
        self._trajectory(model, batches, save_to=save_to)

    def go_on(self, saved: Mapping[str, Path]) -> None:
        """Climb L6, in float32 with twins: load each saved model and continue its training."""
        batches = self._batches()
        steps = range(self.plan.saved_after, 2 * self.plan.saved_after)
        for index, (writer, path) in enumerate(saved.items()):
            self.tell(f"L6 from {writer}", index, len(saved))
            try:
                model = keras.saving.load_model(path)
                if _in_float64():
                    make_exact(model.optimizer)
                else:
                    _take_our_adam(model)
                make_fast(model, self.how)
                losses = [
                    np.array([_step(model, batches[step]) for step in steps])
                    for _ in self._own_and_twins(model)
                ]
            except Exception as error:  # L6 reports any error that stops a move
                traceback.print_exc()
                words = f"{type(error).__name__}: {error}".splitlines()[0]
                self.evidence.facts.setdefault("errors", {})[writer] = words[:200].replace("/", " ")
            else:
                twins.file_losses(self.evidence, f"L6/{writer}/losses", *losses)

    def _structure(self, model: keras.Model, batch: Batch) -> None:
        """L0: file what must be equal to the bit."""
        inputs, targets = batch
        weights = dict(zip(_names(model), model.weights, strict=True))
        initial = dict(zip(weights, model.get_weights(), strict=True))
        self.evidence.facts |= {
            "parameters": model.count_params(),
            "tensors": {name: f"{w.dtype} {tuple(w.shape)}" for name, w in weights.items()},
            "initial weights": {name: _digest(weight) for name, weight in initial.items()},
            "batch": {"images": _digest(inputs), "labels": _digest(targets)},
        }
        self.evidence.arrays |= {f"L0/{name}": weight for name, weight in initial.items()}

    def _forward_and_gradient(self, model: keras.Model, loss: Any, batch: Batch) -> None:
        """L1 and L2: file logits, loss, gradients, at the initial weights and at confident ones."""
        initial = model.get_weights()
        _compile(model, loss, keras.optimizers.SGD(_GRADIENT_RATE))
        for name, factor in CONFIDENCE.items():
            model.set_weights(confident(_names(model), initial, factor))
            self.evidence.arrays[f"L1/{name}/logits"] = model.predict_on_batch(batch[0])
            losses, gradients = [], []
            for _ in self._own_and_twins(model):
                before = model.get_weights()
                losses.append(_step(model, batch))
                pairs = zip(before, model.get_weights(), strict=True)
                gradients.append([(old - new) / _GRADIENT_RATE for old, new in pairs])
            self.evidence.arrays[f"L1/{name}/loss"] = np.array(losses[0])
            twins.file_gradients(self.evidence, f"L2/{name}", _names(model), *gradients)
        model.set_weights(initial)

    def _optimizer(self, model: keras.Model, loss: Any, batches: Batches, name: str) -> None:
        """L3: file the weights after some steps, then restore the initial ones."""
        class_name, arguments = OPTIMIZERS[name]
        kind = {"SGD": keras.optimizers.SGD, "Adam": Adam}[class_name]  # our Adam, as in training
        _compile(model, loss, kind(**arguments))
        courses = self._courses(model, batches, f"L3 {name}")
        twins.file_weights(self.evidence, f"L3/{name}", _names(model), *courses)
        model.set_weights(courses[0].start)

    def _trajectory(self, model: keras.Model, batches: Batches, *, save_to: Path) -> None:
        """L4: file order, losses and weights along the epoch; save the compiled model for L6."""
        self.evidence.facts |= {"order": batches.order_sha256(), "steps": len(batches)}
        courses = self._courses(model, batches, "L4 trajectory", save_to)
        twins.file_weights(self.evidence, "L4/weights", _names(model), *courses)
        losses = [np.array(course.losses) for course in courses]
        twins.file_losses(self.evidence, "L4/losses", *losses)

    def _batches(self) -> Batches:
        """Return L4's batches, in the order of its epoch."""
        precision = keras.config.floatx()
        examples = self.plan.training_examples(self.dataset, precision)
        size = self.plan.training_config(precision).batch_size
        batches = Batches(examples, batch_size=size, prepare=self.task.prepare)
        batches.set_epoch(0, seed=self.plan.config.seed)
        return batches

    def _courses(
        self, model: keras.Model, batches: Batches, what: str, save_to: Path | None = None
    ) -> list[twins.Course]:
        """Train the model and its twins on `batches`; keep the weights at the steps of `is_kept`.

        The first twin trains to the end. The others stop after `plan.one_ulp_steps`, when all have
        drifted away. After `plan.saved_after` steps, save the model at `save_to`, if given.
        """
        courses = []
        for run in self._own_and_twins(model):
            steps = len(batches) if run <= 1 else min(self.plan.one_ulp_steps, len(batches))
            course = twins.Course(start=model.get_weights())
            doing = f"{what}, twin {run}" if run else what
            self.tell(doing, 0, steps)
            for step in range(1, steps + 1):
                course.losses.append(_step(model, batches[step - 1]))
                if is_kept(step, last=len(batches)):
                    course.weights[step] = model.get_weights()
                if save_to and run == 0 and step == self.plan.saved_after:
                    model.save(save_to)
                self.tell(doing, step, steps)
            courses.append(course)
        return courses

    def _own_and_twins(self, model: keras.Model) -> Iterator[int]:
        """Yield 0 with the compiled model unchanged; in float32 then each twin's number.

        For a twin, the optimizer is reset and the weights are the initial ones, changed by one
        ulp. float64 has no twins: its limits are constants.
        """
        model.optimizer.build(model.trainable_variables)
        variables = model.optimizer.variables
        state = [keras.ops.convert_to_numpy(variable).copy() for variable in variables]
        initial = model.get_weights()
        yield 0
        for run in range(1, 1 + (0 if _in_float64() else self.plan.one_ulp_runs)):
            for variable, value in zip(variables, state, strict=True):
                variable.assign(value)
            model.set_weights(twins.one_ulp_off(initial, seed=run, climber=self.evidence.climber))
            yield run


def _model(task: Task, config: TrainConfig, dataset: Dataset, how: Execution) -> keras.Model:
    model = build(task, config, dataset)
    model = exact_model(model) if _in_float64() else model
    make_fast(model, how)
    return model


def _take_our_adam(model: keras.Model) -> None:
    """Replace Keras's Adam by ours, with its state.

    In float32, Keras's Adam loses digits of its bias correction, different ones on each backend
    (see `adam`). That error is larger than the rounding of sums, and no twin shows it. In float64
    Keras's own Adam continues.
    """
    theirs = model.optimizer
    ours = Adam.from_config(theirs.get_config())
    ours.build(model.trainable_variables)
    for variable, loaded in zip(ours.variables, theirs.variables, strict=True):
        variable.assign(loaded)
    model.compile(optimizer=ours, loss=model.loss)


def _terms(model: keras.Model, batch_size: int) -> dict[str, int]:
    """Return how many terms are added on the way to a logit ("L1") and to a gradient ("L2").

    A layer adds one term for each kernel weight that an output uses. The backward pass adds as many
    again, and for the kernel's gradient one term for each image at each position.
    """
    layers = [layer for layer in model.layers if hasattr(layer, "kernel")]
    forward = sum(math.prod(layer.kernel.shape[:-1]) for layer in layers)
    positions = sum(math.prod(layer.output.shape[1:-1]) for layer in layers)
    return {"L1": forward, "L2": 2 * forward + batch_size * positions}


def _compile(model: keras.Model, loss: Any, optimizer: keras.optimizers.Optimizer) -> None:
    model.compile(optimizer=optimizer, loss=ExactMean(loss) if _in_float64() else loss)
    if _in_float64():
        make_exact(model.optimizer)


def _in_float64() -> bool:
    return bool(keras.config.floatx() == "float64")


def _step(model: keras.Model, batch: Batch) -> float:
    """Take a training step and return the loss before it."""
    model.train_on_batch(*batch)
    tracker = model.metrics[0]  # its own quotient is rounded to float32 on PyTorch (see `float64`)
    total, count = map(keras.ops.convert_to_numpy, (tracker.total, tracker.count))
    return float(total) / float(count)


def _names(model: keras.Model) -> list[str]:
    """Return the weights' paths, such as "conv1/kernel", without the model's name if any."""
    return [weight.path.removeprefix(f"{model.name}/") for weight in model.weights]


def _digest(arrays: Arrays) -> str:
    """Return the SHA-256 of the bytes of an array, or of several in their order."""
    return hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in parts(arrays))).hexdigest()
