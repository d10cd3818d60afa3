"""Train, compare and measure a Keras model on every Keras backend, from the same bits.

A model comes as a `Task` (`task`), with its data, loss and metrics; the default is a LeNet on
MNIST. Keras fixes its backend at import, so each backend needs its own process. Each run writes
a run folder (`runs`), and `compare` reads run folders without Keras. Importing this package
imports neither Keras nor a backend.

The functions are those of `interface`: `parity`, `assert_same_training`, `train`, `compare`,
`bench`, `evaluate` and `fast`. Some have the name of a module or a folder of this package. An
attribute of the package is always the function; `from lenet_multi.train import ...` reads the
module.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lenet_multi.backends.fast import fast
    from lenet_multi.errors import UserError
    from lenet_multi.interface import (
        assert_same_training,
        bench,
        compare,
        evaluate,
        parity,
        train,
    )
    from lenet_multi.task import Task

__version__ = "0.1.0"

__all__ = [
    "Task",
    "UserError",
    "assert_same_training",
    "bench",
    "compare",
    "evaluate",
    "fast",
    "parity",
    "train",
]

_MODULES = {
    **dict.fromkeys(__all__, "lenet_multi.interface"),
    "Task": "lenet_multi.task",
    "UserError": "lenet_multi.errors",
    "fast": "lenet_multi.backends.fast",
}


class _Package(ModuleType):
    """Finds the public names when they are first read, so that the import takes no time."""

    def __getattr__(self, name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        found = getattr(import_module(_MODULES[name]), name)
        vars(self)[name] = found
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, but let no module take the place of a public name.

        Python sets `lenet_multi.train` to the module when that is first imported.
        """
        if not (name in _MODULES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a function that refers to this package be sent to another process."""
        return import_module, (self.__name__,)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
