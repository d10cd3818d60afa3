"""JAX: Keras's `DataParallel`; XLA cuts each batch, and adds up whatever crosses the parts."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import keras
import numpy as np
from keras import tree

from lenet_multi.backends.devices import refuse_more
from lenet_multi.backends.jax import Training
from lenet_multi.backends.mixin import Mixin

Tensor = Any  # JAX's

_parallel: Any = None  # Keras's `DataParallel`, in a block of `scope`


@contextmanager
def scope(count: int) -> Iterator[None]:
    """Put a copy of the variables that the block makes on each of the first `count` devices."""
    global _parallel
    names = keras.distribution.list_devices()
    refuse_more(count, names)
    _parallel = keras.distribution.DataParallel(devices=names[:count], auto_shard_dataset=False)
    keras.distribution.set_distribution(_parallel)
    try:
        yield
    finally:
        _parallel = None
        keras.distribution.set_distribution(None)


def placed(batch: Any, axis: int = 0) -> Any:
    """Return a batch in NumPy as tensors, cut along `axis` into a part for each device.

    What does not divide into equal parts is whole on each device.
    """
    import jax

    count = _parallel.device_mesh.devices.size

    def place(array: Any) -> Tensor:
        axes: list[str | None] = [None] * array.ndim
        if array.shape[axis] % count == 0:
            axes[axis] = _parallel.batch_dim_name
        layout = keras.distribution.TensorLayout(axes, _parallel.device_mesh).backend_layout
        return jax.make_array_from_callback(array.shape, layout, lambda part: array[part])

    return tree.map_structure(lambda one: None if one is None else place(np.asarray(one)), batch)


def everywhere() -> Any:
    """Return JAX's sharding of a value that is whole on each device."""
    return keras.distribution.TensorLayout([], _parallel.device_mesh).backend_layout


@contextmanager
def _set(distribution: Any) -> Iterator[None]:
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(distribution)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def _cut_here() -> AbstractContextManager[None]:
    """Keep Keras from cutting batches in the block: it cannot cut one that does not divide."""
    return _set(None)


def _laid_out() -> AbstractContextManager[None]:
    """Let functions that Keras makes in the block leave the variables where they are."""
    return _set(_parallel)


class Shared(Mixin):  # type: ignore[misc]  # for mypy it is Any
    """A model whose batches are cut into a part for each device, before XLA gets them."""

    train_function: Any
    test_function: Any
    predict_function: Any

    def fit(self, *given: Any, **named: Any) -> Any:
        """Train as Keras does."""
        with _cut_here():
            return super().fit(*given, **named)

    def evaluate(self, *given: Any, **named: Any) -> Any:
        """Evaluate as Keras does."""
        with _cut_here():
            return super().evaluate(*given, **named)

    def predict(self, *given: Any, **named: Any) -> Any:
        """Predict as Keras does."""
        with _cut_here():
            return super().predict(*given, **named)

    def make_train_function(self, force: bool = False) -> None:
        """Make Keras's function or ours, for cut batches."""
        if self.train_function is None or force:
            with _laid_out():
                super().make_train_function(force)
            # XLA's loop takes several batches, and cuts them itself.
            if not isinstance(self, Training):
                self.train_function = _fed(self.train_function)

    def make_test_function(self, force: bool = False) -> None:
        """Make Keras's function, for cut batches."""
        if self.test_function is None or force:
            with _laid_out():
                super().make_test_function(force)
            self.test_function = _fed(self.test_function)

    def make_predict_function(self, force: bool = False) -> None:
        """Make Keras's function, for cut batches."""
        if self.predict_function is None or force:
            with _laid_out():
                super().make_predict_function(force)
            self.predict_function = _gathered(_fed(self.predict_function))


def _gathered(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Let a function return its first result whole: a process may lack other processes' parts."""
    import jax

    whole = jax.jit(lambda outputs: outputs, out_shardings=everywhere())

    def gathered(state: Any, batches: Any) -> Any:
        outputs, after = function(state, batches)
        return whole(outputs), after

    return gathered


def _fed(function: Callable[[Any, Iterator[Any]], Any]) -> Callable[[Any, Iterator[Any]], Any]:
    return lambda state, batches: function(state, map(placed, batches))
