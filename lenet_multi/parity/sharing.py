"""L7: train on one or several devices, and file each step's loss, metrics and weights.

A process trains through Keras's `fit`, with the feed that cuts batches for devices. With one device
it files what several must come to.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import keras
import numpy as np

from lenet_multi import backends
from lenet_multi.backends import choice, devices
from lenet_multi.backends.choice import Execution
from lenet_multi.data.batches import Batches
from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.parity import randomness, twins
from lenet_multi.parity.devices import PLACE, images_of
from lenet_multi.parity.evidence import Array, Evidence
from lenet_multi.parity.float64 import exact
from lenet_multi.parity.plan import Plan, Tell, is_kept
from lenet_multi.parity.weights import names_of
from lenet_multi.task import Task
from lenet_multi.training.setup import build, compile_model, make_all_variables


@dataclass(frozen=True)
class Sharing:
    """One backend's training on `count` devices in one precision, filed into `evidence`.

    `weights` are the initial ones of a user's model; the package's own tasks draw theirs.
    """

    evidence: Evidence
    plan: Plan
    task: Task
    dataset: Dataset
    count: int
    tell: Tell
    weights: Sequence[Array] | None = None

    def train(self) -> None:
        """Train the steps of L4, and on one device in float32 the twins too."""
        backend, precision = keras.backend.backend(), keras.config.floatx()
        config = self.plan.training_config(precision)
        examples = self.plan.training_examples(self.dataset, precision)
        examples = examples[: images_of(len(examples), config.batch_size)]
        with (
            devices.shared(backend, self.count),
            exact() if precision == "float64" else nullcontext(),
        ):
            keras.utils.set_random_seed(config.seed)
            model = build(self.task, config, self.dataset)
            if self.weights is not None:
                model.set_weights(self.weights)
            how = replace(self._how(backend), devices=self.count, steps_per_execution=1)
            compile_model(model, self.task, config, how, examples=len(examples))
            batches = self._batches(examples, config.batch_size, config.seed)
            make_all_variables(model, self.task, config, examples)
            courses = [self._course(model, batches) for _ in self._own_and_twins(model)]
            self._file(model, courses)

    def _how(self, backend: str) -> Execution:
        """Return how the model is computed: on TensorFlow without XLA's loop."""
        return choice.here(choice.STOCK if backend == "tensorflow" else None)

    def _batches(self, examples: Examples, size: int, seed: int) -> Batches:
        batches = Batches(examples, batch_size=size, prepare=self.task.prepare)
        batches.set_epoch(0, seed=seed)
        return batches

    def _own_and_twins(self, model: keras.Model) -> Iterator[int]:
        """Yield 0, then the number of each twin, with the model ready to train as that twin.

        Only one device's training in float32 has twins: they limit what several devices may change.
        """
        has_twins = self.count == 1 and keras.config.floatx() == "float32"
        seed, variables = self.plan.config.seed, model.optimizer.variables
        state = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
        initial = model.get_weights()
        for run in range(1 + (self.plan.one_ulp_runs if has_twins else 0)):
            for variable, value in zip(variables, state, strict=True):
                variable.assign(value)
            model.set_weights(
                twins.one_ulp_off(initial, seed=run, climber=self.evidence.climber)
                if run
                else initial
            )
            model.reset_metrics()
            keras.utils.set_random_seed(seed)
            randomness.set_seeds(model, seed)
            yield run

    def _course(self, model: keras.Model, batches: Batches) -> "_Course":
        found = _Course(start=model.get_weights())
        backend = backends.module(keras.backend.backend())
        model.fit(
            backend.training_feed(batches, model),
            shuffle=False,
            verbose=0,
            callbacks=[_Noting(found, len(batches), self.tell, f"{PLACE} devices {self.count}")],
        )
        return found

    def _file(self, model: keras.Model, courses: Sequence["_Course"]) -> None:
        names = names_of(model)
        for name, weight in zip(names, courses[0].start, strict=True):
            self.evidence.arrays[f"{PLACE}/start/{name}"] = weight
        twins.file_weights(self.evidence, f"{PLACE}/weights", names, *courses)
        losses = [np.array(course.losses) for course in courses]
        twins.file_losses(self.evidence, f"{PLACE}/losses", *losses)
        for name in courses[0].metrics[0]:
            found = [np.array([step[name] for step in course.metrics]) for course in courses]
            twins.file_losses(self.evidence, f"{PLACE}/metrics/{name}", *found)


@dataclass
class _Course(twins.Course):
    """A training, with the metrics of each step too, by name."""

    metrics: list[dict[str, float]] = field(default_factory=list)


class _Noting(keras.callbacks.Callback):  # type: ignore[misc]  # Keras carries no types
    """Note each step's loss and metrics, of its batch alone, and the weights of some steps."""

    def __init__(self, course: _Course, steps: int, tell: Tell, what: str) -> None:
        super().__init__()
        self.course, self.steps, self.tell, self.what = course, steps, tell, what

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Note what the step showed, and let the next one begin its means anew."""
        model, step = self.model, batch + 1
        if keras.backend.backend() == "jax":
            model.jax_state_sync()
        tracker = model.metrics[0]  # its own quotient is rounded to float32 on PyTorch
        total, count = map(keras.ops.convert_to_numpy, (tracker.total, tracker.count))
        self.course.losses.append(float(total) / float(count))
        found = {name: float(value) for name, value in model.get_metrics_result().items()}
        self.course.metrics.append({name: value for name, value in found.items() if name != "loss"})
        model.reset_metrics()
        if is_kept(step, last=self.steps):
            self.course.weights[step] = model.get_weights()
        self.tell(self.what, step, self.steps)
