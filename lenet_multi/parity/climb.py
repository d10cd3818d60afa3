"""Climb the ladder on one backend in one precision: a process of its own, the only one with Keras.

Every rung files what it sees under names "RUNG/.../TENSOR".
"""

import dataclasses
import hashlib
import math
import traceback
from collections.abc import Callable, Iterator, Mapping
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
from lenet_multi.data.examples import Dataset
from lenet_multi.machine import environment, instruction_sets, keras_start
from lenet_multi.parity import twins
from lenet_multi.parity.evidence import Array, Evidence
from lenet_multi.parity.float64 import ExactMean, exact_model, make_exact
from lenet_multi.parity.plan import CONFIDENCE, OPTIMIZERS, Climber, Plan, Tell, confident, is_kept
from lenet_multi.task import Task
from lenet_multi.training.setup import build, make_optimizer

Batch = tuple[Array, Array]  # images, labels

# A step of SGD at this rate shows the gradient: the weights drown in the step, which is the
# gradient times a power of two, so that no digit is lost in their difference.
_GRADIENT_RATE = 2.0**20


@dataclass(frozen=True)
class Climb:
    """What one backend climbs in one precision; what it sees is filed in `evidence`."""

    evidence: Evidence
    plan: Plan
    task: Task
    dataset: Dataset
    tell: Tell

    def climb(self, *, save_to: Path) -> None:
        """Climb rungs L0 to L4; write the model that L6 takes.

        In float32 one-ulp twins climb L2 to L4 as well, and L6 in `go_on` (see `twins`).
        """
        config = self.plan.training_config(keras.config.floatx())
        first = Batches(
            self.plan.first_examples(self.dataset),
            batch_size=self.plan.small_batch_size,
            prepare=self.task.prepare,
        )
        model = _model(self.task, config, self.dataset, self.evidence.climber)
        loss = self.task.loss(config)
        self.evidence.record |= {
            "versions": environment.versions(keras.backend.backend()),
            "form": _how(self.evidence.climber).form,
            "instruction_set": instruction_sets.used(keras.backend.backend()),
            "terms": _terms(model, self.plan.small_batch_size),
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
            self.tell(f"L3 {name}", 0, self.plan.optimizer_steps)
            self._optimizer(model, loss, first, name)
        batches = self._batches()
        _compile(model, loss, make_optimizer(config, steps=len(batches) * config.epochs))
        self._trajectory(model, batches, save_to=save_to)

    def go_on(self, saved: Mapping[str, Path]) -> None:
        """Climb L6: go on with each saved model, as if it had never moved."""
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
                make_fast(model, _how(self.evidence.climber))
                losses = [
                    np.array([_step(model, batches[step]) for step in steps])
                    for _ in self._own_and_twins(model)
                ]
            except Exception as error:  # whatever stops a move is what L6 is to find
                traceback.print_exc()
                words = f"{type(error).__name__}: {error}".splitlines()[0]
                errors = self.evidence.facts.setdefault("errors", {})
                errors[writer] = words[:200].replace("/", " ")
            else:
                twins.file_losses(self.evidence, f"L6/{writer}/losses", *losses)

    def _structure(self, model: keras.Model, batch: Batch) -> None:
        """L0: file what must be equal to the bit."""
        images, labels = batch
        initial = dict(zip(_names(model), model.get_weights(), strict=True))
        self.evidence.facts |= {
            "parameters": model.count_params(),
            "tensors": {
                name: f"{weight.dtype} {tuple(weight.shape)}"
                for name, weight in zip(_names(model), model.weights, strict=True)
            },
            "initial weights": {name: _digest(weight) for name, weight in initial.items()},
            "batch": {"images": _digest(images), "labels": _digest(labels)},
        }
        self.evidence.arrays |= {f"L0/{name}": weight for name, weight in initial.items()}

    def _forward_and_gradient(self, model: keras.Model, loss: Any, batch: Batch) -> None:
        """L1 and L2: file logits, loss, gradients, at the initial weights and at confident ones."""
        initial = model.get_weights()
        images, _ = batch
        _compile(model, loss, keras.optimizers.SGD(_GRADIENT_RATE))
        for name, factor in CONFIDENCE.items():
            model.set_weights(confident(_names(model), initial, factor))
            self.evidence.arrays[f"L1/{name}/logits"] = model.predict_on_batch(images)
            losses, gradients = [], []
            for _ in self._own_and_twins(model):
                before = model.get_weights()
                losses.append(_step(model, batch))
                after = model.get_weights()
                gradients.append(
                    [(old - new) / _GRADIENT_RATE for old, new in zip(before, after, strict=True)]
                )
            self.evidence.arrays[f"L1/{name}/loss"] = np.array(losses[0])
            twins.file_gradients(self.evidence, f"L2/{name}", _names(model), *gradients)
        model.set_weights(initial)

    def _optimizer(self, model: keras.Model, loss: Any, batches: Batches, name: str) -> None:
        """L3: file the weights after some steps, then put the initial ones back."""
        class_name, arguments = OPTIMIZERS[name]
        # Adam is ours, the one that trains.
        optimizer_class = Adam if class_name == "Adam" else getattr(keras.optimizers, class_name)
        _compile(model, loss, optimizer_class(**arguments))
        courses = self._courses(model, batches)
        twins.file_weights(self.evidence, f"L3/{name}", _names(model), *courses)
        model.set_weights(courses[0].start)

    def _trajectory(self, model: keras.Model, batches: Batches, *, save_to: Path) -> None:
        """L4: file order, losses and weights along the epoch; save the compiled model for L6."""
        self.evidence.facts |= {"order": batches.order_sha256(), "steps": len(batches)}

        def after(run: int, step: int, steps: int) -> None:
            if run == 0 and step == self.plan.saved_after:
                model.save(save_to)
            self.tell(f"L4 trajectory, twin {run}" if run else "L4 trajectory", step, steps)

        courses = self._courses(model, batches, after)
        twins.file_weights(self.evidence, "L4/weights", _names(model), *courses)
        losses = [np.array(course.losses) for course in courses]
        twins.file_losses(self.evidence, "L4/losses", *losses)

    def _batches(self) -> Batches:
        """Return L4's batches, in the order of its epoch."""
        precision = keras.config.floatx()
        batches = Batches(
            self.plan.training_examples(self.dataset, precision),
            batch_size=self.plan.training_config(precision).batch_size,
            prepare=self.task.prepare,
        )
        batches.set_epoch(0, seed=self.plan.config.seed)
        return batches

    def _courses(
        self,
        model: keras.Model,
        batches: Batches,
        after: Callable[[int, int, int], None] = lambda run, step, steps: None,
    ) -> list[twins.Course]:
        """Train along `batches`, and so with twins; weights are kept as `is_kept` says.

        The first twin goes to the end, the others to `plan.one_ulp_steps`, by when all have parted.
        """
        courses = []
        for run in self._own_and_twins(model):
            steps = len(batches) if run <= 1 else min(self.plan.one_ulp_steps, len(batches))
            course = twins.Course(start=model.get_weights())
            for step in range(1, steps + 1):
                course.losses.append(_step(model, batches[step - 1]))
                if is_kept(step, last=len(batches)):
                    course.weights[step] = model.get_weights()
                after(run, step, steps)
            courses.append(course)
        return courses

    def _own_and_twins(self, model: keras.Model) -> Iterator[int]:
        """Yield 0 with the compiled model as it is, then each twin's number: the same, one ulp off.

        Only float32 has twins; float64's limits are constants.
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


def _model(task: Task, config: TrainConfig, dataset: Dataset, climber: str) -> keras.Model:
    model = build(task, config, dataset)
    model = exact_model(model) if _in_float64() else model
    make_fast(model, _how(climber))
    return model


def _how(climber: str) -> Execution:
    """Return how a climber computes; it takes single steps, so XLA has nothing to loop over."""
    how = Climber.of(climber).execution(keras_start.device())
    return dataclasses.replace(how, answer_form=how.form, xla_loops=False)


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


def _names(model: keras.Model) -> list[str]:
    """Return the weights' names without the model's: "conv1/kernel"."""
    return [weight.path.partition("/")[2] for weight in model.weights]


def _digest(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
