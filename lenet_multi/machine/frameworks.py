"""The Keras backends: names, which are installed, the choice of one, and keeping others out."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from types import ModuleType
from typing import NoReturn

from lenet_multi.errors import UserError, unknown

BACKENDS = ("tensorflow", "jax", "torch")
ANSWERING = (*BACKENDS, "numpy", "openvino")  # on NumPy and OpenVINO Keras cannot train


def installed(known: Sequence[str] = BACKENDS) -> tuple[str, ...]:
    """Return the `known` backends that are installed, without importing one."""
    return tuple(name for name in known if find_spec(framework(name)) is not None)


def framework(backend: str) -> str:
    """Return the name of the package that computes for Keras on `backend`."""
    return "jax" if backend == "numpy" else backend  # Keras's NumPy backend convolves with JAX


def installed_version(name: str) -> str:
    """Return the version of the distribution `name`, or of one that provides the module `name`.

    For example, `tensorflow-cpu` provides `tensorflow`. Raises `PackageNotFoundError` without both.
    """
    with suppress(PackageNotFoundError):
        return version(name)
    return version(_distributions().get(name, [name])[0])


_distributions = cache(packages_distributions)  # reads the file list of every package


def choose(
    asked: str | None,
    environ: Mapping[str, str] = os.environ,
    *,
    known: Sequence[str] = BACKENDS,
    preferred: str | None = None,
) -> str:
    """Return the backend, one of the `known` ones, that `--backend` or `KERAS_BACKEND` asks for.

    If neither is given, return `preferred` if it is installed, otherwise the first installed one.
    Raises `UserError` when the two conflict, or the backend is unknown or not installed.
    """
    from_environment = environ.get("KERAS_BACKEND")
    if asked and from_environment and asked != from_environment:
        raise UserError(
            f"--backend {asked} conflicts with KERAS_BACKEND={from_environment}; drop one of them"
        )
    present = installed(known)
    default = preferred if preferred in present else next(iter(present), None)
    name = asked or from_environment or default
    remedy = f"install it with: pip install {framework(name or 'jax')}"
    if name is None:
        raise UserError(f"no Keras backend is installed; {remedy}")
    if name not in known and name in ANSWERING:
        raise UserError(
            f"backend {name!r} cannot train, only predict and evaluate; "
            f"choose from {', '.join(known)}"
        )
    if name not in known:
        raise UserError(unknown("backend", name, known))
    if name not in present:
        others = f" (installed: {', '.join(present)})" if present else ""
        raise UserError(f"backend {name!r} is not installed{others}; {remedy}")
    return name


class OthersLeftOut(MetaPathFinder, Loader):
    """In a `with` block, make each import of a framework other than `backend`'s fail.

    `find_spec` still finds them, and imported ones stay. Keras and TensorFlow import JAX unasked if
    it is installed: 0.2 s and 108 MiB. tensorboardX imports PyTorch: 0.7 s.
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
        """Find an excluded framework, with this object as its loader."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname in self.names else None
        if spec:
            spec.loader = self
        return spec

    def exec_module(self, module: ModuleType) -> NoReturn:
        """Raise `ImportError`."""
        raise ImportError(f"{module.__name__} is left out")
