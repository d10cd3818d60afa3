"""Ten steps of a fast way against ten of stock Keras, before the fast way trains a model.

Several courses train on the same batches: the fast way and stock Keras from the same state, and
twins, which are stock Keras from weights that differ by one rounding. Where the fast way parts
from stock Keras by more than the twins can explain, it computes something else.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from lenet_multi import backends
from lenet_multi.backends.unfit import UnfitError
from lenet_multi.backends.variables import Array, State, changed_by_steps, make_variables
from lenet_multi.errors import named_reason
from lenet_multi.runs import tolerances

Batch = Any
Logs = dict[str, Any]
Gaps = dict[str, tuple[float, float]]  # of the fast way, and the largest of a twin, to stock Keras

ENDS = (1, 3, 6, 10)  # steps after which the courses are compared: one, two, three, four at once

# More show more of what rounding can do; each costs ten steps. The largest gap of right trainings,
# in 71 of seven models, was 3.3 times the twins'; with a single twin 4.5 times.
TWINS = 3

WAYS = {
    "tensorflow": "XLA's loop",
    "jax": "XLA's loop",
    "torch": "PyTorch's recorded step",
}

# The distance from 1 to the next number, in the precision that layers compute in.
EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}

# Of its own size. A tensor that a rounding moves by this much holds rounding alone, as the bias
# before a batch normalisation does, or the training is chaotic; then no gap says anything.
ROUNDING_ALONE = 0.1


@contextmanager
def as_stock(model: keras.Model) -> Iterator[None]:
    """Make the fast `model` a stock one in the block."""
    fast = type(model)
    model.__class__ = model.fast.stock
    try:
        yield
    finally:
        model.__class__ = fast


@dataclass
class SelfCheck:
    """A check under way; `fast` and `stock` are train functions of the compiled `model`."""

    model: keras.Model
    fast: Any
    stock: Any
    tell: Callable[[str], None] = lambda reason: None  # called with the reason
    why_not: str | None = None  # the reason, once a gap or an error was found
    steps: int = 0
    _courses: list[State] = field(default_factory=list)  # of the fast way, the twins, stock Keras
    _gaps: dict[int, Gaps] = field(default_factory=dict)  # by step

    @property
    def is_open(self) -> bool:
        """Whether more steps are needed."""
        return self.why_not is None and self.steps < ENDS[-1]

    @property
    def chosen(self) -> Any:
        """The train function to go on with."""
        return self.fast if self.why_not is None else self.stock

    def let_go(self) -> None:
        """Drop the train functions, once no more steps come.

        On JAX, stock Keras's would also train the model after it was compiled with another loss
        (`parity/FINDINGS.md`, compiled again).
        """
        self.fast = self.stock = None
        self._courses = []

    def can_make_variables(self, batch: Batch) -> bool:
        """Make the model's missing variables; where that fails, stock Keras trains."""
        if not _are_dense(batch):
            return True  # they are not needed: the first step says that stock Keras trains
        try:
            make_variables(self.model, *keras.utils.unpack_x_y_sample_weight(batch)[:2])
        except Exception as error:  # whatever it is, stock Keras trains or raises it
            self.why_not = f"Keras cannot tell its outputs: {named_reason(error)[:200]}"
            self.tell(self.why_not)
        return self.why_not is None

    def train(
        self, state: State, batches: Sequence[Batch], stored: Sequence[Batch] | None = None
    ) -> tuple[Logs, State, Sequence[Batch]]:
        """Train on `batches` until the check closes; return logs, state and the batches left.

        The logs and the state are those of stock Keras. The fast way takes the batches as `stored`,
        where given. Raises what stock Keras raises.
        """
        logs: Logs = {}
        stored = stored or batches
        while batches and self.is_open:
            end = next(end for end in ENDS if end > self.steps)
            count = min(end - self.steps, len(batches))
            logs, state = self._compare(state, batches[:count], stored[:count])
            batches, stored = batches[count:], stored[count:]
        if self.why_not is not None:
            self.tell(self.why_not)
        return logs, state, batches

    def _compare(
        self, state: State, batches: Sequence[Batch], stored: Sequence[Batch]
    ) -> tuple[Logs, State]:
        module = backends.module(keras.backend.backend())
        fast, *twins, stock = self._followed(state)
        self.steps += len(batches)
        done: list[tuple[Logs, State]] = []
        try:
            if not _are_dense(batches[0]):
                raise UnfitError("its batches are ragged or sparse")
            done.append(module.trained(self.model, self.fast, fast, stored))
            self.why_not = self.model.fast.why_stock
        except UnfitError as error:
            self.why_not = str(error)
        except Exception as error:  # whatever it is, stock Keras trains
            self.why_not = f"{_way()} failed with {named_reason(error)[:200]}"
        with as_stock(self.model):
            for course in (*(twins if self.why_not is None else []), stock):
                done.append(module.trained(self.model, self.stock, course, batches))
        if self.why_not is None:
            self._file(*done)
        self._courses = [course for _, course in done] if self.is_open else []
        return done[-1]

    def _followed(self, state: State) -> list[State]:
        """Return the courses, which take over what others changed since, such as the rate."""
        if not self._courses:
            return [state, *(self._twin(state, seed) for seed in range(TWINS)), state]
        *others, stock = self._courses
        for place, (old, new) in enumerate(zip(stock, state, strict=True)):
            if not _are_equal(old, new):
                for course in others:
                    course[place] = new
        return [*others, state]

    def _twin(self, state: State, seed: int) -> State:
        draw = np.random.default_rng(seed)
        epsilon = EPSILON[self.model.compute_dtype]
        count = len(self.model.trainable_variables)
        changed = [
            (weight * (1 + draw.choice([-epsilon, epsilon], weight.shape))).astype(weight.dtype)
            for weight in state[:count]
        ]
        return [*changed, *state[count:]]

    def _file(self, *courses: tuple[Logs, State]) -> None:
        """File the gaps after this step, and judge them after the last."""
        (fast, _), *_, (stock, _) = courses
        if lost := stock.keys() ^ fast.keys():
            self.why_not = f"{_way()} gave other logs than stock Keras: {', '.join(sorted(lost))}"
            return
        found, *twins, wanted = (self._named(*course) for course in courses)
        self._gaps[self.steps] = {
            name: (_gap(found[name], value), max(_gap(twin[name], value) for twin in twins))
            for name, value in wanted.items()
        }
        if self.steps == ENDS[-1]:
            self.why_not = self._judged()

    def _named(self, logs: Logs, state: State) -> dict[str, Array]:
        """Return logs and variables by name; the logs stand for the metrics' variables."""
        variables = changed_by_steps(self.model)
        variables = variables[: len(variables) - len(self.model.metrics_variables)]
        tensors = {variable.path: value for variable, value in zip(variables, state, strict=False)}
        return {name: ops.convert_to_numpy(value) for name, value in logs.items()} | tensors

    def _judged(self) -> str | None:
        """Return the first gap that is too large, in words.

        The limit at a step counts the twins' gaps up to the next comparison too, because the step
        at which a training drifts away is random. It is no less than the median of all tensors'
        limits: a small tensor has few entries for a twin to move.
        """
        least = EPSILON[self.model.compute_dtype]
        filed = list(self._gaps.values())
        for place, (step, gaps) in enumerate(self._gaps.items()):
            until = filed[: place + 2]
            moved = {name: max(at[name][1] for at in until) for name in gaps}
            known = [gap for gap in moved.values() if gap < ROUNDING_ALONE]
            usual = max(least, float(np.median(known or [0.0])))
            for name, (gap, _) in gaps.items():
                limit = tolerances.TWINS.value * max(usual, moved[name])
                if moved[name] < ROUNDING_ALONE and not gap <= limit:
                    apart = f"{gap:.1e} apart, {limit:.1e} allowed".replace("e-0", "e-")
                    return f"{_way()} gave another {name} at step {step} ({apart})"
        return None


def why_not(
    model: keras.Model, batches: Sequence[Batch], stored: Sequence[Batch] | None = None
) -> str | None:
    """Return why stock Keras must train the compiled fast `model`; None if a fast way may.

    `batches` are the first of its training, and `stored` the same as the fast way takes them. All
    that the check changes is restored to the bit.
    """
    module = backends.module(keras.backend.backend())
    drawn = random.getstate(), np.random.get_state()  # noqa: NPY002  # a user's layer may draw
    make_variables(model, *keras.utils.unpack_x_y_sample_weight(batches[0])[:2])
    model.make_train_function()
    state = module.state_of(model)
    check = started(model)
    check.train(state, batches, stored)
    module.set_state(model, state)
    random.setstate(drawn[0])
    np.random.set_state(drawn[1])  # noqa: NPY002
    return check.why_not


def started(model: keras.Model, tell: Callable[[str], None] = lambda reason: None) -> SelfCheck:
    """Return a check of the fast `model`, whose train function was made."""
    model.fast.is_watched = True
    fast = model.train_function
    with as_stock(model):
        model.make_train_function(force=True)
    stock, model.train_function = model.train_function, fast
    return SelfCheck(model, fast, stock, tell)


def _are_dense(batch: Batch) -> bool:
    is_dense = backends.module(keras.backend.backend()).is_dense
    return all(map(is_dense, tree.flatten(batch)))


def _gap(found: Array, wanted: Array) -> float:
    """Return the largest difference of two tensors over the second's largest entry."""
    if _are_equal(found, wanted):
        return 0.0
    if found.shape != wanted.shape or wanted.dtype.kind in "biu":  # such as a seed
        return np.inf
    first, second = (np.asarray(tensor, np.float64) for tensor in (found, wanted))
    gap, size = np.abs(first - second).max(), np.abs(second).max()
    return float(gap / size) if np.isfinite(gap) and size else np.inf


def _are_equal(first: Array, second: Array) -> bool:
    return first.shape == second.shape and first.tobytes() == second.tobytes()


def _way() -> str:
    return WAYS[keras.backend.backend()]
