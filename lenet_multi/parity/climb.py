"""Climb the ladder on one backend in one precision. Only the process of a climber imports Keras.

Each rung files its arrays under names "RUNG/.../TENSOR".
"""

import dataclasses
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lenet_multi.backends.adam import Adam
from lenet_multi.backends.choice import Execution
from lenet_multi.backends.fast import make_fast
from lenet_multi.backends.layers import seed_generators
from lenet_multi.config import TrainConfig
from lenet_multi.data.batches import Batches
from lenet_multi.data.examples import Arrays, Dataset, named
from lenet_multi.errors import named_reason
from lenet_multi.machine import environment, instruction_sets
from lenet_multi.parity import layer_calls, randomness, slopes, terms, twins
from lenet_multi.parity.evidence import Array, Evidence, read
from lenet_multi.parity.float64 import exact
from lenet_multi.parity.ladder import (
    DIFFERENCES,
    FORWARD,
    GRADIENT,
    LOADED,
    OPTIMIZER,
    STRUCTURE,
    TRAJECTORY,
)
from lenet_multi.parity.plan import (
    CONFIDENCE,
    INITIAL,
    OPTIMIZERS,
    Plan,
    Tell,
    confident,
    is_kept,
)
from lenet_multi.parity.randomness import hashed
from lenet_multi.parity.weights import digest, gradients_of, names_of, names_of_state
from lenet_multi.task import Task
from lenet_multi.training.setup import build, compile_arguments

Batch = tuple[Arrays, Arrays]  # inputs, targets

REWRITTEN = "rewritten"  # a record: weights that a call in training changes, as moving means

# One step of SGD at this rate shows the gradient: the weights vanish in a step so large. The rate
# is a power of two, so the difference of the weights has every digit of the gradient.
_GRADIENT_RATE = 2.0**20


@dataclass(frozen=True)
class Climb:
    """One backend's climb in one precision: computes as `how` says, files into `evidence`.

    `weights` are the initial ones of a user's model; the package's own tasks draw theirs.
    """

    evidence: Evidence
    plan: Plan
    task: Task
    dataset: Dataset
    how: Execution
    tell: Tell
    weights: Sequence[Array] | None = None
    keep: Path | None = None  # the folder for what a stopped climb keeps

    @contextmanager
    def _alike(self) -> Iterator[None]:
        """Compute in the block what every backend should compute: hashed masks, true float64."""
        with ExitStack() as stack:
            lacking = stack.enter_context(hashed(off=not self.plan.dropout))
            if _in_float64():
                lacking = lacking + stack.enter_context(exact())
            self.evidence.record["lacking"] = lacking
            yield

    @property
    def _has_twins(self) -> bool:
        """Whether twins set limits; in float64 a task with a reference has constant limits."""
        return not (_in_float64() and self.task.reference)

    def climb(self, *, save_to: Path) -> None:
        """Climb rungs L0 to L4, with twins; save the model that L6 loads."""
        with self._alike():
            self._climb(save_to)

    def _climb(self, save_to: Path) -> None:
        config = self.plan.training_config(keras.config.floatx())
        examples = self.plan.first_examples(self.dataset)
        first = Batches(examples, batch_size=self.plan.small_batch_size, prepare=self.task.prepare)
        model = _model(self.task, config, self.dataset, self.how, self.weights)
        self.evidence.record |= {
            "versions": environment.versions(keras.backend.backend()),
            "form": self.how.form,
            "instruction_set": instruction_sets.used(keras.backend.backend()),
            "terms": self._terms(model, first[0]),
            "state": names_of_state(model),
        }
        self.evidence.facts["settings"] = {
            "floatx": keras.config.floatx(),
            "epsilon": keras.config.epsilon(),
            "image_data_format": keras.config.image_data_format(),
            **dataclasses.asdict(config),
        }
        self._structure(model, first[0])
        self._forward_and_gradient(model, config, first[0])
        self._reached(STRUCTURE, FORWARD, GRADIENT)
        for name in OPTIMIZERS:
            self._optimizer(model, config, first, name)
        self._reached(OPTIMIZER)
        batches = self._batches()
        _compile(model, compile_arguments(self.task, config, steps=len(batches) * config.epochs))
        self._trajectory(model, batches, save_to=save_to)
        self._reached(TRAJECTORY)

    def _reached(self, *rungs: str) -> None:
        """Note that these rungs are climbed; a climb that is stopped later keeps them."""
        self.evidence.record.setdefault("rungs", []).extend(rungs)
        if self.keep:
            self.evidence.write(self.keep)

    def _compile(
        self, model: keras.Model, config: TrainConfig, optimizer: keras.optimizers.Optimizer
    ) -> None:
        """Compile `model` with the task's loss and another optimizer than the task's."""
        _compile(model, compile_arguments(self.task, config, steps=1) | {"optimizer": optimizer})

    def _terms(self, model: keras.Model, batch: Batch) -> dict[str, int]:
        """Return the numbers of terms in sums (see `terms`); file what each layer gives."""
        if not self.task.reads_settings:
            return terms.of_stack(model, self.plan.small_batch_size)
        randomness.set_seeds(model, self.plan.config.seed)
        initial = model.get_weights()
        calls = layer_calls.recorded(model, batch[0])
        self.evidence.record[REWRITTEN] = [
            name
            for name, before, after in zip(
                names_of(model), initial, model.get_weights(), strict=True
            )
            if not np.array_equal(before, after)
        ]
        model.set_weights(initial)  # moving means have moved
        layer_calls.file(self.evidence, calls)
        return terms.of_calls(model, calls.outputs)

    def go_on(self, others: Mapping[str, Path], saved: Mapping[str, Path]) -> None:
        """Compare each layer with `others`' evidence; climb L6 with the models `saved` by them."""
        with self._alike():
            if self.task.reads_settings:
                self._layers(others)
            self._portability(saved, others)

    def _layers(self, others: Mapping[str, Path]) -> None:
        """L1 by layer: file by how much each layer differs when it gets another's inputs."""
        config = self.plan.training_config(keras.config.floatx())
        examples = self.plan.first_examples(self.dataset)
        first = Batches(examples, batch_size=self.plan.small_batch_size, prepare=self.task.prepare)
        model = _model(self.task, config, self.dataset, self.how, self.weights)
        initial = model.get_weights()
        for other, folder in others.items():
            theirs = layer_calls.filed(read(folder, climb=self.evidence.climb))
            model.set_weights(initial)
            randomness.set_seeds(model, self.plan.config.seed)
            found = layer_calls.compared(model, first[0][0], theirs)
            for name, gap in found.items():
                self.evidence.arrays[f"{layer_calls.PLACE}/{other}/{name}"] = np.array(gap.size)
                self.evidence.facts.setdefault("entries", {})[f"{other}/{name}"] = gap.entries

    def _portability(self, saved: Mapping[str, Path], climbed: Mapping[str, Path]) -> None:
        """L6, with twins: load each saved model and continue its training.

        A `.keras` file does not keep the state of random generators; the writer's evidence does.
        """
        batches = self._batches()
        steps = range(self.plan.saved_after, 2 * self.plan.saved_after)
        for index, (writer, path) in enumerate(saved.items()):
            self.tell(f"L6 from {writer}", index, len(saved))
            try:
                # The climb wrote the file a moment ago.
                model = keras.saving.load_model(path, safe_mode=False)
                place = f"L6/{writer}/{LOADED}"
                loaded = model.get_weights()
                self.evidence.arrays |= {f"{place}/{i}": one for i, one in enumerate(loaded)}
                if not (_in_float64() or self.task.reads_settings):
                    _take_our_adam(model)
                make_fast(model, self.how)
                if writer in climbed:
                    seeds = read(climbed[writer], climb=self.evidence.climb).record["seeds"]
                    randomness.put_back(model, seeds)
                losses = [
                    np.array([_step(model, batches[step]) for step in steps])
                    for _ in self._own_and_twins(model, new=False)
                ]
            except Exception as error:  # L6 reports any error that stops a move
                traceback.print_exc()
                words = named_reason(error)[:200].replace("/", " ")
                self.evidence.facts.setdefault("errors", {})[writer] = words
            else:
                twins.file_losses(self.evidence, f"L6/{writer}/losses", *losses)

    def _structure(self, model: keras.Model, batch: Batch) -> None:
        """L0: file what must be equal to the bit."""
        inputs, targets = batch
        weights = dict(zip(names_of(model), model.weights, strict=True))
        initial = dict(zip(weights, model.get_weights(), strict=True))
        self.evidence.facts |= {
            "parameters": model.count_params(),
            "tensors": {name: f"{w.dtype} {tuple(w.shape)}" for name, w in weights.items()},
            "initial weights": {name: digest(weight) for name, weight in initial.items()},
            "batch": {"images": digest(inputs), "labels": digest(targets)},
        }
        self.evidence.arrays |= {f"L0/{name}": weight for name, weight in initial.items()}

    def _forward_and_gradient(self, model: keras.Model, config: TrainConfig, batch: Batch) -> None:
        """L1 and L2: file outputs, loss, gradients; with a reference also at confident answers."""
        initial = model.get_weights()
        self._compile(model, config, keras.optimizers.SGD(_GRADIENT_RATE))
        for name in CONFIDENCE if self.task.reference else [INITIAL]:
            model.set_weights(confident(names_of(model), initial, CONFIDENCE[name]))
            outputs, losses, gradients = [], [], []
            for _ in self._own_and_twins(model):
                outputs.append(self._outputs(model, batch[0]))
                before = model.get_weights()
                losses.append(_step(model, batch))
                gradients.append(gradients_of(model, before, rate=_GRADIENT_RATE))
            twins.file_outputs(self.evidence, f"L1/{name}", *outputs)
            self.evidence.arrays[f"L1/{name}/loss"] = np.array(losses[0])
            twins.file_gradients(self.evidence, f"L2/{name}", names_of(model), *gradients)
            if _in_float64() and not self.task.reference:
                self._differences(model, initial, gradients[0], losses[0], batch)
        model.set_weights(initial)

    def _outputs(self, model: keras.Model, x: Arrays) -> dict[str, Array]:
        """Return the model's outputs by name."""
        name = "logits" if self.task.classifies else "outputs"
        found = model.predict_on_batch(x)
        return {f"{name} {key}".strip(): np.asarray(one) for key, one in named(found).items()}

    def _differences(
        self,
        model: keras.Model,
        initial: list[Array],
        gradient: list[Array],
        loss: float,
        batch: Batch,
    ) -> None:
        """L2: file the loss's slope along some tensors' gradients (see `slopes`)."""

        def loss_at(weights: list[Array]) -> float:
            model.set_weights(weights)
            randomness.set_seeds(model, self.plan.config.seed)
            return _step(model, batch)

        # Spectral normalisation replaces its kernel in each call, and has the new one's gradient.
        rewritten, trained = self.evidence.record[REWRITTEN], set(map(id, model.trainable_weights))
        names = {
            place: name
            for place, (name, weight) in enumerate(zip(names_of(model), model.weights, strict=True))
            if id(weight) in trained and name not in rewritten
        }
        for place, slope in slopes.along(gradient, initial, loss, loss_at, [*names]).items():
            self.evidence.arrays[f"{DIFFERENCES}/{names[place]}"] = np.array(slope)

    def _optimizer(
        self, model: keras.Model, config: TrainConfig, batches: Batches, name: str
    ) -> None:
        """L3: file the weights after some steps, then restore the initial ones."""
        class_name, arguments = OPTIMIZERS[name]
        # The package's own tasks train with our Adam, a user's model with Keras's.
        adam = keras.optimizers.Adam if self.task.reads_settings else Adam
        kind = {"SGD": keras.optimizers.SGD, "Adam": adam}[class_name]
        self._compile(model, config, kind(**arguments))
        courses = self._courses(model, batches, f"L3 {name}")
        twins.file_weights(self.evidence, f"L3/{name}", names_of(model), *courses)
        model.set_weights(courses[0].start)

    def _trajectory(self, model: keras.Model, batches: Batches, *, save_to: Path) -> None:
        """L4: file order, losses and weights along the epoch; save the compiled model for L6."""
        self.evidence.facts |= {"order": batches.order_sha256(), "steps": len(batches)}
        courses = self._courses(model, batches, "L4 trajectory", save_to)
        twins.file_weights(self.evidence, "L4/weights", names_of(model), *courses)
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
                    self.evidence.record["seeds"] = randomness.states(model)
                self.tell(doing, step, steps)
            courses.append(course)
        return courses

    def _own_and_twins(self, model: keras.Model, *, new: bool = True) -> Iterator[int]:
        """Yield 0, then the number of each twin, with the model ready to train as that twin.

        Each training begins with the same optimizer state and seeds. The weights of a twin are off
        by one ulp. A model that is not `new` keeps the seeds with which it was saved.
        """
        model.optimizer.build(model.trainable_variables)
        if new:
            randomness.set_seeds(model, self.plan.config.seed)
        variables = [*model.optimizer.variables, *(s.state for s in seed_generators(model))]
        state = [keras.ops.convert_to_numpy(variable).copy() for variable in variables]
        initial = model.get_weights()
        yield 0
        for run in range(1, 1 + (self.plan.one_ulp_runs if self._has_twins else 0)):
            for variable, value in zip(variables, state, strict=True):
                variable.assign(value)
            model.set_weights(twins.one_ulp_off(initial, seed=run, climber=self.evidence.climber))
            yield run


def _model(
    task: Task,
    config: TrainConfig,
    dataset: Dataset,
    how: Execution,
    weights: Sequence[Array] | None = None,
) -> keras.Model:
    if weights is None:
        model = build(task, config, dataset)
    else:
        model = task.build(config, dataset)
        if [w.shape for w in weights] == [tuple(w.shape) for w in model.weights]:
            model.set_weights(weights)  # else L0 shows that the models differ
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


def _compile(model: keras.Model, arguments: Mapping[str, Any]) -> None:
    trained = ("optimizer", "loss", "loss_weights")  # metrics change nothing
    model.compile(**{name: arguments[name] for name in trained if name in arguments})


def _in_float64() -> bool:
    return bool(keras.config.floatx() == "float64")


def _step(model: keras.Model, batch: Batch) -> float:
    """Take a training step and return the loss before it."""
    model.train_on_batch(*batch)
    tracker = model.metrics[0]  # its own quotient is rounded to float32 on PyTorch (see `float64`)
    total, count = map(keras.ops.convert_to_numpy, (tracker.total, tracker.count))
    return float(total) / float(count)
