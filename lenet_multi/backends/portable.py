"""A model whose file is free of the backend that it was compiled on."""

from collections.abc import Callable
from typing import Any

import keras

from lenet_multi.backends import private


class Portable(keras.Model):  # type: ignore[misc]  # Keras carries no types
    """A model whose file any backend loads, goes on with, and compiles in its own way."""

    get_compile_config: Callable[[], dict[str, Any] | None]

    def save(self, filepath: Any, *given: Any, **named: Any) -> None:
        """Write the file that the stock model would, with compile settings for each backend."""
        fast, settings = type(self), self.get_compile_config
        self.__class__ = self.fast.stock
        self.get_compile_config = lambda: _portable(settings())
        try:
            with private.tensorflow_left_out():
                keras.Model.save(self, filepath, *given, **named)
        finally:
            del self.get_compile_config
            self.__class__ = fast


def _portable(settings: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the compile settings of a `.keras` file, None of a model that is not compiled.

    Keras 3.15.1 writes what binds the file to its backend: its answer to `jit_compile="auto"`,
    which would turn XLA off on JAX or torch.compile on; the steps per execution, of which PyTorch
    refuses more than one; and PyTorch's own class of the optimizer, which no other backend can
    load. The file gets the question, one step, and the class that Keras documents.
    """
    if not settings:
        return settings
    optimizer = settings["optimizer"]
    is_known = optimizer["module"].partition(".")[0] in {"keras", "lenet_multi"}
    if is_known and hasattr(keras.optimizers, optimizer["class_name"]):
        # Keras's, PyTorch's or our own: one formula, one state
        optimizer = {**optimizer, "module": "keras.optimizers", "registered_name": None}
    return {**settings, "optimizer": optimizer, "jit_compile": "auto", "steps_per_execution": 1}
