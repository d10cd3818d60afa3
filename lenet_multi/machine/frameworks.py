"""The Keras backends: names, which are installed, the choice of one, and keeping others out."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import (
    PackageNotFoundError,
    distributions,
    packages_distributions,
    version,
)
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from lenet_multi.errors import UserError, unknown

BACKENDS = ("tensorflow", "jax", "torch")
RENAME_IT = "rename it, or work in another folder"  # what hides a package
ANSWERING = (*BACKENDS, "numpy", "openvino")  # on NumPy and OpenVINO Keras cannot train


def installed(known: Sequence[str] = BACKENDS) -> tuple[str, ...]:
    """Return the `known` backends that are installed, without importing one."""
    return tuple(name for name in known if _is_installed(framework(name)))


def _is_installed(package: str) -> bool:
    spec = find_spec(package)
    # Python imports any folder as a package without code, even one for TensorFlow's results.
    return spec is not None and spec.origin is not None and hiding(package) is None


def hiding(package: str) -> Path | None:
    """Return the user's file or folder that Python would import as `package`; None if none is.

    Every framework is a package, so a lone module is a user's. So is a package in the working
    folder that pip did not install.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin)
    if not spec.submodule_search_locations:
        return origin
    folder = origin.parent
    in_work = folder.parent == Path.cwd() and not _holds_installed(folder.parent, package)
    return folder if in_work else None


def _holds_installed(folder: Path, package: str) -> bool:
    """Return whether pip put `package` into `folder`."""
    files = (file for known in distributions(path=[str(folder)]) for file in known.files or ())
    return any(file.parts[:1] == (package,) for file in files)


def refuse_hidden(*packages: str) -> None:
    """Raise `UserError` when a user's file or folder has the name of one of `packages`."""
    for package in packages:
        if path := hiding(package):
            raise UserError(
                f"{path} has the name of the package {package} and hides it; {RENAME_IT}"
            )


def hider(error: Exception) -> Path | None:
    """Return the user's file or folder in the working folder that was imported for a library.

    It has the name of a module elsewhere, and that name is in the text of `error`, such as "module
    'numpy' has no attribute 'ndarray'". Returns None if there is none.
    """
    here = Path.cwd()
    elsewhere = [place for place in sys.path if place and Path(place) != here]
    for name, module in [*sys.modules.items()]:
        file = getattr(module, "__file__", None)
        if not file or not re.search(rf"\b{re.escape(name)}\b", str(error)):
            continue
        path = Path(file).parent if Path(file).name == "__init__.py" else Path(file)
        if path.parent == here and PathFinder.find_spec(name, elsewhere):
            return path
    return None


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
    if not (asked or from_environment) and not present:
        refuse_hidden(*map(framework, known))
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
        refuse_hidden(framework(name))
        others = f" (installed: {', '.join(present)})" if present else ""
        raise UserError(f"backend {name!r} is not installed{others}; {remedy}")
    return name


def leave_out_false_tensorflow() -> None:
    """Block the import of a folder or file that is called tensorflow but is not TensorFlow.

    On every backend Keras imports `tensorflow` if it can, to seed it or to save a model.
    """
    name = BACKENDS[0]
    spec = find_spec(name)
    if spec is None or isinstance(spec.loader, OthersLeftOut) or _is_installed(name):
        return
    finder = OthersLeftOut(name)
    finder.names = {name}
    sys.meta_path.insert(0, finder)


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
        spec = PathFinder.find_spec(fullname) if fullname in self.names else None
        if spec:
            spec.loader = self
        return spec

    def exec_module(self, module: ModuleType) -> NoReturn:
        """Raise `ImportError`."""
        raise ImportError(f"{module.__name__} is left out")
