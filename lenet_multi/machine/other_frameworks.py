"""Keep out of a process the frameworks other than its backend's, which libraries import unasked.

Keras and TensorFlow import JAX where it is installed: 0.2 s and 108 MiB. tensorboardX imports
PyTorch: 0.7 s.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import NoReturn

from lenet_multi.machine.frameworks import BACKENDS, framework


class LeftOut(MetaPathFinder, Loader):
    """Refuse, in a block, to import other frameworks than `backend`'s.

    They are found as ever, and those that are imported already stay.
    """

    def __init__(self, backend: str) -> None:
        self.names = {*BACKENDS} - {framework(backend)}

    def __enter__(self) -> None:
        sys.meta_path.insert(0, self)

    def __exit__(self, *raised: object) -> None:
        sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module of these names, with this object as its loader."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname in self.names else None
        if spec:
            spec.loader = self
        return spec

    def create_module(self, spec: ModuleSpec) -> NoReturn:
        """Raise `ImportError`."""
        raise ImportError(f"{spec.name} is left out")

    def exec_module(self, module: ModuleType) -> None:
        """Never come to this."""
