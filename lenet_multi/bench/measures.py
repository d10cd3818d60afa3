"""Time one way to train one model, in a process that started Keras on its backend."""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from lenet_multi.backends import choice
from lenet_multi.bench import stages
from lenet_multi.bench.ways import JIT_OFF, JIT_ON, OTHER_JIT, OURS, Job
from lenet_multi.data.examples import Examples
from lenet_multi.errors import UserError
from lenet_multi.machine import environment
from lenet_multi.machine.stopwatch import Stopwatch
from lenet_multi.own.find import find_task
from lenet_multi.training.fit import fit
from lenet_multi.training.setup import checked, compile_arguments, compile_model

MEBIBYTE = 2**20

_SECONDS = 0.5  # of a round: so long a time differs little from the next one
_TRIED = 0.1  # seconds that tell how long a step takes
_MOST_BYTES = 256 * MEBIBYTE  # of a round's examples

Seconds = Callable[[int], float]  # of so many steps


class Pace:
    """How many steps a round has, and what its start costs.

    What `fit` and `predict` do once costs TensorFlow as much as thirty steps of a small model. So a
    round's seconds are taken less those of a `few` steps, unless that is a large part of a round.
    """

    def __init__(self, seconds_of: Seconds, *, whole: int, most: int) -> None:
        """Make rounds of half a second or of `most` steps, in multiples of `whole` steps."""
        self._seconds_of = seconds_of
        seconds_of(whole)  # the first time may compile
        self._begun = min(seconds_of(whole) for _ in range(2))  # with a few steps
        self.steps, self._few = whole, 0
        if self._begun > _SECONDS:  # a slow step needs no more
            return
        steps = min(4 * whole, most)
        while (seconds := seconds_of(steps)) < self._begun + _TRIED and steps < most:
            steps = min(4 * steps, most)
        longer = _SECONDS / max(seconds - self._begun, 1e-9)  # a round, than these steps
        self.steps = min(max(1, round(longer * (steps - whole) / whole)) * whole, most)
        if self.steps >= 4 * whole:
            self._few = whole

    def milliseconds(self) -> float:
        """Return the milliseconds of a step, from one more round."""
        if not self._few:
            return 1000 * self._seconds_of(self.steps) / self.steps
        # A busy moment must not lengthen the start of all rounds, nor exceed a round.
        self._begun = min(self._begun, self._seconds_of(self._few))
        seconds = self._seconds_of(self.steps)
        return 1000 * (seconds - min(self._begun, seconds / 2)) / (self.steps - self._few)


class Trial:
    """A compiled model of a job, and the data for its rounds."""

    def __init__(self, job: Job) -> None:
        """Load the data, build the model, and compile it; `seconds` says how long each took."""
        stopwatch = Stopwatch()
        self.seconds = stopwatch.seconds
        self.way, self.config = job.way, job.config
        self.why_stock: str | None = None
        with stopwatch("data"):
            self.task = find_task(self.config)
            dataset = self.task.load(self.config)
        self.examples, self.notes = dataset.train, dataset.notes
        with stopwatch("build"):
            self.model = self.task.build(self.config, dataset)
            if self.way == OURS:
                self._compile_ours()
            else:
                self._compile_stock(other_jit=self.way == OTHER_JIT)
        self.paces: dict[str, Pace] = {}

    def _compile_ours(self) -> None:
        batch_size, policy = self.config.batch_size, self.config.dtype_policy
        how = choice.here(batch_size=batch_size, dtype_policy=policy)
        how = compile_model(self.model, self.task, self.config, how, examples=len(self.examples))
        how = checked(self.model, self.task, self.config, how, self.examples)
        self.why_stock = how.why_stock

    def _compile_stock(self, *, other_jit: bool) -> None:
        steps = self.config.steps_per_epoch(len(self.examples))

        def compiled(**more: Any) -> None:
            self.model.compile(
                **compile_arguments(self.task, self.config, steps=steps, kerass=True), **more
            )

        compiled()
        if not other_jit:
            return
        wanted = not self.model.jit_compile
        self.way = JIT_ON if wanted else JIT_OFF
        compiled(jit_compile=wanted)
        if self.model.jit_compile != wanted:  # Keras only warns
            words = "a layer says that it does not support it"
            raise UserError(f"jit_compile={wanted}: {words}; use Keras's default")

    def first(self) -> dict[str, Any]:
        """Train on one batch, which compiles, and find the pace of rounds."""
        began = time.perf_counter()
        _, besides = self._epoch(1)
        first = time.perf_counter() - began - besides
        self._predict(1)
        size = sum(array.nbytes for side in self._arrays(1) for array in tree.flatten(side))
        whole = self.model.steps_per_execution
        most = max(2, _MOST_BYTES // size // whole) * whole
        self.paces = {
            "step": Pace(lambda steps: self._epoch(steps)[0], whole=whole, most=most),
            "predict": Pace(self._predict, whole=whole, most=most),
        }
        return {
            "seconds": {"first step": first},
            "steps": {name: found.steps for name, found in self.paces.items()},
        }

    def round(self) -> dict[str, Any]:
        """Return the milliseconds of a training step and of a batch of `predict`."""
        found = {f"{name}_ms": pace.milliseconds() for name, pace in self.paces.items()}
        peak = environment.peak_memory_bytes()
        return {**found, "peak_mib": None if peak is None else peak / MEBIBYTE}

    def stages(self) -> dict[str, Any]:
        """Return the milliseconds of a step, of its stages, and of each layer."""
        x, y = (tree.map_structure(ops.convert_to_tensor, side) for side in self._arrays(1))
        found = stages.measure(self.model, x, y, jit=self.model.jit_compile)
        return {"step": self.paces["step"].milliseconds(), **found}

    def _epoch(self, steps: int) -> tuple[float, float]:
        """Train for `steps` steps; return their seconds, and those of the validation after them."""
        if self.way == OURS:
            training = self._stored(steps)
            few = training[: self.config.batch_size]
            fitted = fit(self.model, self.task, training, few, self.config, quiet=True)
            epoch = fitted.epochs[0]
            return epoch["train_seconds"], epoch["validation_seconds"]
        x, y = self._arrays(steps)
        clock = _Clock()
        self.model.fit(
            x, y, batch_size=self.config.batch_size, epochs=1, verbose=0, callbacks=[clock]
        )
        return clock.seconds, 0.0

    def _predict(self, steps: int) -> float:
        """Predict `steps` batches from arrays, and return the seconds."""
        x, _ = self._arrays(steps)
        began = time.perf_counter()
        self.model.predict(x, batch_size=self.config.batch_size, verbose=0)
        return time.perf_counter() - began

    def _stored(self, steps: int) -> Examples:
        """Return the examples of `steps` whole batches, repeated where there are too few."""
        return self.examples[np.arange(steps * self.config.batch_size) % len(self.examples)]

    def _arrays(self, steps: int) -> tuple[Any, Any]:
        """Return the inputs and targets of `steps` batches as NumPy arrays, ready for `fit`."""
        stored = self._stored(steps)
        x = self.task.prepare(stored.x)
        return x, self.task.targets(self.config, stored.y)


class _Clock(keras.callbacks.Callback):  # type: ignore[misc]  # Keras carries no types
    """Take the seconds of an epoch, until its last step is computed.

    It has no hook for batches: then Keras need not wait for the metrics of each.
    """

    seconds = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Stop it."""
        ops.convert_to_numpy(self.model.optimizer.iterations)  # JAX's steps return before
        self.seconds = time.perf_counter() - self._began
