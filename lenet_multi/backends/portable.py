"""A model whose file does not depend on the backend that compiled it."""

from collections.abc import Callable
from typing import Any

import keras

from lenet_multi.backends import private
from lenet_multi.backends.later import Later
from lenet_multi.backends.layers import layers
from lenet_multi.backends.mixin import Mixin


class Portable(Mixin):  # type: ignore[misc]  # for mypy it is Any
    """A model whose file any backend can load, continue to train, and compile in its own way."""

    get_compile_config: Callable[[], dict[str, Any] | None]

    def save(self, filepath: Any, *given: Any, **named: Any) -> None:
        """Write the file of the stock model, with compile settings that suit each backend."""
        fast, settings = type(self), self.get_compile_config
        # Of TensorFlow's several devices; other backends refuse it in a file.
        norms = [one for one in layers(self) if getattr(one, "synchronized", False)]
        norms = norms if self.fast.devices > 1 else []
        for norm in norms:
            norm.synchronized = False
        self.__class__ = self.fast.stock
        self.get_compile_config = lambda: portable(settings())
        try:
            with private.tensorflow_left_out():
                keras.Model.save(self, filepath, *given, **named)
        finally:
            for norm in norms:
                norm.synchronized = True
            del self.get_compile_config
            self.__class__ = fast


def portable(settings: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the compile settings of a `.keras` file; None for a model that is not compiled.

    Keras 3.15.1 writes three that bind the file to its backend. Its value for `jit_compile="auto"`
    would turn XLA off on JAX, or torch.compile on. PyTorch refuses more than one step per
    execution. Only PyTorch loads its own optimizer classes. So the file gets "auto", one step, and
    the class that Keras documents.
    """
    if not settings:
        return settings
    optimizer = settings.get("optimizer")
    if isinstance(optimizer, dict):  # None: the model was compiled to be evaluated
        optimizer = _portable_optimizer(optimizer)
    return {**settings, "optimizer": optimizer, "jit_compile": "auto", "steps_per_execution": 1}


def _portable_optimizer(optimizer: dict[str, Any]) -> dict[str, Any]:
    config = dict(optimizer.get("config") or {})
    if inner := config.get("inner_optimizer"):  # that of a LossScaleOptimizer
        config["inner_optimizer"] = _portable_optimizer(inner)
    rate = config.get("learning_rate")
    if isinstance(rate, dict) and rate.get("class_name") == Later.__name__:
        config["learning_rate"] = rate["config"]["schedule"]
    optimizer = {**optimizer, "config": config}
    # What a notebook defines has no module.
    is_known = str(optimizer.get("module")).partition(".")[0] in {"keras", "lenet_multi"}
    if is_known and hasattr(keras.optimizers, str(optimizer.get("class_name"))):
        # Keras's, PyTorch's and ours have the same formula and state.
        optimizer |= {"module": "keras.optimizers", "registered_name": None}
    return optimizer
