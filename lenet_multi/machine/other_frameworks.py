"""Keep out of a process the frameworks other than its backend's, which libraries import unasked.

Keras and TensorFlow import JAX where it is installed: 0.2 s and 108 MiB. tensorboardX imports
PyTorch: 0.7 s.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import NoReturn

from lenet_multi.machine.frameworks import BACKENDS, framework


@contextlib.contextmanager
def left_out(backend: str) -> Iterator[None]:
    """Refuse, in the block, to import other frameworks than `backend`'s.

    They are found as ever, and those that are imported already stay.
    """
    refusal = _Refusal({*BACKENDS} - {framework(backend)})
    sys.meta_path.insert(0, refusal)
    try:
        yield
    finally:
        sys.meta_path.remove(refusal)


class _Refusal(MetaPathFinder, Loader):
    """Find modules of these names, and do not load them."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in self.names else None
        if spec:
            spec.loader = self
        return spec

    def create_module(self, spec: ModuleSpec) -> NoReturn:
        raise ImportError(f"{spec.name} is left out")

    def exec_module(self, module: ModuleType) -> None:
        """Never come to this."""
